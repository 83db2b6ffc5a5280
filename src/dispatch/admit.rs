//! What becomes of a message before any rule sees it: its header is read, and loops end here. Pure.

use crate::failure::{Failure, Side};
use crate::limits::{HOPS_MAX, Limit};
use crate::message::{Data, HeaderError, Original, StoredError};
use crate::smtp::{NOT_ENOUGH_MEMORY, NOT_ENOUGH_STORAGE, NOT_STORED, Reply, Status};

/// The message with its header read, and with those fields marked that claim to be ours.
pub(crate) fn read(data: Data, hostname: &str) -> Result<Original, Failure> {
    let original = Original::of(data).map_err(|error| match error {
        HeaderError::Unread(error) => unread(&error),
        error => Failure::new(Side::Client, Reply::new(554, Some(Status(5, 6, 0)), error.to_string()), "").by(Limit::Header),
    })?;
    Ok(original.disbelieving(hostname))
}

/// The failure of a message of which not all could be stored, or not all that was stored could be read.
pub(crate) fn unread(error: &StoredError) -> Failure {
    match error {
        StoredError::Full => Failure::new(Side::Us, NOT_ENOUGH_STORAGE, error.to_string()).by(Limit::SpoolFree),
        StoredError::NoMemory => Failure::new(Side::Us, NOT_ENOUGH_MEMORY, error.to_string()).by(Limit::MessageMemory),
        StoredError::Failed(_) => Failure::new(Side::Us, NOT_STORED, error.to_string()),
    }
}

/// RFC 5321 §6.3: a message that came through here before, or through too many hosts, is refused for good.
pub(crate) fn refuse_loop(original: &Original, hostname: &str) -> Result<(), Failure> {
    let refused = |text| Failure::new(Side::Client, Reply::fixed(554, Status(5, 4, 6), text), "");
    if original.has_received_by(hostname) {
        Err(refused("This message has been here before: mail loop"))
    } else if original.hops() > HOPS_MAX {
        Err(refused("Too many hops: mail loop").by(Limit::Hops))
    } else {
        Ok(())
    }
}
