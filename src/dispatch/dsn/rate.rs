//! How many notifications are made: in a minute for all, in an hour for one sender whom strangers name.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Kind;
use crate::limits::{DSN_PER_MINUTE_MAX, DSN_PER_SENDER_MAX, DSN_RELAYED_PER_MINUTE_MAX, DSN_SENDER_WINDOW};

/// Notifications made of late.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct Rate {
    minute: Option<Instant>,
    made: u32,
    /// The begin of each sender's hour, and what was made in it. There are no more than were made in an hour.
    senders: HashMap<String, (Instant, u32)>,
}

impl Rate {
    /// Why it is not made now. What says that all is well, which everybody can ask for with every message, leaves room for what does not.
    /// `sender` is named by a stranger, so it may be a victim.
    pub(super) fn admit(&mut self, kind: Kind, sender: Option<&str>, now: Instant) -> Result<(), &'static str> {
        if self.minute.is_none_or(|begin| now.duration_since(begin) >= Duration::from_secs(60)) {
            (self.minute, self.made) = (Some(now), 0);
            self.senders.retain(|_, (begin, _)| now.duration_since(*begin) < DSN_SENDER_WINDOW);
        }
        let most = if kind == Kind::Relayed { DSN_RELAYED_PER_MINUTE_MAX } else { DSN_PER_MINUTE_MAX };
        if self.made >= most {
            return Err("not sent: too many notifications in this minute");
        }
        if let Some(sender) = sender {
            let (begin, made) = self.senders.entry(sender.to_lowercase()).or_insert((now, 0));
            if now.duration_since(*begin) >= DSN_SENDER_WINDOW {
                (*begin, *made) = (now, 0);
            }
            if *made >= DSN_PER_SENDER_MAX {
                return Err("not sent: too many notifications for this sender in this hour");
            }
            *made = made.saturating_add(1);
        }
        self.made = self.made.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_by_the_minute() {
        let mut rate = Rate::default();
        let begin = Instant::now();
        assert!((0..DSN_PER_MINUTE_MAX).all(|_| rate.admit(Kind::Failed, None, begin).is_ok()));
        assert!(rate.admit(Kind::Failed, None, begin).is_err());
        assert!(rate.admit(Kind::Failed, None, begin + Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn whoever_asks_to_be_told_of_deliveries_leaves_room_for_failures() {
        let mut rate = Rate::default();
        let begin = Instant::now();
        let flood = (0..DSN_PER_MINUTE_MAX * 10).filter(|_| rate.admit(Kind::Relayed, None, begin).is_ok()).count();
        assert_eq!(flood, DSN_RELAYED_PER_MINUTE_MAX as usize);
        let failures = (0..DSN_PER_MINUTE_MAX).filter(|_| rate.admit(Kind::Failed, None, begin).is_ok()).count();
        assert_eq!(failures, (DSN_PER_MINUTE_MAX - DSN_RELAYED_PER_MINUTE_MAX) as usize);
    }

    #[test]
    fn one_victim_is_not_flooded_and_does_not_keep_others_from_hearing() {
        let mut rate = Rate::default();
        let begin = Instant::now();
        let flood = (0..200).filter(|_| rate.admit(Kind::Failed, Some("Victim@example.org"), begin).is_ok()).count();
        assert_eq!(flood, DSN_PER_SENDER_MAX as usize);
        assert!(rate.admit(Kind::Failed, Some("victim@EXAMPLE.org"), begin).is_err());
        assert!(rate.admit(Kind::Failed, Some("other@example.org"), begin).is_ok());
        assert!(rate.admit(Kind::Failed, None, begin).is_ok());
        assert!(rate.admit(Kind::Failed, Some("victim@example.org"), begin + DSN_SENDER_WINDOW).is_ok());
        rate.admit(Kind::Failed, None, begin + DSN_SENDER_WINDOW * 3).unwrap();
        assert!(rate.senders.is_empty());
    }
}
