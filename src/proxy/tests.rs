//! Headers as load balancers write them, and headers as nobody should.

use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// 203.0.113.9:4711 to 192.0.2.25:25.
const INET: &[u8] = &[203, 0, 113, 9, 192, 0, 2, 25, 0x12, 0x67, 0, 25];

/// A header of version 2 with this command and family octet.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, family], &u16::try_from(block.len()).unwrap().to_be_bytes(), block].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

/// An IPv6 address block from `source` to 2001:db8::25, ports 4711 and 25.
fn inet6(source: &str) -> Vec<u8> {
    let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    [&octets(source)[..], &octets("2001:db8::25"), &[0x12, 0x67, 0, 25]].concat()
}

/// The same header with its checksum in the CRC32C TLV that it ends with.
fn summed(mut header: Vec<u8>) -> Vec<u8> {
    let sum = crc32c::checksum(header.iter().copied());
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

/// Reads it alone, with something behind it, and octet by octet: whatever the network does, the answer is one.
fn read(input: &[u8]) -> Result<Header, Malformed> {
    let first = (0..=input.len()).map(|end| (end, decode(&input[..end]))).find(|(_, decoded)| *decoded != Ok(Decoded::NeedMore));
    let (end, decoded) = first.unwrap_or_else(|| panic!("never decided: {input:02x?}"));
    for behind in [&b""[..], b"EHLO x\r\n", b"\n", SIGNATURE] {
        assert_eq!(decode(&[input, behind].concat()), decoded);
    }
    match decoded? {
        Decoded::Header { header, consumed } => {
            assert_eq!((consumed, end), (input.len(), input.len()), "a header ends where it ends");
            Ok(header)
        }
        Decoded::NeedMore => unreachable!(),
    }
}

fn source_of(input: &[u8]) -> Option<String> {
    read(input).unwrap_or_else(|malformed| panic!("{malformed}: {}", input.escape_ascii())).addresses.map(|ends| ends.source.to_string())
}

#[test]
fn lines_of_version_1() {
    for (line, source) in [
        ("PROXY TCP4 203.0.113.9 192.0.2.25 4711 25", Some("203.0.113.9:4711")),
        // PP §2.1: the longest lines.
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535", Some("255.255.255.255:65535")),
        ("PROXY TCP4 1.1.1.1 1.1.1.1 1 1", Some("1.1.1.1:1")),
        // A port that the load balancer does not know.
        ("PROXY TCP4 203.0.113.9 0.0.0.0 0 0", Some("203.0.113.9:0")),
        ("PROXY TCP6 2001:db8::9 2001:db8::25 4711 25", Some("[2001:db8::9]:4711")),
        ("PROXY TCP6 2001:DB8::9 ::1 4711 25", Some("[2001:db8::9]:4711")),
        ("PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0009 ::1 4711 25", Some("[2001:db8::9]:4711")),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
            Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        ("PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.25 4711 25", Some("203.0.113.9:4711")),
        ("PROXY TCP6 ::ffff:cb00:7109 ::1 4711 25", Some("203.0.113.9:4711")),
        ("PROXY UNKNOWN", None),
        ("PROXY UNKNOWN ", None),
        ("PROXY UNKNOWN 203.0.113.9 192.0.2.25 4711 25", None),
        ("PROXY UNKNOWN  what ever\0\t\u{7f}ü", None),
        ("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535", None),
    ] {
        let input = format!("{line}\r\n");
        assert_eq!(source_of(input.as_bytes()).as_deref(), source, "{line}");
    }
    let both = read(b"PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\n").unwrap();
    assert_eq!((both.command, both.addresses.unwrap().destination.to_string()), (Command::Proxy, "192.0.2.25:25".to_owned()));
    assert_eq!(read(b"PROXY UNKNOWN\r\n").unwrap().command, Command::Proxy);
}

#[test]
fn lines_that_are_none_of_version_1() {
    use Malformed::{Address, BareLineEnd, Fields, LineTooLong, NoHeader, Port, Protocol};
    let long = |bytes: usize| format!("PROXY UNKNOWN {}", "x".repeat(bytes - 16));
    for (input, wanted) in [
        ("EHLO client.example\r\n", NoHeader),
        ("GET / HTTP/1.1\r\n", NoHeader),
        ("\0", NoHeader),
        ("\u{16}\u{3}\u{1}", NoHeader),
        ("proxy TCP4 203.0.113.9 192.0.2.25 4711 25\r\n", NoHeader),
        ("PROXY\r\n", NoHeader),
        ("PROXY\tTCP4 203.0.113.9 192.0.2.25 4711 25\r\n", NoHeader),
        (" PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\n", NoHeader),
        ("\r\nPROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\n", NoHeader),
        ("PROXYTCP4 203.0.113.9 192.0.2.25 4711 25\r\n", NoHeader),
        ("PROXY \r\n", Protocol),
        ("PROXY  TCP4 203.0.113.9 192.0.2.25 4711 25\r\n", Protocol),
        ("PROXY TCP 203.0.113.9 192.0.2.25 4711 25\r\n", Protocol),
        ("PROXY tcp4 203.0.113.9 192.0.2.25 4711 25\r\n", Protocol),
        ("PROXY TCP5 203.0.113.9 192.0.2.25 4711 25\r\n", Protocol),
        ("PROXY UDP4 203.0.113.9 192.0.2.25 4711 25\r\n", Protocol),
        ("PROXY TCP4\t203.0.113.9 192.0.2.25 4711 25\r\n", Protocol),
        ("PROXY UNKNOWNX\r\n", Protocol),
        ("PROXY unknown\r\n", Protocol),
        ("PROXY TCP4\r\n", Fields),
        ("PROXY TCP4 203.0.113.9\r\n", Fields),
        ("PROXY TCP4 203.0.113.9 192.0.2.25\r\n", Fields),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 4711\r\n", Fields),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 4711 25 \r\n", Fields),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 4711 25 26\r\n", Fields),
        ("PROXY TCP4 203.0.113.9  192.0.2.25 4711 25\r\n", Fields),
        ("PROXY TCP4  203.0.113.9 192.0.2.25 25\r\n", Address),
        ("PROXY TCP4 203.0.113.09 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 0313.0.113.9 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 203.0.113.256 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 203.0.113 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 203.0.113.9. 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 203.0.113.9.1 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 203.0..9 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 +203.0.113.9 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 0xcb.0.113.9 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 3405803785 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 203.0.113.9/32 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 203.0.113.9:4711 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 localhost 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 203.0.113.9 192.0.2.025 4711 25\r\n", Address),
        ("PROXY TCP4 203.0.113.9 2001:db8::25 4711 25\r\n", Address),
        ("PROXY TCP4 2001:db8::9 2001:db8::25 4711 25\r\n", Address),
        ("PROXY TCP4 ::ffff:203.0.113.9 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP4 ²03.0.113.9 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP6 203.0.113.9 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP6 2001:db8::9 192.0.2.25 4711 25\r\n", Address),
        ("PROXY TCP6 [2001:db8::9] 2001:db8::25 4711 25\r\n", Address),
        ("PROXY TCP6 fe80::9%eth0 2001:db8::25 4711 25\r\n", Address),
        ("PROXY TCP6 2001:db8::9::1 2001:db8::25 4711 25\r\n", Address),
        ("PROXY TCP6 2001:db8:9 2001:db8::25 4711 25\r\n", Address),
        ("PROXY TCP6 2001:0:0:0:0:0:0:0:9 2001:db8::25 4711 25\r\n", Address),
        ("PROXY TCP6 2001:00db8::9 2001:db8::25 4711 25\r\n", Address),
        ("PROXY TCP6 2001:db8::g 2001:db8::25 4711 25\r\n", Address),
        ("PROXY TCP6 :: ffff 4711 25\r\n", Address),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 65536 25\r\n", Port),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 04711 25\r\n", Port),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 00 25\r\n", Port),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 +4711 25\r\n", Port),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 -1 25\r\n", Port),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 0x19 25\r\n", Port),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 4711 smtp\r\n", Port),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 4711 99999999999999999999\r\n", Port),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\n", BareLineEnd),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\r\n", BareLineEnd),
        ("PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\rEHLO x\r\n", BareLineEnd),
        ("PROXY TCP4 203.0.113.9\n192.0.2.25 4711 25\r\n", BareLineEnd),
        ("PROXY UNKNOWN\n", BareLineEnd),
        ("PROXY UNKNOWN a\rb\r\n", BareLineEnd),
        (&format!("{}\r\n", long(108)), LineTooLong),
        (&format!("{}\r\n", long(109)), LineTooLong),
        (&format!("PROXY TCP4 {}\r\n", "1".repeat(200)), LineTooLong),
    ] {
        assert_eq!(read(input.as_bytes()), Err(wanted), "{input:?}");
    }
    assert_eq!(source_of(format!("{}\r\n", long(107)).as_bytes()), None, "107 octets are taken");
    // An empty port is a missing one, whose space nevertheless is there.
    assert_eq!(read(b"PROXY TCP4 203.0.113.9 192.0.2.25 4711 \r\n"), Err(Port));
    assert_eq!(read(b"PROXY TCP4 203.0.113.9 192.0.2.25 \xff 25\r\n"), Err(Port));
    assert_eq!(read(b"PROXY TCP4 203.0.113.9\0 192.0.2.25 4711 25\r\n"), Err(Address));
}

