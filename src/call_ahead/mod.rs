//! Call-ahead: recipients are looked up at the relay that knows them, before they are accepted.
//!
//! - What the relay says is remembered for a while, for a bounded number of recipients; who asks for one that somebody is asking for waits
//!   for the same answer.
//! - Only a 5xx reply that is about the recipient refuses. A relay that is slow, busy, held or dead, and one that says 4xx, refuses nobody:
//!   the mail is taken and waits in the queue, where the relay is asked with patience.
//! - A few questions at a time for each relay: deliveries need its connections, too. A relay that could not be asked is left alone for a moment.
//! - A relay that takes every recipient makes every recipient known. It does no harm, and no good.

mod memory;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use self::memory::Memory;
use crate::config::{self, Snapshot};
use crate::limits::{CALL_AHEAD_PAUSE, CALL_AHEAD_QUESTIONS_MAX, CALL_AHEAD_REPLY_CHARS_MAX};
use crate::message::{MessageId, printable};
use crate::relay::{NextHops, Readiness, RelayConfig, Verified};
use crate::smtp::{Address, Reply, Status};
use crate::telemetry::{Event, Log};

/// Whoever knows recipients: [`Caller`] in service.
pub trait CallAhead: Debug + Send + Sync {
    /// The reply that refuses the recipient; `None` accepts it. It takes no longer than the endpoint allows.
    fn ask<'a>(&'a self, question: Question<'a>) -> Pin<Box<dyn Future<Output = Option<Reply>> + Send + 'a>>;

    /// What was said by relays that the configuration may have changed is forgotten.
    fn forget(&self);
}

/// A recipient that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The transaction, for the log.
    pub message: MessageId,
    /// Where relays are found.
    pub snapshot: &'a Snapshot,
    /// What the endpoint says.
    pub config: &'a config::CallAhead,
    /// Who.
    pub recipient: &'a Address,
}

/// Asks relays for recipients.
pub struct Caller<N> {
    inner: Arc<Inner<N>>,
    log: Log,
}

struct Inner<N> {
    next_hops: N,
    state: Mutex<State>,
}

impl<N> Debug for Caller<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Caller(..)")
    }
}

#[derive(Debug, Default)]
struct State {
    memory: Memory,
    /// Who is being asked for; there are no more than sessions that ask and questions that outlast theirs.
    asked: HashMap<Key, watch::Receiver<Option<Said>>>,
    /// By relay.
    places: HashMap<Arc<str>, Arc<Semaphore>>,
    /// Relays that could not be asked, and until when they are not.
    paused: HashMap<Arc<str>, Instant>,
}

/// A recipient at a relay. The local part is taken as it is: only the relay knows whether its case matters (RFC 5321 §2.4).
type Key = (Arc<str>, String);

/// What is known of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// The relay takes mail for it.
    Known,
    /// It does not.
    Unknown(Reply),
    /// It did not say.
    Nothing(Arc<str>),
}

impl<N: NextHops> Caller<N> {
    /// Nobody is asked yet.
    pub fn new(next_hops: N, log: Log) -> Self {
        Self { inner: Arc::new(Inner { next_hops, state: Mutex::default() }), log }
    }

