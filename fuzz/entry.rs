//! What each fuzz target checks. Panics are the failures; `tests/fuzz_corpus.rs` runs the same functions over the stored corpus.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use gateway::authentication::Signed;
use gateway::authentication::spf::{MacroString, Mechanism, Record, Values, is_spf};
use gateway::limits::{LOCAL_PART_BYTES_MAX, SPF_EXPLANATION_BYTES_MAX};
use gateway::message::{Author, Content, Original};
use gateway::proxy::{Decoded, Malformed, decode as decode_proxy};
use gateway::smtp::{Address, Chunks, Command, Decoder, Event, Login, Reply, Session, SessionConfig, WireForm, line_ends_are_crlf};

/// A session says the same however the network cuts its input, every reply is made of whole lines of printable ASCII, and no
/// message with a bare CR or LF, or with what would be its end without NULs, comes through.
pub fn session(input: &[u8]) {
    one_session(input, false);
}

/// The same where a login is asked for: besides, no password is in what is written or shown.
pub fn auth_session(input: &[u8]) {
    one_session(input, true);
}

fn one_session(input: &[u8], auth: bool) {
    // The first byte says where to cut, so that a fuzzer can look for a bad place.
    let Some((cut, bytes)) = input.split_first() else { return };
    let whole = run_session(bytes, auth, bytes.len().max(1));
    assert_eq!(run_session(bytes, auth, usize::from(*cut).max(1)), whole, "cutting changed the session");
    let (written, events) = whole;
    assert!(!events.iter().any(|event| event.starts_with("Auth") && event.contains("secret")), "{events:?}");
    assert!(written.is_empty() || written.ends_with(b"\r\n"));
    for line in String::from_utf8(written).expect("ASCII").split_terminator("\r\n") {
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
        assert!(line.len() > 3 && line.bytes().take(3).all(|byte| byte.is_ascii_digit()), "{line:?}");
    }
}

fn run_session(bytes: &[u8], auth: bool, step: usize) -> (Vec<u8>, Vec<String>) {
    let now = Instant::now();
    let config = SessionConfig { starttls: !auth, auth, message_bytes_max: 1000, errors_max: 5, ..SessionConfig::new("mx.example") };
    let mut session = Session::new(Arc::new(config), now);
    if auth {
        session.tls_established();
    }
    session.greet();
    let mut events = Vec::new();
    'connection: for piece in bytes.chunks(step) {
        session.input().extend_from_slice(piece);
        loop {
            let event = session.poll(now);
            match &event {
                Event::NeedInput => break,
                Event::Auth { login } => session.answer(login_of(login)),
                Event::Helo { .. } | Event::Mail { .. } | Event::Rcpt { .. } | Event::Data => session.answer(Ok(())),
                Event::Message { data, .. } => {
                    assert!(line_ends_are_crlf(&Content::from(data.clone())).expect("it is in memory"), "a bare CR or LF came through");
                    let ends = |line: &[u8]| line.first() == Some(&0) && line.iter().filter(|byte| **byte != 0).eq(b".");
                    assert!(!data.split(|byte| *byte == b'\n').any(|line| ends(line.trim_ascii_end())), "a false end came through");
                    session.finish_message(Reply::new(250, None, "Taken"));
                }
                Event::Reset | Event::Refused { .. } => {}
                Event::StartTls | Event::Close => {
                    events.push(format!("{event:?}"));
                    break 'connection;
                }
            }
            events.push(format!("{event:?}"));
        }
    }
    (session.output().to_vec(), events)
}

/// `tim` has the password `secret`; of `later` nothing can be told.
fn login_of(login: &Login) -> Result<(), Reply> {
    assert!(!login.username.is_empty() && !login.username.contains('\0') && !login.password.contains('\0'));
    match (login.username.as_str(), login.password.as_str()) {
        ("tim", "secret") => Ok(()),
        ("later", _) => Err(Reply::new(454, None, "Later")),
        _ => Err(Reply::new(535, None, "No")),
    }
}

/// Reading a command does not panic, and what passes holds no control characters.
pub fn command(input: &[u8]) {
    for smtputf8 in [false, true] {
        match Command::parse(input, smtputf8) {
            Ok(Command::Helo { name, .. }) => assert!(name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic())),
            Ok(Command::Mail { reverse_path, parameters }) => {
                let id = parameters.terms.envelope_id.map(|id| id.as_str().to_owned() + &id.decoded());
                assert!(!(reverse_path.as_str().to_owned() + &id.unwrap_or_default()).chars().any(char::is_control));
            }
            Ok(Command::Rcpt { address, parameters }) => {
                let name = parameters.original.map(|name| name.for_rcpt(false).into_owned() + &name.decoded().1);
                assert!(!(address.as_str().to_owned() + &name.unwrap_or_default()).chars().any(char::is_control));
            }
            Ok(_) => {}
            Err(reply) => assert!((500..600).contains(&reply.code)),
        }
    }
}