#[test]
fn a_header_that_is_not_whole_decides_nothing() {
    let whole = summed(v2(0x21, 0x11, &[INET, &tlv(0x03, &[0; 4])].concat()));
    for input in [&b"PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\n"[..], b"PROXY UNKNOWN\r\n", &whole] {
        for end in 0..input.len() {
            assert_eq!(decode(&input[..end]), Ok(Decoded::NeedMore), "{}", input[..end].escape_ascii());
        }
    }
}

#[test]
fn addresses_of_version_2() {
    let unix = [0; 216];
    for (command, family, block, source) in [
        (0x21, 0x11, INET, Some("203.0.113.9:4711")),
        (0x21, 0x21, &inet6("2001:db8::9"), Some("[2001:db8::9]:4711")),
        (0x21, 0x21, &inet6("::ffff:203.0.113.9"), Some("203.0.113.9:4711")),
        // The load balancer itself, whatever it adds.
        (0x20, 0x00, b"", None),
        (0x20, 0x11, INET, None),
        (0x20, 0x11, b"", None),
        (0x20, 0x00, INET, None),
        (0x20, 0xFF, b"anything", None),
        // A client that is not spoken of.
        (0x21, 0x00, b"", None),
        (0x21, 0x00, INET, None),
        (0x21, 0x00, b"xx", None),
        (0x21, 0x01, INET, None),
        (0x21, 0x10, INET, None),
        (0x21, 0x20, b"", None),
        (0x21, 0x31, &unix, None),
        (0x21, 0x32, &unix, None),
        (0x21, 0x30, b"", None),
        // A datagram's addresses are not those of a connection.
        (0x21, 0x12, INET, None),
        (0x21, 0x22, &inet6("2001:db8::9"), None),
    ] {
        assert_eq!(source_of(&v2(command, family, block)).as_deref(), source, "{command:02x} {family:02x} {block:02x?}");
    }
    let local = read(&v2(0x20, 0x00, b"")).unwrap();
    assert_eq!((local.command, local.addresses), (Command::Local, None));
}

