//! How jobs are shown.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::seconds_since;
use super::sieve::Found;
use crate::control::{JobShown, RecipientShown};
use crate::dispatch::job::{JobState, Pending};
use crate::spool::UnixMillis;

/// As in the log.
const TIMESTAMP: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A time as the log writes it.
pub(super) fn at(millis: UnixMillis) -> String {
    let nanos = i128::from(millis).saturating_mul(1_000_000);
    // Beyond the year 9999 there are no times, and no due dates either.
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().and_then(|time| time.format(TIMESTAMP).ok()).unwrap_or_default()
}

/// A job.
pub(super) fn job(found: &Found, now: UnixMillis) -> JobShown {
    let Found { view, state, envelope } = found;
    let word = match (view.claimed, view.held) {
        (true, _) => "trying",
        (false, true) => "held",
        (false, false) if view.due <= now => "due",
        (false, false) => "waiting",
    };
    JobShown {
        id: format!("{}/{}", view.id.entry, view.id.job),
        relay: view.lane.to_string(),
        rule: state.as_ref().map(|state| state.rule.to_string()),
        sender: envelope.as_ref().map(|envelope| envelope.reverse_path.as_str().to_owned()),
        recipients: state.iter().flat_map(|state| &state.recipients).map(recipient).collect(),
        attempts: state.as_ref().map_or(view.attempt, |state| attempts(view.attempt, state)),
        next_attempt: (!view.held && !view.claimed).then(|| at(view.due)),
        stored: at(view.stored_at),
        age_seconds: seconds_since(view.stored_at, now),
        state: word.to_owned(),
        bytes: view.content_bytes,
    }
}

/// As the log counts them.
fn attempts(claimed: u32, state: &JobState) -> u32 {
    claimed.saturating_add(state.attempts).saturating_sub(state.untried)
}

fn recipient(pending: &Pending) -> RecipientShown {
    let last = pending.last.as_ref();
    RecipientShown {
        address: pending.address.to_string(),
        reply: last.map(|failure| failure.literal().to_string()),
        detail: last.map(|failure| failure.detail.clone()).filter(|detail| !detail.is_empty()),
    }
}
