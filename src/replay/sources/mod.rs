//! Where past mail is found: folders of files, Maildirs, mboxes, event logs. All are read once, from the front, in bounded memory.

mod folder;
mod lines;
pub(super) mod log;
mod mbox;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use self::folder::Folder;
use self::log::{Log, Logged};
use self::mbox::Mbox;
use super::past::PassedOver;

/// A message as a source has it.
#[derive(Debug)]
pub(super) enum Found {
    /// With its content, and no more of an envelope than the header tells.
    Mail(Mail),
    /// What a log tells.
    Logged(Box<Logged>),
}

/// A message as a file has it.
#[derive(Debug)]
pub(super) struct Mail {
    /// Where it was found.
    pub(super) place: String,
    /// Its octets, with CRLF.
    pub(super) content: Octets,
    /// The sender in the separator of an mbox.
    pub(super) from_line: Option<String>,
}

/// A content that was read as far as it may.
#[derive(Debug, Default)]
pub(super) struct Octets {
    /// The begin, or all.
    pub(super) bytes: Vec<u8>,
    /// How many there are in all.
    pub(super) len: u64,
}

impl Octets {
    /// Whether there is more than was kept.
    pub(super) fn is_cut(&self) -> bool {
        u64::try_from(self.bytes.len()).is_ok_and(|kept| kept < self.len)
    }

    /// Appends, up to `max` octets.
    pub(super) fn push(&mut self, bytes: &[u8], max: u64) {
        self.len = self.len.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.len <= max {
            self.bytes.extend_from_slice(bytes);
        } else {
            // Of what is too large to be taken only the header can matter, and that is near the front.
            self.bytes.shrink_to_fit();
        }
    }
}

/// One source.
pub(super) enum Source {
    /// Files.
    Folder(Folder),
    /// One file.
    Mbox(Mbox<Box<dyn BufRead>>),
    /// Events.
    Log(Box<Log<Box<dyn BufRead>>>),
    /// A single message.
    File(Option<Mail>),
}

impl Source {
    /// Opens what lies at a path; `-` is standard input. `bytes_max` bounds what is kept of one message.
    pub(super) fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let shown = path.display().to_string();
        if path.is_dir() {
            return Ok(Self::Folder(Folder::open(path, bytes_max)?));
        }
        let input: Box<dyn Read> = if shown == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
        let mut input: Box<dyn BufRead> = Box::new(BufReader::with_capacity(256 * 1024, input));
        // The byte order mark that some editors leave is no part of any of these.
        if input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            input.consume(3);
        }
        Ok(match input.fill_buf()? {
            begin if begin.starts_with(b"From ") => Self::Mbox(Mbox::new(input, shown, bytes_max)),
            begin if begin.trim_ascii_start().starts_with(b"{") => Self::Log(Box::new(Log::new(input, shown))),
            [] => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is empty")),
            _ => {
                let content = lines::message(&mut input, bytes_max)?;
                Self::File(Some(Mail { place: shown, content, from_line: None }))
            }
        })
    }

    /// What it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Folder(folder) if folder.is_maildir() => "Maildir",
            Self::Folder(_) => "folder",
            Self::Mbox(_) => "mbox",
            Self::Log(_) => "event log",
            Self::File(_) => "message",
        }
    }

    /// Whether the messages come with what happened then instead of their content.
    pub(super) fn is_log(&self) -> bool {
        matches!(self, Self::Log(_))
    }
}

impl Iterator for Source {
    type Item = Result<Found, PassedOver>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Folder(folder) => folder.next().map(|mail| mail.map(Found::Mail)),
            Self::Mbox(mbox) => mbox.next().map(|mail| mail.map(Found::Mail)),
            Self::Log(log) => log.next().map(|logged| logged.map(|logged| Found::Logged(Box::new(logged)))),
            Self::File(mail) => mail.take().map(|mail| Ok(Found::Mail(mail))),
        }
    }
}
