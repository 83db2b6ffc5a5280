//! mbox: messages in one file, each behind a line `From sender date`.
//!
//! The variants mboxrd and mboxo are read, and mboxcl as far as it quotes like them: a line of the message that begins with `From ` has
//! a `>` before it, which is taken off. `Content-Length` is not looked at; in an mboxcl2 a line that looks like a separator divides its message.

use std::io::BufRead;

use super::lines::{Piece, piece, push_line};
use super::{Mail, Octets};
use crate::replay::past::PassedOver;

/// An mbox that is being read.
pub(in crate::replay) struct Mbox<R> {
    input: R,
    name: String,
    bytes_max: u64,
    number: u64,
    /// The separator of the message that comes next.
    separator: Option<Vec<u8>>,
    is_over: bool,
}

impl<R: BufRead> Mbox<R> {
    pub(super) fn new(input: R, name: String, bytes_max: u64) -> Self {
        Self { input, name, bytes_max, number: 0, separator: None, is_over: false }
    }

    fn read(&mut self) -> std::io::Result<Option<Mail>> {
        let mut line = Vec::new();
        // What stands before the first separator belongs to no message.
        while self.separator.is_none() {
            match piece(&mut self.input, &mut line)? {
                Piece::End => return Ok(None),
                _ if is_separator(&line) => self.separator = Some(std::mem::take(&mut line)),
                _ => {}
            }
        }
        self.number = self.number.saturating_add(1);
        let from_line = self.separator.take().and_then(|line| sender(&line));
        let mut content = Octets::default();
        let (mut begins_line, mut after_empty) = (true, true);
        loop {
            let read = piece(&mut self.input, &mut line)?;
            if read == Piece::End {
                break;
            }
            if begins_line && after_empty && is_separator(&line) {
                self.separator = Some(std::mem::take(&mut line));
                break;
            }
            after_empty = begins_line && matches!(line.as_slice(), b"\n" | b"\r\n");
            let text = if begins_line { unquoted(&line) } else { &line };
            push_line(&mut content, text, self.bytes_max);
            begins_line = read == Piece::Last;
        }
        // The empty line before the next separator is the file's.
        if after_empty && !content.is_cut() && content.bytes.ends_with(b"\r\n\r\n") {
            let kept = content.bytes.len().saturating_sub(2);
            content.bytes.truncate(kept);
            content.len = content.len.saturating_sub(2);
        }
        Ok(Some(Mail { place: format!("{} message {}", self.name, self.number), content, from_line }))
    }
}

impl<R: BufRead> Iterator for Mbox<R> {
    type Item = Result<Mail, PassedOver>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        match self.read() {
            Ok(Some(mail)) => Some(Ok(mail)),
            Ok(None) => {
                self.is_over = true;
                None
            }
            Err(error) => {
                self.is_over = true;
                Some(Err(PassedOver::new(format!("{} after message {}", self.name, self.number), error.to_string())))
            }
        }
    }
}

/// `From sender Thu Nov 21 10:00:00 2026`: with a time and a year, so that no sentence passes for one.
fn is_separator(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    if rest.len() > 1000 {
        return false;
    }
    let text = String::from_utf8_lossy(rest);
    let is_digits = |part: &str| !part.is_empty() && part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = |word: &str| (2..=3).contains(&word.split(':').count()) && word.split(':').all(is_digits);
    let is_year = |word: &str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    text.split_whitespace().any(is_time) && text.split_whitespace().any(is_year)
}

/// The sender in a separator; some programs write a dash for none, or `MAILER-DAEMON`.
fn sender(separator: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(separator).into_owned();
    let word = text.strip_prefix("From ")?.split_whitespace().next()?;
    word.contains('@').then(|| word.trim_start_matches('<').trim_end_matches('>').to_owned())
}

/// One `>` less before `From `.
fn unquoted(line: &[u8]) -> &[u8] {
    let quotes = line.iter().take_while(|byte| **byte == b'>').count();
    let is_quoted = quotes > 0 && line.get(quotes..).is_some_and(|rest| rest.starts_with(b"From "));
    if is_quoted { line.get(1..).unwrap_or_default() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mails(text: &[u8]) -> Vec<(Option<String>, String)> {
        let text = Mbox::new(text, "x".to_owned(), 1 << 20).map(|mail| {
            let mail = mail.expect("readable");
            (mail.from_line, String::from_utf8(mail.content.bytes).expect("text"))
        });
        text.collect()
    }

    #[test]
    fn messages_are_divided_at_separators_alone() {
        let text = b"From a@x.example Thu Nov 21 10:00:00 2026\nSubject: 1\n\nFrom here on it is text.\n>From quoted\n>>From twice\n\n\
            From b@x.example  Fri Nov  2 1:00 2026 +0100\nSubject: 2\n\nx\n\nFrom MAILER-DAEMON Fri Nov 20 01:00:00 2026\nSubject: 3\n";
        assert_eq!(
            mails(text),
            [
                (Some("a@x.example".to_owned()), "Subject: 1\r\n\r\nFrom here on it is text.\r\nFrom quoted\r\n>From twice\r\n".to_owned()),
                (Some("b@x.example".to_owned()), "Subject: 2\r\n\r\nx\r\n".to_owned()),
                (None, "Subject: 3\r\n".to_owned()),
            ]
        );
    }

    #[test]
    fn a_broken_file_ends_and_loses_nothing_that_can_be_read() {
        assert_eq!(mails(b""), []);
        assert_eq!(mails(b"no mbox\nat all\n"), []);
        assert_eq!(mails(b"From a@b Thu Nov 21 10:00:00 2026"), [(Some("a@b".to_owned()), String::new())]);
        let binary: Vec<u8> = (0..100_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap_or(0)).collect();
        mails(&binary);
        let two = b"From a@b Thu Nov 21 10:00:00 2026\n\nFrom c@d Thu Nov 21 10:00:00 2026\n";
        assert_eq!(mails(two).len(), 2);
    }
}
