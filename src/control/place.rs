//! Where the socket lies.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The socket's name in the spool's folder.
const NAME: &str = "control.sock";
/// What fits into an address of a Unix socket, less the octet that ends it.
/// Source: unix(7), `sun_path`.
const PATH_BYTES_MAX: usize = 107;

/// The socket of a spool.
pub(super) fn of(spool: &Path) -> PathBuf {
    spool.join(NAME)
}

/// A path to the socket that fits into an address. A long one leads through the open folder.
pub(super) struct Short {
    pub(super) path: PathBuf,
    /// Open for as long as the path is used.
    _folder: Option<File>,
}

impl Short {
    pub(super) fn of(spool: &Path) -> io::Result<Self> {
        let path = of(spool);
        if path.as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(spool)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(NAME);
        Ok(Self { path, _folder: Some(folder) })
    }
}
