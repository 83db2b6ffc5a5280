//! Secrets of this machine: a file (systemd's `LoadCredential=`, a Kubernetes volume) or an environment variable.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Held, Parse};
use crate::limits::SECRET_BYTES_MAX;

/// What tells one state of a file from the next. Volumes are switched by renaming, which gives another inode within the same second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// What a file holds; `older` again when the file has not changed since.
pub(super) async fn file<T: Send + Sync + 'static>(path: PathBuf, older: Option<Held<T>>, parse: Parse<T>) -> Result<Held<T>, Arc<str>> {
    // A file may lie on a network: neither the look nor the read may hold up the runtime.
    match tokio::task::spawn_blocking(move || read(&path, older, parse)).await {
        Ok(result) => result,
        Err(_) => Err("reading was interrupted".into()),
    }
}

fn read<T>(path: &Path, older: Option<Held<T>>, parse: Parse<T>) -> Result<Held<T>, Arc<str>> {
    // Looked at and read through one handle, so that both see the same file.
    let mut file = open(path)?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    let stamp = FileStamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    };
    if let Some(older) = older.filter(|older| older.stamp == Some(stamp)) {
        return Ok(older);
    }
    if !metadata.is_file() {
        return Err("it is not a regular file".into());
    }
    // Reserved whole: a buffer that grows leaves copies behind that nobody wipes.
    let mut json = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX.saturating_add(1)));
    let limit = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.by_ref().take(limit).read_to_end(&mut json).map_err(|error| unreadable(&error))?;
    Ok(Held { value: Arc::new(parsed(&json, parse)?), stamp: Some(stamp) })
}

/// Opens without waiting: a named pipe in the file's place must not hang a thread.
fn open(path: &Path) -> Result<File, Arc<str>> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(&error.into()))?;
    Ok(File::from(file))
}

/// What an environment variable holds. The process cannot change it, so there is nothing to cache.
pub(super) fn environment<T>(variable: &str, parse: Parse<T>) -> Result<T, Arc<str>> {
    let Some(json) = std::env::var_os(variable) else { return Err("it is not set".into()) };
    let json = Zeroizing::new(json.into_encoded_bytes());
    parsed(&json, parse)
}

fn parsed<T>(json: &[u8], parse: Parse<T>) -> Result<T, Arc<str>> {
    if json.len() > SECRET_BYTES_MAX {
        return Err(format!("it is longer than {SECRET_BYTES_MAX} octets").into());
    }
    let json = std::str::from_utf8(json).map_err(|_| Arc::from("it is not UTF-8"))?;
    parse(json).map_err(Arc::from)
}

fn unreadable(error: &std::io::Error) -> Arc<str> {
    match error.kind() {
        ErrorKind::NotFound => "it does not exist".into(),
        ErrorKind::PermissionDenied => "this process may not read it".into(),
        _ => format!("it cannot be read: {error}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Credential;

    fn read_twice(path: &Path, older: Option<Held<Credential>>) -> Result<(String, Held<Credential>), Arc<str>> {
        let held = read(path, older, Credential::from_json)?;
        Ok((held.value.password.as_str().to_owned(), held))
    }

    fn json(password: &str) -> String {
        format!(r#"{{"username": "relay", "password": "{password}"}}"#)
    }

    #[test]
    fn a_file_is_parsed_again_only_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.json");
        std::fs::write(&path, json("one")).unwrap();
        let (password, first) = read_twice(&path, None).unwrap();
        assert_eq!(password, "one");
        let (_, again) = read_twice(&path, Some(first.clone())).unwrap();
        assert!(Arc::ptr_eq(&first.value, &again.value));

        // As a volume does it: another file of the same length and time is renamed over it.
        let next = folder.path().join("next");
        std::fs::write(&next, json("two")).unwrap();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        File::options().write(true).open(&next).unwrap().set_modified(modified).unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert_eq!(read_twice(&path, Some(first)).unwrap().0, "two");
    }

    #[test]
    fn what_is_no_readable_secret_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.json");
        let problem = |path: &Path| read(path, None, Credential::from_json).map(|_| ()).unwrap_err().to_string();
        assert_eq!(problem(&path), "it does not exist");
        assert_eq!(problem(folder.path()), "it is not a regular file");
        std::fs::write(&path, json(&"x".repeat(SECRET_BYTES_MAX))).unwrap();
        assert_eq!(problem(&path), "it is longer than 65536 octets");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(problem(&path), "it is not UTF-8");
        std::fs::write(&path, "hunter2").unwrap();
        assert_eq!(problem(&path), "it is not JSON");
        assert_eq!(environment("GATEWAY_TEST_VARIABLE_THAT_NOBODY_SETS", Credential::from_json), Err("it is not set".into()));
    }

    #[test]
    fn a_pipe_in_place_of_the_file_does_not_hang() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(read(&path, None, Credential::from_json).map(|_| ()), Err("it is not a regular file".into()));
    }
}
