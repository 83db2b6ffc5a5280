//! Files of the account and the certificates: one folder for each directory, so that a change from one authority to another
//! mixes nothing up. Everything here blocks.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hyper::Uri;
use zeroize::Zeroizing;

use crate::limits::ACME_FILE_BYTES_MAX;

/// Where the account lies in the folder.
pub(super) const ACCOUNT: &str = "account.json";

/// The files of one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    root: PathBuf,
    folder: PathBuf,
}

impl Storage {
    /// Nothing is touched yet. The folder is named by the directory's host, for people, and a checksum of its URL.
    pub(super) fn new(root: &Path, directory: &str) -> Self {
        let uri = directory.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or("directory");
        let host: String = host.chars().map(|c| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '_' }).collect();
        Self { root: root.to_owned(), folder: root.join(format!("{host}-{:08x}", crc32fast::hash(directory.as_bytes()))) }
    }

    /// A file's path, for people.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Makes the folders and sees that files can be written: what is ordered must have a place to stay.
    pub(super) fn prepare(&self) -> io::Result<()> {
        if let Some(parent) = self.root.parent() {
            fs::create_dir_all(parent)?;
        }
        for folder in [&self.root, &self.folder] {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        // Keys lie here: what others could read before, they cannot any more. The root may be somebody else's as well, and keeps its mode.
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))?;
        self.write(".probe", b"")?;
        fs::remove_file(self.folder.join(".probe"))
    }

    /// A file's content; `None` if there is none.
    pub(super) fn read(&self, file: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let file = match File::open(self.folder.join(file)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Zeroizing::new(Vec::with_capacity(8 * 1024));
        let most = u64::try_from(ACME_FILE_BYTES_MAX).unwrap_or(u64::MAX);
        file.take(most.saturating_add(1)).read_to_end(&mut content)?;
        if content.len() > ACME_FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than any certificate"));
        }
        Ok(Some(content))
    }

    /// Writes a file whole or not at all, readable by this user alone.
    pub(super) fn write(&self, file: &str, content: &[u8]) -> io::Result<()> {
        let (path, new) = (self.folder.join(file), self.folder.join(format!("{file}.new")));
        // One that a crash has left would keep its own mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        opened.write_all(content)?;
        opened.sync_all()?;
        fs::rename(&new, &path)?;
        // The name is on disk when the folder is.
        File::open(&self.folder)?.sync_all()
    }

    /// Renames what cannot be used, so that it is kept for a person and out of the way.
    pub(super) fn set_aside(&self, file: &str) -> io::Result<PathBuf> {
        let aside = self.folder.join(format!("{file}.damaged"));
        fs::rename(self.folder.join(file), &aside)?;
        Ok(aside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_there_for_this_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(&folder.path().join("var/acme"), super::super::LETS_ENCRYPT);
        assert!(storage.read("mx.pem").unwrap().is_none());
        storage.prepare().unwrap();
        storage.write("mx.pem", b"old").unwrap();
        storage.write("mx.pem", b"new").unwrap();
        assert_eq!(storage.read("mx.pem").unwrap().unwrap().as_slice(), b"new");
        assert_eq!(mode(&storage.path("mx.pem")), 0o600);
        assert_eq!((mode(&storage.root), mode(&storage.folder)), (0o700, 0o700));
        assert!(storage.folder.file_name().unwrap().to_str().unwrap().starts_with("acme-v02.api.letsencrypt.org-"));
        let aside = storage.set_aside("mx.pem").unwrap();
        assert!(storage.read("mx.pem").unwrap().is_none() && aside.exists());
        assert_eq!(fs::read_dir(&storage.folder).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_folder_that_others_use_stays_theirs() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let storage = Storage::new(folder.path(), "https://ca.example/directory");
        fs::create_dir(&storage.folder).unwrap();
        storage.prepare().unwrap();
        assert_eq!((mode(folder.path()), mode(&storage.folder)), (0o755, 0o700));
    }

    #[test]
    fn a_write_that_a_crash_cut_short_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path(), "https://ca.example/directory");
        storage.prepare().unwrap();
        fs::write(storage.path("mx.pem.new"), b"half").unwrap();
        storage.write("mx.pem", b"whole").unwrap();
        assert_eq!(storage.read("mx.pem").unwrap().unwrap().as_slice(), b"whole");
        assert_eq!(mode(&storage.path("mx.pem")), 0o600);
    }

    #[test]
    fn directories_have_folders_of_their_own_and_large_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let one = Storage::new(folder.path(), "https://127.0.0.1:14000/dir");
        assert_ne!(one, Storage::new(folder.path(), "https://127.0.0.1:14001/dir"));
        one.prepare().unwrap();
        one.write("x", &vec![0; ACME_FILE_BYTES_MAX + 1]).unwrap();
        assert_eq!(one.read("x").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
