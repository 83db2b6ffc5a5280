//! What each fuzz target checks. Panics are the failures; `tests/fuzz_corpus.rs` runs the same functions over the stored corpus.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use gateway::message::Content;
use gateway::smtp::{Address, Command, Decoder, DotStuffer, Event, Session, SessionConfig, line_ends_are_crlf};

/// A session says the same however the network cuts its input, every reply is made of whole lines of printable ASCII, and no
/// message with a bare CR or LF, or with what would be its end without NULs, comes through.
pub fn session(input: &[u8]) {
    // The first byte says where to cut, so that a fuzzer can look for a bad place.
    let Some((cut, bytes)) = input.split_first() else { return };
    let whole = run_session(bytes, bytes.len().max(1));
    assert_eq!(run_session(bytes, usize::from(*cut).max(1)), whole, "cutting changed the session");
    let (written, _) = whole;
    assert!(written.is_empty() || written.ends_with(b"\r\n"));
    for line in String::from_utf8(written).expect("ASCII").split_terminator("\r\n") {
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
        assert!(line.len() > 3 && line.bytes().take(3).all(|byte| byte.is_ascii_digit()), "{line:?}");
    }
}

fn run_session(bytes: &[u8], step: usize) -> (Vec<u8>, Vec<String>) {
    let now = Instant::now();
    let config = SessionConfig { starttls: true, message_bytes_max: 1000, errors_max: 5, ..SessionConfig::new("mx.example") };
    let mut session = Session::new(Arc::new(config), now);
    session.greet();
    let mut events = Vec::new();
    'connection: for piece in bytes.chunks(step) {
        session.input().extend_from_slice(piece);
        loop {
            let event = session.poll(now);
            match &event {
                Event::NeedInput => break,
                Event::Helo { .. } | Event::Mail { .. } | Event::Rcpt { .. } | Event::Data => session.answer(Ok(())),
                Event::Message { data } => {
                    assert!(line_ends_are_crlf(&Content::from(data.clone())), "a bare CR or LF came through");
                    let ends = |line: &[u8]| line.first() == Some(&0) && line.iter().filter(|byte| **byte != 0).eq(b".");
                    assert!(!data.split(|byte| *byte == b'\n').any(|line| ends(line.trim_ascii_end())), "a false end came through");
                    session.finish_message(gateway::smtp::Reply::new(250, None, "Taken"));
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

/// Reading a command does not panic, and what passes holds no control characters.
pub fn command(input: &[u8]) {
    for smtputf8 in [false, true] {
        match Command::parse(input, smtputf8) {
            Ok(Command::Helo { name, .. }) => assert!(name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic())),
            Ok(Command::Mail { reverse_path, .. }) => assert!(!reverse_path.as_str().chars().any(char::is_control)),
            Ok(Command::Rcpt { address }) => assert!(!address.as_str().chars().any(char::is_control)),
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
    assert!(line_ends_are_crlf(&content), "a bare CR or LF came through");
    let wire = DotStuffer::new(&content).collect::<Vec<Bytes>>().concat();
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

/// Reading an address does not panic; what passes keeps its text, has sane lengths, reads again to itself, and its canonical
/// form is an address too, for the same domain.
pub fn address(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for smtputf8 in [false, true] {
        let Ok(address) = Address::parse(text, smtputf8) else { continue };
        assert_eq!(address.as_str(), text);
        assert!(address.local_part().len() <= 64 && address.domain().len() <= 255);
        assert!(!text.chars().any(char::is_control) && (smtputf8 || text.is_ascii()));
        let canonical = Address::parse(&address.canonical(), smtputf8).expect("a canonical address");
        assert_eq!(canonical.domain(), address.domain());
        assert_eq!(canonical.canonical(), canonical.as_str());
    }
}