/// The data decoder finds the same end however its input is cut, and it is the first CRLF.CRLF; what it decodes is stuffed
/// again to something that decodes to the same.
pub fn data(input: &[u8]) {
    let Some((cut, bytes)) = input.split_first() else { return };
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, usize::from(*cut).max(1)), whole, "cutting changed the message");
    // The data begin as if behind a CRLF, which the oracle writes out.
    let framed = [b"\r\n", bytes].concat();
    let end = framed.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 3);
    assert_eq!(whole.as_ref().map(|(consumed, _)| *consumed), end);
    let Some((_, Some(message))) = whole else { return };
    let content = Content::from(Bytes::from(message.clone()));
    assert!(line_ends_are_crlf(&content).expect("it is in memory"), "a bare CR or LF came through");
    let mut form = WireForm::data();
    form.push(Bytes::from(message.clone()));
    form.finish();
    let wire = std::iter::from_fn(|| form.next_piece()).collect::<Vec<Bytes>>().concat();
    assert_eq!(decode(&wire, wire.len()), Some((wire.len(), Some(message))));
}

/// The bytes up to the end of the data, and the message if it is not refused.
fn decode(bytes: &[u8], step: usize) -> Option<(usize, Option<Vec<u8>>)> {
    let mut decoder = Decoder::new(4096, None);
    let mut consumed = 0;
    for piece in bytes.chunks(step) {
        consumed += decoder.decode(piece);
        if decoder.is_complete() {
            return Some((consumed, decoder.finish().ok()));
        }
    }
    None
}

/// Chunks come to the same however they are cut, hold what was sent, and let no bare CR or LF through.
pub fn chunks(input: &[u8]) {
    let Some((cut, bytes)) = input.split_first() else { return };
    let read = |step: usize| {
        let mut chunks = Chunks::new(4096, None);
        bytes.chunks(step.max(1)).for_each(|chunk| chunks.read(chunk));
        chunks.finish()
    };
    let whole = read(bytes.len());
    assert_eq!(read(usize::from(*cut)), whole, "cutting changed the message");
    match whole {
        Ok(message) => assert!(message == bytes && line_ends_are_crlf(&Content::from(Bytes::from(message))).expect("it is in memory")),
        Err(reply) => assert!(matches!(reply.code, 550 | 552)),
    }
}

/// Reading an address does not panic; what passes keeps its text, has sane lengths, reads again to itself, and its canonical
/// form is an address too, for the same domain.
pub fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for smtputf8 in [false, true] {
        let Ok(address) = Address::parse(text, smtputf8) else { continue };
        assert_eq!(address.as_str(), text);
        assert!(address.local_part().len() <= LOCAL_PART_BYTES_MAX && address.domain().len() <= 255);
        assert!(!text.chars().any(char::is_control) && (smtputf8 || text.is_ascii()));
        let canonical = Address::parse(&address.canonical(), smtputf8).expect("a canonical address");
        assert_eq!(canonical.domain(), address.domain());
        assert_eq!(canonical.canonical(), canonical.as_str());
    }
}

/// A PROXY header is decided at one octet, the same for whole and cut input: a header at its last octet, anything else as soon as it
/// cannot become one. What follows changes nothing, and no header is longer or names another client than the protocol allows.
pub fn proxy(input: &[u8]) {
    let whole = decode_proxy(input);
    let mut decided = None;
    for end in 0..=input.len() {
        let piece = decode_proxy(input.get(..end).unwrap_or_default());
        match &decided {
            None if piece == Ok(Decoded::NeedMore) => assert!(end < 4096, "more is asked for than a header can have"),
            None => decided = Some((end, piece)),
            Some((at, earlier)) => assert_eq!(piece, *earlier, "octet {end} changed what was decided at {at}"),
        }
    }
    let (end, decoded) = decided.unwrap_or((input.len(), Ok(Decoded::NeedMore)));
    assert_eq!(decoded, whole, "cutting changed the header");
    match decoded {
        Ok(Decoded::NeedMore) => {}
        Ok(Decoded::Header { header, consumed }) => {
            assert_eq!(consumed, end, "a header ends where it is decided");
            assert!(consumed <= if input.starts_with(b"PROXY ") { 107 } else { 4096 });
            if let Some(addresses) = header.addresses {
                let source = addresses.source.ip();
                assert!(!source.is_unspecified());
                assert_eq!((source, addresses.destination.ip()), (source.to_canonical(), addresses.destination.ip().to_canonical()));
            }
        }
        Err(Malformed::NoHeader) => assert!(end <= 12),
        Err(malformed) => assert!(!malformed.to_string().contains(char::is_control)),
    }
}

