//! Replays the stored corpus of each fuzz target through the function that the target calls, and gives it random input made
//! of the bytes that matter to it, for machines without a fuzzer.

use std::fs;
use std::path::Path;

#[path = "../fuzz/entry.rs"]
mod entry;

fn replay(target: &str, entry: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut seeds: Vec<_> = fs::read_dir(&folder).expect("a corpus").map(|seed| seed.expect("a seed").path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    for seed in seeds {
        let input = fs::read(&seed).expect("a seed");
        // The name of a seed that fails stands above the panic.
        println!("{}", seed.display());
        entry(&input);
        // Every beginning of a seed is a seed: that is how a connection breaks off.
        for end in 0..input.len() {
            entry(input.get(..end).unwrap_or_default());
        }
    }
}

#[test]
fn session() {
    replay("session", entry::session);
}

#[test]
fn auth_session() {
    replay("auth_session", entry::auth_session);
}

#[test]
fn command() {
    replay("command", entry::command);
}

#[test]
fn data() {
    replay("data", entry::data);
}

#[test]
fn chunks() {
    replay("chunks", entry::chunks);
}

#[test]
fn address() {
    replay("address", entry::address);
}

#[test]
fn proxy() {
    replay("proxy", entry::proxy);
}

#[test]
fn spf_record() {
    replay("spf_record", entry::spf_record);
}

#[test]
fn dkim_signature() {
    replay("dkim_signature", entry::dkim_signature);
}

#[test]
fn from() {
    replay("from", entry::from);
}

#[test]
fn claims() {
    replay("claims", entry::claims);
}

proptest::proptest! {
    #[test]
    fn random_signatures(text in "(v=1|a=rsa-sha256|a=ed25519-sha256|d=|s=|h=|b=|bh=|i=|l=|t=|x=|c=|q=|cv=|;|:|from|to|none|pass|relaxed|simple|/|x[.]example|AAAA|@|9|=| |\r\n |ü|\0){0,40}") {
        entry::dkim_signature(text.as_bytes());
    }

    #[test]
    fn random_froms(text in "(a@x[.]example|b@y[.]example|<|>|@|,|;|:|\"|\\\\|[(]|[)]|\\[|\\]|=[?]utf-8[?]q[?]|=40|[?]=| |\t|\r\n |[.]|a|ü|。|\u{202e}|\u{ad}|\0){0,24}") {
        entry::from(text.as_bytes());
    }

    #[test]
    fn random_claims(text in "(mx1|MX1|[.]|acme|example|mx1[.]acme[.]example|;| |1|\"|\\\\|[(]|[)]|\t|\r\n |=[?]utf-8[?]q[?]|=2E|[?]=|ｍ|。|\u{ad}|ü|\0|spf=pass){0,24}") {
        entry::claims(text.as_bytes());
    }

    #[test]
    fn random_spf_records(text in "v=spf1( |  |a|mx|ptr|all|include|exists|ip4|ip6|redirect|exp|moo|:|/|//|=|[-+~?]|%|%[{]|[}]|[slodipvhcrtLD]|[0-9]|[.]|-|_|x[.]example|192[.]0[.]2[.]1|2001:db8::|\0|ü){0,40}") {
        entry::spf_record(text.as_bytes());
    }

    #[test]
    fn random_logins(cut: u8, text in "(EHLO a|AUTH PLAIN|AUTH LOGIN| |AHRpbQBzZWNyZXQ=|dGlt|c2VjcmV0|=|[*]|MAIL FROM:<>|\r\n|\r\n|\r|\n|\0|A){0,60}") {
        entry::auth_session(&[&[cut], "EHLO a\r\n".as_bytes(), text.as_bytes()].concat());
    }

    #[test]
    fn random_proxy_lines(text in "PROXY (TCP4|TCP6|UNKNOWN|x)( |  |203[.]0[.]113[.]9|2001:db8::9|::ffff:192[.]0[.]2[.]1|0|25|65535|65536|:|[.]|x|\r|\n|\r\n){0,12}\r\n") {
        entry::proxy(text.as_bytes());
    }

    #[test]
    fn random_proxy_headers(
        command in 0x1f_u8..0x23,
        family in proptest::sample::select(vec![0x00_u8, 0x01, 0x10, 0x11, 0x12, 0x20, 0x21, 0x22, 0x31, 0x32, 0x33, 0x41]),
        length in 0_u16..300,
        block in proptest::collection::vec(proptest::sample::select(vec![0_u8, 1, 2, 3, 4, 5, 0x20, 0x21, 0x30, 0xea, 0xff]), 0..300),
    ) {
        let fixed = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length.to_be_bytes()].concat();
        entry::proxy(&[&fixed[..], &block].concat());
    }

    #[test]
    fn random_data(cut: u8, text in "(\r\n|\r|\n|[.]|\r\n[.]\r\n|\0|a){0,40}") {
        entry::data(&[&[cut], text.as_bytes()].concat());
        entry::chunks(&[&[cut], text.as_bytes()].concat());
    }

    #[test]
    fn random_addresses(text in "(\"|\\\\|[.]|@|\\[|\\]|:|IPv6:|1|a|-|%|!| |ü|。|\u{202e}|postmaster){0,16}") {
        entry::address(text.as_bytes());
    }

    #[test]
    fn random_commands(line in "(MAIL FROM:|RCPT TO:|EHLO |<|>|@|,|:|\"|\\\\|a|[.]| |=|SIZE|SMTPUTF8|BODY|8BITMIME|9|ü|\0|\r|\n){0,24}") {
        entry::command(line.as_bytes());
    }

    #[test]
    fn random_parameters(text in "( NOTIFY=| ORCPT=| RET=| ENVID=|rfc822;|utf-8;|NEVER|SUCCESS|,|FULL|[+]2B|[+]0D[+]0A|[\\\\]x[{]|FC|0A|[}]|a|@|=|[+]|ü|\u{85}){0,12}") {
        entry::command(format!("MAIL FROM:<a@x>{text}").as_bytes());
        entry::command(format!("RCPT TO:<b@x>{text}").as_bytes());
    }

    #[test]
    fn random_sessions(cut: u8, greeted: bool, text in "(EHLO a|MAIL FROM:<>|RCPT TO:<b@x>|DATA|BDAT 9|BDAT 30 LAST|BDAT|RSET|NOOP|STARTTLS|QUIT|\r\n|\r\n|\r\n|\r|\n|[.]|\0|ü){0,60}") {
        let start = if greeted { "EHLO a\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n" } else { "" };
        entry::session(&[&[cut], start.as_bytes(), text.as_bytes()].concat());
    }
}
