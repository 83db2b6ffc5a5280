//! Messages that the gateway itself writes (daily reports): stored like any other, delivered by a named relay, and never the
//! subject of a notification.

use std::sync::Arc;

use bytes::Bytes;

use super::Dispatcher;
use super::job::{JobState, StoredEnvelope};
use crate::daily_reports::Submit;
use crate::message::{Content, MessageId};
use crate::relay::NextHops;
use crate::smtp::{Address, MailTerms, Notify, RcptParameters, Recipient, ReversePath};
use crate::spool::{NewEntry, NewJob, Spool};

impl<S: Spool, N: NextHops> Submit for Dispatcher<S, N> {
    async fn submit(&self, rule: &'static str, relay: &str, from: &Address, to: &Address, content: Bytes) -> Result<(), String> {
        let snapshot = self.snapshot.load_full();
        // Without the relay it would wait in vain until it is too old.
        if !snapshot.relays.contains_key(relay) {
            return Err(format!("there is no relay `{relay}`"));
        }
        let id = MessageId { session: self.ids.next(self.now()), number: 1 };
        let never = Notify { success: false, failure: false, delay: false };
        let parameters = RcptParameters { notify: Some(never), ..RcptParameters::default() };
        let envelope = StoredEnvelope::new(
            ReversePath::Address(from.clone()),
            vec![Recipient { address: to.clone(), parameters }],
            !(from.is_ascii() && to.is_ascii()),
            !content.is_ascii(),
            Bytes::new(),
            Arc::clone(&snapshot.hash),
            MailTerms::default(),
        );
        let state = JobState::report(rule, relay.into(), to.clone());
        let jobs = vec![NewJob { lane: Arc::clone(&state.relay), due: self.now(), state: state.encode() }];
        let entry = NewEntry { id, envelope: envelope.encode(), content: Content::from(content), jobs };
        self.spool.append(entry).await.map(|_| ()).map_err(|error| error.to_string())
    }
}