#[test]
fn headers_that_are_none_of_version_2() {
    use Malformed::{Family, NoHeader, NoRoomForAddresses, TooLong, UnknownCommand, Version};
    let length = |family: u8, length: u16| [SIGNATURE, &[0x21, family], &length.to_be_bytes()].concat();
    for (input, wanted) in [
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), NoHeader),
        (b"\r\nEHLO x\r\n".to_vec(), NoHeader),
        (b"\r\n\r\n\r\n".to_vec(), NoHeader),
        (v2(0x11, 0x11, INET), Version(1)),
        (v2(0x01, 0x11, INET), Version(0)),
        (v2(0x31, 0x11, INET), Version(3)),
        (v2(0xF0, 0x00, b""), Version(15)),
        // What swaks sends for LOCAL.
        (v2(0x22, 0x00, b""), UnknownCommand(2)),
        (v2(0x2F, 0x11, INET), UnknownCommand(15)),
        (v2(0x21, 0x41, INET), Family(0x41)),
        (v2(0x21, 0x13, INET), Family(0x13)),
        (v2(0x21, 0x0F, INET), Family(0x0F)),
        (v2(0x21, 0xF0, b""), Family(0xF0)),
        (v2(0x21, 0x11, &INET[..11]), NoRoomForAddresses),
        (v2(0x21, 0x11, b""), NoRoomForAddresses),
        (v2(0x21, 0x12, &INET[..11]), NoRoomForAddresses),
        (v2(0x21, 0x21, INET), NoRoomForAddresses),
        (v2(0x21, 0x21, &inet6("2001:db8::9")[..35]), NoRoomForAddresses),
        (v2(0x21, 0x31, &[0; 215]), NoRoomForAddresses),
        // Refused when the length is known: nobody sends the rest, and nobody waits for it.
        (length(0x11, 4081), TooLong(4097)),
        (length(0x11, u16::MAX), TooLong(65_551)),
        (length(0x00, u16::MAX), TooLong(65_551)),
    ] {
        assert_eq!(read(&input), Err(wanted), "{}", input.escape_ascii());
    }
    let largest = v2(0x21, 0x11, &[INET, &tlv(0x04, &[0; 4065])].concat());
    assert_eq!((largest.len(), source_of(&largest).as_deref()), (4096, Some("203.0.113.9:4711")));
}

