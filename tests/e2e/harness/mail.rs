//! Messages for the tests.

/// A small message with a subject.
pub fn small(subject: &str) -> Vec<u8> {
    format!("From: alice@example.org\r\nTo: bob@acme.example\r\nSubject: {subject}\r\nDate: Mon, 06 Jul 2026 10:00:00 +0000\r\nMessage-ID: <{subject}@example.org>\r\n\r\nHello\r\n").into_bytes()
}

/// Everything that a careless gateway breaks: lines that begin with dots, long lines, octets above 127, blanks at line ends,
/// empty lines at both ends of the body.
pub fn awkward(long_line: usize) -> Vec<u8> {
    let mut message = small("awkward");
    for line in
        ["", "", ".", "..", ". ", ".hidden", "...three", "blank at the end ", "tab\t", "\u{e4}\u{f6}\u{fc} \u{20ac}", "From here", ""]
    {
        message.extend_from_slice(line.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(&[b'x', 0x80, 0xff, 0xfe, b'y', b'\r', b'\n']);
    message.extend(std::iter::repeat_n(b'.', long_line));
    message.extend_from_slice(b"\r\n.\r\n\r\n");
    message
}

/// A message of about `bytes` octets.
pub fn large(bytes: usize) -> Vec<u8> {
    let mut message = small("large");
    let mut line = 0_u64;
    while message.len() < bytes {
        message.extend_from_slice(format!(".{line:09} {}\r\n", "abcdefghijklmnopqrstuvwxyz 0123456789 ".repeat(2)).as_bytes());
        line += 1;
    }
    message
}

/// What lies below the Received field of mx1.acme.example, which must be there, with nothing above it but other fields of the gateway.
pub fn below_received(data: &[u8]) -> &[u8] {
    let (above, received) = received(data);
    &data[above + received..]
}

/// The Received field of mx1.acme.example alone.
pub fn received_field(data: &[u8]) -> String {
    let (above, received) = received(data);
    text(&data[above..above + received])
}

/// The fields that the gateway has put above its Received field.
pub fn above_received(data: &[u8]) -> String {
    text(&data[..received(data).0])
}

/// Where the gateway's Received field begins, and how long it is.
fn received(data: &[u8]) -> (usize, usize) {
    let mut begin = 0;
    while !data[begin..].starts_with(b"Received: from ") {
        let is_ours = ["Authentication-Results: mx1.acme.example;", "Received-SPF: ", "ARC-"]
            .iter()
            .any(|name| data[begin..].starts_with(name.as_bytes()));
        assert!(is_ours, "no Received field on top: {:?}", text(&data[..data.len().min(begin + 200)]));
        begin += field_len(&data[begin..]);
    }
    let length = field_len(&data[begin..]);
    let field = text(&data[begin..begin + length]);
    assert!(field.contains("by mx1.acme.example "), "not our Received field: {field}");
    (begin, length)
}

fn field_len(data: &[u8]) -> usize {
    let mut end = 0;
    loop {
        end += memchr::memchr(b'\n', &data[end..]).expect("the field ends") + 1;
        if !matches!(data.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
}

/// Fails with the first difference instead of with megabytes.
#[track_caller]
pub fn assert_same(actual: &[u8], expected: &[u8]) {
    if actual == expected {
        return;
    }
    let at = actual.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let near = |bytes: &[u8]| text(&bytes[at.saturating_sub(60).min(bytes.len())..bytes.len().min(at + 60)]);
    panic!("{} octets instead of {}; they differ at {at}:\n{:?}\n{:?}", actual.len(), expected.len(), near(actual), near(expected));
}

/// For showing.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
