//! What relays keep across restarts (holds, and counts against their limits): small values in the spool.

use std::sync::Arc;

use bytes::Bytes;

use crate::relay::{Memory, Remembered};
use crate::spool::{LocalSpool, Spool};

pub(super) struct RelayMemory(pub(super) Arc<LocalSpool>);

impl Memory for RelayMemory {
    fn remember<'a>(&'a self, key: &'a str, value: Option<Bytes>) -> Remembered<'a> {
        Box::pin(async move { self.0.remember(key, value).await.map_err(|error| error.to_string()) })
    }
}
