//! What becomes of a message before any rule sees it: its header is read, and loops end here. Pure.

use bytes::Bytes;

use crate::failure::{Failure, Side};
use crate::limits::{HOPS_MAX, Limit};
use crate::message::Original;
use crate::smtp::{Reply, Status};

/// The message with its header read, and with those fields marked that claim to be ours.
pub(crate) fn read(data: Bytes, hostname: &str) -> Result<Original, Failure> {
    let too_large =
        |error: crate::message::HeaderError| Failure::new(Side::Client, Reply::new(554, Some(Status(5, 6, 0)), error.to_string()), "");
    let original = Original::parse(data).map_err(|error| too_large(error).by(Limit::Header))?;
    Ok(original.disbelieving(hostname))
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
