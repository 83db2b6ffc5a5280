//! TXT records that verdicts are made from: asked for in parallel, each name once.
//!
//! Verdicts are made from [`Texts`] alone; where those come from is a [`Source`], which is DNS outside of tests.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use crate::dns::{DnsError, Inquiry, Records};
use crate::limits::VERDICT_REASON_CHARS_MAX;
use crate::message::printable;

/// Where answers come from.
pub(super) trait Source: Sync {
    /// The TXT records of a name.
    fn txt(&self, name: &str) -> impl Future<Output = Answer> + Send;
    /// Whether a name exists (RFC 8020).
    fn exists(&self, name: &str) -> impl Future<Output = Result<bool, DnsError>> + Send;
}

impl Source for Inquiry {
    async fn txt(&self, name: &str) -> Answer {
        Inquiry::txt(self, name).await
    }

    async fn exists(&self, name: &str) -> Result<bool, DnsError> {
        Ok(self.ipv4(name).await?.exists)
    }
}

/// What names hold, as far as it was asked for.
#[derive(Debug, Default)]
pub(super) struct Texts {
    known: BTreeMap<String, Answer>,
}

/// What a name holds.
pub(super) type Answer = Result<Records<Box<[u8]>>, DnsError>;

impl Texts {
    /// Asks for those names that were not asked for yet.
    pub(super) async fn ask(&mut self, source: &impl Source, mut names: Vec<String>) {
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !self.known.contains_key(name));
        let answers = all(names.iter().map(|name| source.txt(name))).await;
        self.known.extend(names.into_iter().zip(answers));
    }

    /// The answer; `None` if nobody asked.
    pub(super) fn get(&self, name: &str) -> Option<&Answer> {
        self.known.get(name)
    }

    #[cfg(test)]
    pub(super) fn of(answers: impl IntoIterator<Item = (String, Answer)>) -> Self {
        Self { known: answers.into_iter().collect() }
    }
}

/// Waits for all, side by side.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    enum State<F: Future> {
        Running(Pin<Box<F>>),
        Done(Option<F::Output>),
    }
    let mut states: Vec<State<F>> = futures.map(|future| State::Running(Box::pin(future))).collect();
    poll_fn(move |context| {
        let mut is_ready = true;
        for state in &mut states {
            if let State::Running(future) = state {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *state = State::Done(Some(output)),
                    Poll::Pending => is_ready = false,
                }
            }
        }
        if !is_ready {
            return Poll::Pending;
        }
        let outputs = states.iter_mut().filter_map(|state| if let State::Done(output) = state { output.take() } else { None });
        Poll::Ready(outputs.collect())
    })
    .await
}

/// As reasons are: what came from outside is cut and masked.
pub(super) fn line(text: &str) -> Box<str> {
    printable(text, VERDICT_REASON_CHARS_MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_wait_side_by_side_and_keep_their_order() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (mut sender, mut receiver) = (Some(sender), Some(receiver));
        // The first waits for what the second sends.
        let outputs = all((0..3).map(|number| {
            let (receiver, sender) = (if number == 0 { receiver.take() } else { None }, if number == 1 { sender.take() } else { None });
            async move {
                if let Some(sender) = sender {
                    sender.send(()).expect("the other waits");
                }
                if let Some(receiver) = receiver {
                    receiver.await.expect("the other sends");
                }
                number
            }
        }))
        .await;
        assert_eq!(outputs, [0, 1, 2]);
        assert_eq!(all(std::iter::empty::<std::future::Ready<()>>()).await, []);
    }
}