/// Any address but the unspecified one: what a load balancer says is believed.
#[test]
fn only_an_unspecified_source_names_nobody() {
    for source in ["0.0.0.0", "0.0.0.1", "127.0.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"] {
        let end = format!("{source}:4711");
        let wanted = if source == "0.0.0.0" { Err(Malformed::Source(source.parse().unwrap())) } else { Ok(end) };
        let octets = source.parse::<std::net::Ipv4Addr>().unwrap().octets();
        for input in [
            format!("PROXY TCP4 {source} 192.0.2.25 4711 25\r\n").into_bytes(),
            v2(0x21, 0x11, &[&octets[..], &INET[4..]].concat()),
            v2(0x21, 0x21, &inet6(&format!("::ffff:{source}"))),
        ] {
            let read = read(&input).map(|header| header.addresses.unwrap().source.to_string());
            assert_eq!(read, wanted, "{}", input.escape_ascii());
        }
    }
    assert_eq!(read(&v2(0x21, 0x21, &inet6("::"))), Err(Malformed::Source("::".parse().unwrap())));
    assert_eq!(source_of(&v2(0x21, 0x21, &inet6("ff02::1"))).as_deref(), Some("[ff02::1]:4711"));
    // Where it is ignored, it does no harm.
    assert_eq!(source_of(&v2(0x20, 0x11, &[0; 12])), None);
    assert_eq!(source_of(b"PROXY UNKNOWN 0.0.0.0 0.0.0.0 0 0\r\n"), None);
}

#[test]
fn tlvs_are_read_and_others_passed_over() {
    let ssl = [
        &[0x07, 0, 0, 0, 0][..],
        &tlv(0x21, b"TLSv1.3"),
        &tlv(0x22, "Zoë".as_bytes()),
        &tlv(0x23, b"TLS_AES_128_GCM_SHA256"),
        &tlv(0x24, b"RSA-SHA256"),
        &tlv(0x25, b"RSA2048"),
        &tlv(0x26, b"x25519"),
    ]
    .concat();
    let block = [
        INET,
        &tlv(0x04, b""),
        &tlv(0x01, b"\x04smtp"),
        &tlv(0x02, b"mx1.acme.example"),
        &tlv(0xEA, b"\x01vpce-0123"),
        &tlv(0x05, &[b'u'; 128]),
        &tlv(0x05, b"second"),
        &tlv(0x20, &ssl),
        &tlv(0x30, b"blue"),
        &tlv(0xFF, b"\0\0\0"),
        &tlv(0x04, &[0; 36]),
    ]
    .concat();
    let tlvs = read(&v2(0x21, 0x11, &block)).unwrap().tlvs;
    assert_eq!((tlvs.alpn.as_deref(), tlvs.authority.as_deref()), (Some(&b"\x04smtp"[..]), Some("mx1.acme.example")));
    assert_eq!((tlvs.unique_id.as_deref(), tlvs.network_namespace.as_deref()), (Some(&[b'u'; 128][..]), Some("blue")));
    let wanted = Ssl {
        used: true,
        certificate_on_connection: true,
        certificate_in_session: true,
        verified: true,
        version: Some("TLSv1.3".into()),
        common_name: Some("Zoë".into()),
        cipher: Some("TLS_AES_128_GCM_SHA256".into()),
        signature_algorithm: Some("RSA-SHA256".into()),
        key_algorithm: Some("RSA2048".into()),
    };
    assert_eq!(tlvs.ssl.as_deref(), Some(&wanted));
    for (head, verified) in
        [([0x01, 0, 0, 0, 0], false), ([0x03, 0, 0, 0, 0], true), ([0x03, 0, 0, 0, 1], false), ([0x05, 0, 0, 0, 0], true)]
    {
        let ssl = read(&v2(0x21, 0x11, &[INET, &tlv(0x20, &head)].concat())).unwrap().tlvs.ssl.unwrap();
        assert_eq!((ssl.verified, ssl.version), (verified, None));
    }
    // No text, but no harm either.
    let odd = read(&v2(0x21, 0x11, &[INET, &tlv(0x02, b"\xff")].concat())).unwrap();
    assert_eq!(odd.tlvs.authority.as_deref(), Some("\u{fffd}"));
}

