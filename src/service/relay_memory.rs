//! What relays keep across restarts (holds, and counts against their limits): a small file each, in a folder of the spool.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::relay::{Memory, Recalled, Remembered};

/// The folder's name below the spool's.
const FOLDER: &str = "relays";

/// Files, each written whole under another name and then renamed, so that a crash leaves the old one or the new one.
pub(super) struct RelayMemory {
    folder: PathBuf,
}

impl RelayMemory {
    /// With all that was stored before.
    pub(super) fn open(spool: &Path) -> io::Result<(Self, Recalled)> {
        let folder = spool.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let mut recalled = Recalled::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str());
            if let Some(name) = name.filter(|_| path.extension().is_some_and(|extension| extension == "json")) {
                recalled.push((key(name), fs::read(&path)?.into()));
            }
        }
        Ok((Self { folder }, recalled))
    }
}

impl Memory for RelayMemory {
    fn remember<'a>(&'a self, key: &'a str, value: Option<Bytes>) -> Remembered<'a> {
        let name = key.strip_prefix(PREFIX).unwrap_or(key);
        // Names of relays are letters, digits, `-` and `_`; any other is no name for a file.
        let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let (folder, name) = (self.folder.clone(), name.to_owned());
        Box::pin(async move {
            if !is_plain {
                return Err(format!("`{name}` is no name for a file"));
            }
            let written = tokio::task::spawn_blocking(move || write(&folder, &name, value)).await;
            written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        })
    }
}

/// Keys of the values.
const PREFIX: &str = "relay/";

fn key(name: &str) -> Arc<str> {
    format!("{PREFIX}{name}").into()
}

fn write(folder: &Path, name: &str, value: Option<Bytes>) -> io::Result<()> {
    let path = folder.join(format!("{name}.json"));
    match value {
        Some(value) => {
            let new = folder.join(format!("{name}.new"));
            let mut file = File::create(&new)?;
            file.write_all(&value)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
        }
        None => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        },
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_outlive_the_process_and_no_name_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (memory, recalled) = RelayMemory::open(folder.path()).unwrap();
        assert!(recalled.is_empty());
        memory.remember("relay/one", Some(Bytes::from_static(b"1"))).await.unwrap();
        memory.remember("relay/two", Some(Bytes::from_static(b"2"))).await.unwrap();
        memory.remember("relay/two", Some(Bytes::from_static(b"3"))).await.unwrap();
        memory.remember("relay/one", None).await.unwrap();
        memory.remember("relay/one", None).await.unwrap();
        assert!(memory.remember("relay/../two", None).await.is_err());
        let (_, recalled) = RelayMemory::open(folder.path()).unwrap();
        assert_eq!(recalled, [("relay/two".into(), Bytes::from_static(b"3"))]);
    }
}
