//! The answers to challenges under way (RFC 8555 §8.3), shared by the order that makes them and the responder that gives them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Key authorizations by token. Cloning it clones a reference.
#[derive(Clone, Debug, Default)]
pub(super) struct Challenges(Arc<Mutex<HashMap<String, Answer>>>);

#[derive(Debug)]
struct Answer {
    key_authorization: String,
    asked: Arc<AtomicBool>,
}

impl Challenges {
    /// Answers a token for as long as the offer lives.
    pub(super) fn offer(&self, token: &str, key_authorization: &str) -> Offer {
        let asked = Arc::new(AtomicBool::new(false));
        let answer = Answer { key_authorization: key_authorization.to_owned(), asked: Arc::clone(&asked) };
        self.lock().insert(token.to_owned(), answer);
        Offer { challenges: self.clone(), token: token.to_owned(), asked }
    }

    /// The answer to a token.
    pub(super) fn answer(&self, token: &str) -> Option<String> {
        let answers = self.lock();
        let answer = answers.get(token)?;
        answer.asked.store(true, Ordering::Relaxed);
        Some(answer.key_authorization.clone())
    }

    /// A panic elsewhere leaves the map whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is given; no longer when this is dropped.
#[derive(Debug)]
pub(super) struct Offer {
    challenges: Challenges,
    token: String,
    asked: Arc<AtomicBool>,
}

impl Offer {
    /// Whether anybody has asked.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.challenges.lock().remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_while_its_offer_lives() {
        let challenges = Challenges::default();
        let offer = challenges.offer("token", "token.thumbprint");
        assert_eq!(challenges.answer("other"), None);
        assert!(!offer.was_asked());
        assert_eq!(challenges.answer("token").as_deref(), Some("token.thumbprint"));
        assert!(offer.was_asked());
        drop(offer);
        assert_eq!(challenges.answer("token"), None);
    }
}