#[test]
fn tlvs_with_wrong_lengths() {
    for tlvs in [
        &b"\x04"[..],
        b"\x04\0",
        b"\x04\0\x01",
        b"\x04\0\x02x",
        b"\x04\xff\xff",
        b"\x04\0\0\0",
        b"\0",
        &tlv(0x03, &[0; 3]),
        &tlv(0x03, &[0; 5]),
        &tlv(0x03, b""),
        &tlv(0x05, &[b'u'; 129]),
        &tlv(0x20, b""),
        &tlv(0x20, &[1, 0, 0, 0]),
        &tlv(0x20, &[1, 0, 0, 0, 0, 0x21]),
        &tlv(0x20, &[1, 0, 0, 0, 0, 0x21, 0, 2, b'x']),
        &tlv(0x20, &[1, 0, 0, 0, 0, 0x21, 0xff, 0xff]),
    ] {
        for (family, block) in [(0x11, INET), (0x21, &inet6("2001:db8::9")), (0x31, &[0; 216])] {
            assert_eq!(read(&v2(0x21, family, &[block, tlvs].concat())), Err(Malformed::Tlv), "{tlvs:02x?}");
        }
    }
    let twice = [INET, &tlv(0x03, &[0; 4]), &tlv(0x03, &[0; 4])].concat();
    assert_eq!(read(&summed(v2(0x21, 0x11, &twice))), Err(Malformed::Tlv));
}

#[test]
fn a_checksum_that_is_there_is_right() {
    let header = summed(v2(0x21, 0x11, &[INET, &tlv(0x05, b"id"), &tlv(0x03, &[0; 4])].concat()));
    assert_eq!(source_of(&header).as_deref(), Some("203.0.113.9:4711"));
    // Any octet of the addresses, of a TLV's value or of the checksum, changed in any bit.
    let changeable = (16..28).chain(31..33).chain(header.len() - 4..header.len());
    for (at, bit) in changeable.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut damaged = header.clone();
        damaged[at] ^= 1 << bit;
        assert_eq!(read(&damaged), Err(Malformed::Checksum), "octet {at}, bit {bit}");
    }
    let wrong = tlv(0x03, &[1, 2, 3, 4]);
    for (command, family, block) in [
        (0x21, 0x21, inet6("2001:db8::9")),
        (0x21, 0x31, vec![0; 216]),
        (0x21, 0x12, INET.to_vec()),
        (0x21, 0x00, vec![]),
        (0x20, 0x00, vec![]),
    ] {
        assert_eq!(read(&v2(command, family, &[&block[..], &wrong].concat())), Err(Malformed::Checksum));
        assert!(read(&summed(v2(command, family, &[&block[..], &tlv(0x03, &[0; 4])].concat()))).is_ok());
    }
    // LOCAL with addresses: the block is discarded, and what it holds is not looked at.
    assert_eq!(source_of(&v2(0x20, 0x11, &[INET, &wrong].concat())), None);
}