    async fn answer(&self, question: Question<'_>) -> Option<Reply> {
        let Question { message, snapshot, config, recipient } = question;
        let name = config.relay(recipient.domain())?;
        let began = Instant::now();
        let (said, cached) = self.look_up(snapshot, config, name, recipient, began).await;
        let (result, reply, detail) = match &said {
            Said::Known => ("known", None, None),
            Said::Unknown(reply) => ("unknown", Some(refusal(reply)), None),
            Said::Nothing(why) => ("no answer", None, Some(&**why)),
        };
        self.log.emit(&Event::CallAhead {
            session: message.session,
            message,
            relay: name,
            recipient,
            result,
            cached,
            reply: reply.as_ref(),
            detail,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        reply
    }

    /// What is known, and whether it was known before.
    async fn look_up(
        &self,
        snapshot: &Snapshot,
        config: &config::CallAhead,
        name: &Arc<str>,
        recipient: &Address,
        began: Instant,
    ) -> (Said, bool) {
        let Some(relay) = snapshot.relays.get(name) else { return (Said::Nothing("the relay is not in the configuration".into()), false) };
        let key = (Arc::clone(name), format!("{}@{}", recipient.local_part(), recipient.domain().to_lowercase()));
        let deadline = began + config.timeout;
        let mut answer = {
            let mut state = self.inner.state();
            if let Some(said) = state.memory.get(&key, began) {
                return (said, true);
            }
            match state.asked.get(&key) {
                Some(answer) => answer.clone(),
                None => {
                    if let Some(why) = self.inner.hindrance(&mut state, relay, began) {
                        return (Said::Nothing(why.into()), false);
                    }
                    let (tell, answer) = watch::channel(None);
                    let places = state.places.entry(Arc::clone(name)).or_insert_with(|| Arc::new(Semaphore::new(CALL_AHEAD_QUESTIONS_MAX)));
                    let places = Arc::clone(places);
                    state.asked.insert(key.clone(), answer.clone());
                    let call = Call { relay: Arc::clone(relay), recipient: recipient.clone(), key: key.clone(), deadline };
                    // By itself: others may wait for the answer when this client is gone.
                    let (inner, times) = (Arc::clone(&self.inner), (config.positive, config.negative));
                    tokio::spawn(async move {
                        let said = inner.call(&call, &places).await;
                        inner.remember(call, &said, times);
                        let _ = tell.send(Some(said));
                    });
                    answer
                }
            }
        };
        let said = match timeout_at(deadline, answer.wait_for(Option::is_some)).await {
            Ok(Ok(said)) => said.clone(),
            // Who was to ask is gone without a word: the next one asks anew.
            Ok(Err(_)) => {
                self.inner.state().asked.remove(&key);
                None
            }
            Err(_) => None,
        };
        (said.unwrap_or_else(|| Said::Nothing("the relay did not answer in time".into())), false)
    }
}

impl<N: NextHops> CallAhead for Caller<N> {
    fn ask<'a>(&'a self, question: Question<'a>) -> Pin<Box<dyn Future<Output = Option<Reply>> + Send + 'a>> {
        Box::pin(self.answer(question))
    }

    fn forget(&self) {
        let mut state = self.inner.state();
        state.memory = Memory::default();
        state.paused.clear();
    }
}

/// One question to a relay.
struct Call {
    relay: Arc<RelayConfig>,
    recipient: Address,
    key: Key,
    deadline: Instant,
}

impl<N: NextHops> Inner<N> {
    /// Why the relay is not asked now.
    fn hindrance(&self, state: &mut State, relay: &RelayConfig, now: Instant) -> Option<&'static str> {
        state.paused.retain(|_, until| *until > now);
        if state.paused.contains_key(&relay.name) {
            return Some("the relay could not be asked a moment ago");
        }
        match self.next_hops.readiness(relay) {
            Readiness::Open { .. } => None,
            Readiness::Waits { .. } => Some("the relay takes nothing at the moment"),
            Readiness::Held => Some("the relay is held"),
        }
    }

    async fn call(&self, call: &Call, places: &Semaphore) -> Said {
        let Ok(Ok(_place)) = timeout_at(call.deadline, places.acquire()).await else {
            return Said::Nothing("too many recipients are asked for".into());
        };
        match self.next_hops.verify(&call.relay, &call.recipient, call.deadline).await {
            Verified::Yes => Said::Known,
            Verified::No(reply) => Said::Unknown(reply),
            Verified::NotNow(reply) => Said::Nothing(reply.to_string().into()),
            Verified::Unknown(failure) => {
                let until = Instant::now() + CALL_AHEAD_PAUSE;
                self.state().paused.insert(Arc::clone(&call.relay.name), until);
                Said::Nothing(failure.to_string().into())
            }
        }
    }

    fn remember(&self, call: Call, said: &Said, (positive, negative): (Duration, Duration)) {
        let now = Instant::now();
        let mut state = self.state();
        state.asked.remove(&call.key);
        match said {
            Said::Known => state.memory.put(call.key, said.clone(), now, now + positive),
            Said::Unknown(_) => state.memory.put(call.key, said.clone(), now, now + negative),
            Said::Nothing(_) => {}
        }
    }

    /// Held for look-ups only.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The relay's words as our client is told them.
fn refusal(reply: &Reply) -> Reply {
    let text = printable(&reply.text.replace('\n', " "), CALL_AHEAD_REPLY_CHARS_MAX);
    Reply::new(550, Some(Status(5, 1, 1)), format!("The next hop does not know this recipient: {text}"))
}
