//! A folder of `.eml` files, or a Maildir, with the folders below it; in the order of names, so that a replay can be repeated.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::{Mail, lines};
use crate::limits::REPLAY_DEPTH_MAX;
use crate::replay::past::PassedOver;

/// A folder that is being read.
#[derive(Debug)]
pub(in crate::replay) struct Folder {
    /// What is left to be looked at; the next one stands at the end.
    left: Vec<Entry>,
    bytes_max: u64,
    is_maildir: bool,
}

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    depth: usize,
    /// Whether every file here is a message (`new` and `cur` of a Maildir).
    is_maildir: bool,
}

impl Folder {
    pub(super) fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let mut folder = Self { left: Vec::new(), bytes_max, is_maildir: is_maildir(path) };
        folder.enter(path, 0, false)?;
        Ok(folder)
    }

    pub(super) fn is_maildir(&self) -> bool {
        self.is_maildir
    }

    fn enter(&mut self, path: &Path, depth: usize, all_files: bool) -> io::Result<()> {
        let is_box = is_maildir(path);
        let mut paths: Vec<PathBuf> = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        paths.sort_unstable();
        for path in paths.into_iter().rev() {
            let name = path.file_name().unwrap_or_default();
            // What is in `tmp` is not delivered yet.
            if is_box && name == "tmp" {
                continue;
            }
            let is_maildir = all_files || (is_box && (name == "new" || name == "cur"));
            self.left.push(Entry { path, depth, is_maildir });
        }
        Ok(())
    }

    fn look(&mut self, entry: &Entry) -> io::Result<Option<Mail>> {
        let Entry { path, depth, is_maildir } = entry;
        let kind = fs::symlink_metadata(path)?.file_type();
        if kind.is_dir() {
            if *depth >= REPLAY_DEPTH_MAX {
                return Err(io::Error::other(format!("it lies more than {REPLAY_DEPTH_MAX} folders deep")));
            }
            self.enter(path, depth.saturating_add(1), *is_maildir)?;
            return Ok(None);
        }
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_eml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eml"));
        if is_hidden || !(is_eml || *is_maildir) {
            return Ok(None);
        }
        // A link to a file is followed, one to a folder is not: there is no circle. A pipe or a device would never end.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let content = lines::message(&mut BufReader::with_capacity(64 * 1024, File::open(path)?), self.bytes_max)?;
        Ok(Some(Mail { place: path.display().to_string(), content, from_line: None }))
    }
}

impl Iterator for Folder {
    type Item = Result<Mail, PassedOver>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.left.pop()?;
            match self.look(&entry) {
                Ok(Some(mail)) => return Some(Ok(mail)),
                Ok(None) => {}
                Err(error) => return Some(Err(PassedOver::new(entry.path.display().to_string(), error.to_string()))),
            }
        }
    }
}

fn is_maildir(path: &Path) -> bool {
    path.join("cur").is_dir() && path.join("new").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_order_and_links_make_no_circle() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/deep")).expect("a folder");
        for name in ["c.eml", "a.eml", "b/x.EML", "b/deep/y.eml", "b/notes.txt", ".hidden.eml"] {
            fs::write(at(name), "Subject: x\n\n").expect("a file");
        }
        std::os::unix::fs::symlink(folder.path(), at("b/deep/again")).expect("a link");
        std::os::unix::fs::symlink(at("gone"), at("d.eml")).expect("a link");
        let (mut found, mut passed_over) = (Vec::new(), Vec::new());
        for mail in Folder::open(folder.path(), 1000).expect("a folder") {
            match mail {
                Ok(mail) => found.push(mail.place),
                Err(passed) => passed_over.push(passed.place),
            }
        }
        let shown = |names: &[&str]| names.iter().map(|name| at(name).display().to_string()).collect::<Vec<_>>();
        assert_eq!(found, shown(&["a.eml", "b/deep/y.eml", "b/x.EML", "c.eml"]));
        assert_eq!(passed_over, shown(&["d.eml"]));
    }

    #[test]
    fn a_maildir_has_every_file_and_nothing_that_is_not_delivered() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["new/1.host", "cur/2.host:2,S", "tmp/3.host", ".Sent/cur/4.host:2,S", "dovecot.index"] {
            let path = folder.path().join(name);
            for sub in ["cur", "new"] {
                let of = if name.starts_with(".Sent") { folder.path().join(".Sent") } else { folder.path().to_owned() };
                fs::create_dir_all(of.join(sub)).expect("a folder");
            }
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "Subject: x\n\n").expect("a file");
        }
        let mails = Folder::open(folder.path(), 1000).expect("a folder");
        assert!(mails.is_maildir());
        let names: Vec<_> = mails.map(|mail| mail.expect("readable").place.rsplit('/').next().unwrap_or_default().to_owned()).collect();
        assert_eq!(names, ["4.host:2,S", "2.host:2,S", "1.host"]);
    }
}