/// As Network Load Balancers of AWS send them: a health check, and a connection through a VPC endpoint.
#[test]
fn headers_of_aws() {
    let check = v2(0x20, 0x00, &tlv(0x03, &[0xA9, 0xB8, 0x7E, 0x8F]));
    assert_eq!(read(&check).unwrap().command, Command::Local);
    let block = [
        &[0xAC, 0x1F, 0x07, 0x71, 0xAC, 0x1F, 0x0A, 0x1F, 0xC8, 0xF2, 0x00, 0x50][..],
        &tlv(0x03, &[0xE8, 0xD6, 0x89, 0x2D]),
        &tlv(0xEA, b"\x01vpce-08d2bf15fac5001c9"),
        &tlv(0x04, &[0; 36]),
    ];
    assert_eq!(source_of(&v2(0x21, 0x11, &block.concat())).as_deref(), Some("172.31.7.113:51442"));
}

/// What other implementations hold for headers, each with its verdict: the source, or that there is none, or the refusal.
#[test]
fn vectors_of_other_implementations() {
    use Malformed::{
        Address, BareLineEnd, Family, Fields, LineTooLong, NoHeader, NoRoomForAddresses, Port, Protocol, UnknownCommand, Version,
    };
    let worst = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let lines = [
        // Of mox.
        ("PROXY TCP4 203.0.113.4 198.51.100.2 1234 25\r\n".to_owned(), Ok(Some("203.0.113.4:1234"))),
        // Of aiosmtpd.
        ("PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n".to_owned(), Ok(Some("1.2.3.4:0"))),
        ("PROXY TCP6 2020:dead::0001 2021:cafe::0002 8000 65535\r\n".to_owned(), Ok(Some("[2020:dead::1]:8000"))),
        ("PROXY UNKNOWN whatever\r\n".to_owned(), Ok(None)),
        ("PROXY UNKNOWN 1.2.3.4 5.6.7.8 99999 99999\r\n".to_owned(), Ok(None)),
        (format!("PROXY UNKNOWN {}\r\n", "*".repeat(100)), Err(LineTooLong)),
        ("PROXY \n".to_owned(), Err(BareLineEnd)),
        ("PROXY SOMETHING\r\n".to_owned(), Err(Protocol)),
        ("PROX\r\n".to_owned(), Err(NoHeader)),
        ("NOTPROX TCP4 1.2.3.4 5.6.7.8 0 65535\r\n".to_owned(), Err(NoHeader)),
        ("HELO example.org\r\n".to_owned(), Err(NoHeader)),
        ("PROXY TCP4 1.2.3.a 5.6.7.8 0 65535\r\n".to_owned(), Err(Address)),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 0 02501\r\n".to_owned(), Err(Port)),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 0  8080\r\n".to_owned(), Err(Fields)),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 0 0 \r\n".to_owned(), Err(Fields)),
        ("PROXY TCP6 2020:dead::000g 2021:cafe::2 0 0\r\n".to_owned(), Err(Address)),
        ("PROXY TCP6 2020:dead::1 1.2.3.4 0 0\r\n".to_owned(), Err(Address)),
        // Of go-proxyproto.
        ("PROXY TCP6 ::1 ::1 65533 65533\r\n".to_owned(), Ok(Some("[::1]:65533"))),
        ("PROXY TCP6 ::ffff:127.0.0.1 ::ffff:127.0.0.1 65533 65533\r\n".to_owned(), Ok(Some("127.0.0.1:65533"))),
        (format!("PROXY UNKNOWN {worst} {worst} 65535 65535\r\n"), Ok(None)),
        (format!("PROXY UNKNOWN {worst} {worst} 65535 65535 \r\n"), Err(LineTooLong)),
        ("PROXY TCP4 invalid invalid 65533 65533\r\n".to_owned(), Err(Address)),
        ("PROXY TCP4 ::ffff:127.0.0.1 ::ffff:127.0.0.1 65533 65533\r\n".to_owned(), Err(Address)),
        (" ".repeat(10 * 1024), Err(NoHeader)),
        (format!("PROXY {}", " ".repeat(10 * 1024)), Err(LineTooLong)),
    ];
    let addresses = [&[127, 0, 0, 1, 127, 0, 0, 1][..], &[0xFF, 0xFD, 0xFF, 0xFD]].concat();
    let addresses6 = inet6("2001:db8::9");
    let fake_tlv = b"fake_tlv";
    let binary = [
        (v2(0x20, 0x00, b"asdfghjkl"), Ok(None)),
        (v2(0x20, 0x01, b"whatever"), Ok(None)),
        (v2(0x20, 0x30, b"whatever"), Ok(None)),
        (v2(0x20, 0x12, &[&addresses[..], fake_tlv].concat()), Ok(None)),
        (v2(0x20, 0x22, &[&addresses6[..], fake_tlv].concat()), Ok(None)),
        (v2(0x20, 0x31, &[&[0; 216][..], fake_tlv].concat()), Ok(None)),
        // Padding: empty TLVs of type 0.
        (v2(0x21, 0x11, &[&addresses[..], &[0; 72]].concat()), Ok(Some("127.0.0.1:65533"))),
        (v2(0x21, 0x21, &[&addresses6[..], &[0; 48]].concat()), Ok(Some("[2001:db8::9]:4711"))),
        (v2(0x99, 0x11, &addresses), Err(Version(9))),
        (v2(0x22, 0x11, &addresses), Err(UnknownCommand(2))),
        (v2(0x21, 0x41, &addresses), Err(Family(0x41))),
        (v2(0x21, 0x11, b""), Err(NoRoomForAddresses)),
        (v2(0x21, 0x21, &addresses), Err(NoRoomForAddresses)),
        ([b"\r\n\r\n\0\r\nQUIP\n\x21\x11\0\x0c", &addresses[..]].concat(), Err(NoHeader)),
        (v2(0x21, 0x11, &addresses)[2..].to_vec(), Err(NoHeader)),
    ];
    let lines = lines.map(|(line, wanted)| (line.into_bytes(), wanted));
    for (input, wanted) in lines.into_iter().chain(binary) {
        let read = read(&input).map(|header| header.addresses.map(|ends| ends.source.to_string()));
        assert_eq!(read, wanted.map(|source| source.map(str::to_owned)), "{}", input.escape_ascii());
    }
}

