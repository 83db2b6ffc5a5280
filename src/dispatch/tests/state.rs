//! What a message carries about while it is under way: copied into its place, and kept for as long as a next hop takes.

use std::sync::Arc;

use super::setting;
use crate::config::DeliveryMode;
use crate::dispatch::{Dispatcher, Intake};
use crate::examination::Sealing;
use crate::message::SessionIds;
use crate::relay::tests::relays;
use crate::spool::LocalSpool;
use crate::telemetry::{Format, Lines, Log};

/// Octets. What is rarely needed (a login with a secret, a new connection, a chain of look-ups) is to be in boxes of its own.
const STATE_BYTES_MAX: usize = 10 * 1024;

#[tokio::test]
async fn the_state_of_a_message_under_way_is_small() {
    let folder = setting::folder();
    let spool = Arc::new(LocalSpool::open(folder.path(), crate::dispatch::unix_millis).unwrap().0);
    let snapshot = Arc::new(setting::snapshot(Vec::new(), None));
    let log = Log::new(Format::Json, Lines::default());
    let ids = Arc::new(SessionIds::new(7));
    let dispatcher = Dispatcher::new(spool, relays(), Sealing::default(), log, ids, Arc::clone(&snapshot));
    let endpoint = setting::endpoint(setting::rule_set(), DeliveryMode::Inline);
    let incoming = setting::incoming(1, "alice@sender.example", &["bob@here.example"], &snapshot, &endpoint);
    let taking = dispatcher.take(incoming);
    let bytes = std::mem::size_of_val(&taking);
    assert!(bytes <= STATE_BYTES_MAX, "{bytes}");
}