/// Reading a record of SPF does not panic; one that is read is made of its terms, and again the same without spaces that it does not need.
/// What its macros become, and those of an explanation, is bounded and has no empty end.
pub fn spf_record(input: &[u8]) {
    let values = Values {
        local_part: "a-b+c",
        sender_domain: "sender.example",
        domain: "example.com",
        client_ip: "2001:db8::1".parse().expect("an address"),
        validated_name: "unknown",
        helo: "[192.0.2.1]",
        hostname: "gate.example",
        unix_seconds: 1,
    };
    if let Some(explanation) = std::str::from_utf8(input).ok().and_then(|text| MacroString::explanation(text).ok()) {
        let text = explanation.to_explanation(&values).expect("values of ASCII");
        assert!(text.len() <= SPF_EXPLANATION_BYTES_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    }
    let record = match Record::parse(input) {
        Ok(record) => record,
        Err(error) => return assert!(!error.to_string().is_empty() && error.to_string().len() < 4096),
    };
    assert!(is_spf(input) && input.is_ascii());
    let text = std::str::from_utf8(input).expect("ASCII");
    let terms: Vec<&str> = text.split(' ').filter(|term| !term.is_empty()).collect();
    let mut rest = terms.iter();
    let mut targets: Vec<&MacroString<'_>> = record.redirect.iter().chain(&record.explanation).collect();
    let directives: Vec<_> = record.directives().collect();
    for directive in &directives {
        assert!(rest.any(|term| *term == directive.text), "{} is no term", directive.text);
        match &directive.mechanism {
            Mechanism::Include(domain) | Mechanism::Exists(domain) => targets.push(domain),
            Mechanism::A { domain, prefix } | Mechanism::Mx { domain, prefix } => {
                assert!(prefix.ipv4 <= 32 && prefix.ipv6 <= 128);
                targets.extend(domain);
            }
            Mechanism::Ptr(domain) => targets.extend(domain),
            Mechanism::Ip4(_, bits) => assert!(*bits <= 32),
            Mechanism::Ip6(_, bits) => assert!(*bits <= 128),
            Mechanism::All => {}
        }
    }
    for target in targets {
        let name = target.to_name(&values);
        // One label may be longer than a name: nothing can be cut off, and nobody is asked.
        assert!(name.len() <= 253 || !name.contains('.'), "{name}");
    }
    let terms = terms.join(" ");
    let again = Record::parse(terms.as_bytes()).expect("a record without a mistake");
    assert_eq!(again.directives().collect::<Vec<_>>(), directives);
    assert_eq!((again.redirect, again.explanation), (record.redirect, record.explanation));
}

/// A message, or the value of a signature's field, is read for its signatures without a panic, and in a moment.
pub fn dkim_signature(input: &[u8]) {
    let field = |name: &str| [name.as_bytes(), b": ", input, b"\r\nFrom: a@x.example\r\nSubject: x\r\n\r\nbody\r\n"].concat();
    let arc = [&b"ARC-Authentication-Results: i=1; x; none\r\nARC-Seal: "[..], input, b"\r\n", &field("ARC-Message-Signature")].concat();
    for message in [input.to_vec(), field("DKIM-Signature"), arc] {
        if let Ok(original) = Original::parse(message.into()) {
            let _ = Signed::parse(&original);
        }
    }
}

/// Whose domain From shows: a name that DNS could hold, the same in capital letters, and nobody's beside a second From.
pub fn from(input: &[u8]) {
    let read = |value: &[u8], more: &[u8]| {
        let header = [b"From: ", value, b"\r\n", more].concat();
        Original::parse(header.into()).map(|original| (Author::read(&original), original.fields().len())).ok()
    };
    let Some((author, fields)) = read(input, b"") else { return };
    if let Some(domain) = author.domain() {
        assert!(author.flaw().is_empty() && (1..=255).contains(&domain.len()) && !domain.bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')), "{domain}");
        assert!(domain.split('.').all(|label| (1..=63).contains(&label.len())), "{domain}");
    } else {
        assert!(!author.flaw().is_empty());
    }
    // Encoded-words hold letters of which the case matters.
    if fields == 1 && !input.windows(2).any(|pair| pair == b"=?") {
        let (capital, _) = read(&input.to_ascii_uppercase(), b"").expect("as long as before");
        assert_eq!(capital.domain(), author.domain());
    }
    if fields == 1 && input.last().is_none_or(|last| *last != b'\r') {
        let (twice, fields) = read(input, b"From: b@y.example\r\n").expect("a little longer");
        assert!(fields != 2 || matches!(twice, Author::Several(_)), "{twice:?}");
    }
}

/// Whether a field claims to be ours does not depend on a comment before it, and what begins with our name does.
pub fn claims(input: &[u8]) {
    const OURS: &str = "mx1.acme.example";
    let is_claim = |value: &[u8]| {
        let header = [b"Authentication-Results: ", value, b"\r\nX: y\r\n"].concat();
        Original::parse(header.into()).ok().map(|original| original.disbelieving(OURS).disbelieved().first() == Some(&0))
    };
    let Some(alone) = is_claim(input) else { return };
    // A bare line end may make it another field.
    if input.contains(&b'\n') || input.last() == Some(&b'\r') {
        return;
    }
    assert_eq!(is_claim(&[b"( ) ", input].concat()), Some(alone));
    for end in [";", " 1;", ".;", "(x);", "\t;", "\";"] {
        let ours = [OURS.to_ascii_uppercase().as_bytes(), end.as_bytes(), input].concat();
        assert_eq!(is_claim(&ours), Some(true), "{end}");
    }
}