/// A header that HAProxy wrote for a health check of its own over TLS, with a checksum.
#[test]
fn a_header_of_haproxy() {
    let mut header = v2(
        0x21,
        0x11,
        &[
            &[127, 0, 0, 1, 127, 0, 0, 1, 0xB0, 0x52, 0x62, 0xA5][..],
            &tlv(0x03, &[0x54, 0xFD, 0xC6, 0xFF]),
            &tlv(0x02, b"AUTHORITY"),
            &tlv(0x05, b"UNIQUE_ID"),
            &tlv(
                0x20,
                &[
                    &[1, 0, 0, 0, 0][..],
                    &tlv(0x21, b"TLSv1.2"),
                    &tlv(0x25, b"RSA4096"),
                    &tlv(0x24, b"RSA-SHA256"),
                    &tlv(0x23, b"ECDHE-RSA-AES256-GCM-SHA384"),
                ]
                .concat(),
            ),
        ]
        .concat(),
    );
    assert_eq!(header.len(), 130);
    let Header { addresses, tlvs, .. } = read(&header).unwrap();
    let ends = addresses.map(|ends| (ends.source.to_string(), ends.destination.to_string()));
    assert_eq!(ends, Some(("127.0.0.1:45138".to_owned(), "127.0.0.1:25253".to_owned())));
    assert_eq!((tlvs.authority.as_deref(), tlvs.unique_id.as_deref()), (Some("AUTHORITY"), Some(&b"UNIQUE_ID"[..])));
    let ssl = tlvs.ssl.unwrap();
    assert_eq!((ssl.version.as_deref(), ssl.cipher.as_deref()), (Some("TLSv1.2"), Some("ECDHE-RSA-AES256-GCM-SHA384")));
    let version = header.windows(7).position(|octets| octets == b"TLSv1.2").unwrap();
    header[version + 6] = b'3';
    assert_eq!(read(&header), Err(Malformed::Checksum));
}
