//! Next hops that say much, to messages for many.

use std::sync::Arc;

use super::cuts::relay;
use super::setting;
use crate::config::DeliveryMode;
use crate::dispatch::{Dispatcher, Intake};
use crate::examination::Sealing;
use crate::limits::RECIPIENTS_MAX;
use crate::message::SessionIds;
use crate::relay::tests::hop::{Act, Hop, Script};
use crate::relay::tests::relays;
use crate::spool::{LocalSpool, Spool};
use crate::telemetry::{Format, Lines, Log};

/// What is remembered of every recipient fits into the spool: otherwise those who were served would be served again after each start.
#[tokio::test]
async fn the_longest_refusals_of_a_message_with_most_recipients_are_stored() {
    let words: &'static str =
        Box::leak("451-4.3.0 so many words, so little said, and yet the next hop goes on\r\n".repeat(900).into_boxed_str());
    let refusal: &'static str = Box::leak(format!("{words}451 4.3.0 later").into_boxed_str());
    for place in ["CONNECT", "RCPT"] {
        let script = Script::rule(move |command, _| {
            (command.starts_with(place) && command != "RCPT TO:<served@here.example>").then_some(Act::Say(refusal))
        });
        let hop = Hop::start(script).await;
        let (folder, lines) = (setting::folder(), Lines::default());
        let spool = Arc::new(LocalSpool::open(folder.path(), crate::dispatch::unix_millis).unwrap().0);
        let log = Log::new(Format::Json, lines.clone());
        let snapshot = Arc::new(setting::snapshot(vec![relay("alpha", &hop)], None));
        let ids = Arc::new(SessionIds::new(7));
        let dispatcher = Dispatcher::new(Arc::clone(&spool), relays(), Sealing::default(), log, ids, Arc::clone(&snapshot));
        let mut recipients: Vec<String> = (1..RECIPIENTS_MAX).map(|number| format!("r{number}@here.example")).collect();
        recipients.push("served@here.example".to_owned());
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        let endpoint = setting::endpoint(setting::rule_set(), DeliveryMode::Inline);
        let reply = dispatcher.take(setting::incoming(1, "s@sender.example", &recipients, &snapshot, &endpoint)).await;
        assert_eq!((reply.code, spool.stats().await.unwrap().entries), (250, 1), "{place}: {:.200}", reply.to_string());
    }
}
