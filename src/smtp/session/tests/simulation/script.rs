//! What clients say.

use std::collections::VecDeque;

use super::{Mood, Said};
use crate::random::Random;

/// A dialogue: mostly what a client would say, now and then anything.
pub(super) fn script(random: &mut Random, asks_for_login: bool) -> VecDeque<Said> {
    let mut script = VecDeque::new();
    for _ in 0..=random.below(6) {
        if script.is_empty() || random.percent(20) {
            script.push_back(Said::Hello(mood(random), random.percent(70)));
        }
        script.push_back(Said::Mail(mood(random)));
        for _ in 0..random.below(4) {
            script.push_back(Said::Rcpt(mood(random)));
        }
        if random.percent(50) {
            script.push_back(Said::Data(content(random)));
        } else {
            let whole = content(random);
            let mut rest = &whole[..];
            while random.percent(50) {
                let (chunk, behind) = rest.split_at(usize::try_from(random.below(rest.len() as u64 + 1)).unwrap());
                script.push_back(Said::Bdat(chunk.to_vec(), false));
                rest = behind;
            }
            script.push_back(Said::Bdat(rest.to_vec(), true));
        }
        while random.percent(30) {
            let place = usize::try_from(random.below(script.len() as u64 + 1)).unwrap();
            script.insert(place, anything(random));
        }
    }
    script.push_back(Said::Quit);
    let logins = if asks_for_login { random.below(4) } else { u64::from(random.percent(10)) };
    for at in 0..logins {
        // The first one where a client has it, between EHLO and MAIL.
        let place = if at == 0 { 1 } else { usize::try_from(random.below(script.len() as u64)).unwrap() };
        let behind = script.split_off(place);
        script.extend(login(random));
        script.extend(behind);
    }
    script
}

/// A login, whole or taken back. A place within another one makes its lines answers to that, which is well, for they are no base64.
fn login(random: &mut Random) -> Vec<Said> {
    match random.below(4) {
        0 | 1 => vec![Said::Plain(mood(random))],
        2 => vec![Said::Login, Said::Answer(mood(random)), Said::Answer(mood(random))],
        _ => vec![Said::Login, Said::Star],
    }
}

fn mood(random: &mut Random) -> Mood {
    *random.of(&[Mood::Yes, Mood::Yes, Mood::Yes, Mood::Yes, Mood::Yes, Mood::No, Mood::Later])
}

fn anything(random: &mut Random) -> Said {
    match random.below(12) {
        0 => Said::Hello(mood(random), true),
        1 => Said::Mail(mood(random)),
        2 => Said::MailTooLarge,
        3 => Said::Rcpt(mood(random)),
        4 => Said::Data(content(random)),
        5 => Said::Bdat(content(random), random.percent(50)),
        6 | 7 => Said::Rset,
        8 => Said::Noop,
        9 => Said::Nonsense,
        10 => Said::LongLine,
        _ if random.percent(10) => Said::BadChunk,
        _ => Said::Noop,
    }
}

/// Lines that look like commands and like ends of data.
fn content(random: &mut Random) -> Vec<u8> {
    let mut content = Vec::new();
    for _ in 0..random.below(12) {
        content.extend_from_slice(random.of::<&[u8]>(&[
            &b"Subject: hello\r\n"[..],
            b"\r\n",
            b".\r\n",
            b"..\r\n",
            b".hidden\r\n",
            b"QUIT\r\n",
            b"MAIL FROM:<evil@x.example>\r\n",
            b"BDAT 5 LAST\r\n",
            b"\0\xff\r\n",
        ]));
    }
    match random.below(12) {
        0 => content.extend_from_slice(random.of::<&[u8]>(&[&b"\n.\n"[..], b"\r.\r", b"\r\n.\n", b"\n.\r\n", b"\r\n.\r", b"a\rb\r\n"])),
        1 => content.extend(std::iter::repeat_n(&b"0123456789abcde\r\n"[..], 40).flatten()),
        _ => {}
    }
    content
}
