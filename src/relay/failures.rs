//! The failures of this room, and what each means for the message.

use std::fmt::Display;
use std::time::Duration;

use super::replies::Meaning;
use crate::failure::{Class, Failure, Side};
use crate::smtp::{ClientError, Reply, Stage, Status};

const UNREACHABLE: Reply = Reply::fixed(451, Status(4, 4, 1), "The next hop cannot be reached");
const UNRESOLVED: Reply = Reply::fixed(451, Status(4, 4, 3), "The next hop's name cannot be resolved");
const NO_EXCHANGER: Reply = Reply::fixed(451, Status(4, 4, 4), "The next hop's domain has no usable mail exchanger");
const CONNECTION_LOST: Reply = Reply::fixed(451, Status(4, 4, 2), "The connection to the next hop was lost");
const TOO_SLOW: Reply = Reply::fixed(451, Status(4, 4, 2), "The next hop did not answer in time");
const PROTOCOL: Reply = Reply::fixed(451, Status(4, 5, 0), "The next hop does not speak SMTP correctly");
const TLS_FAILED: Reply = Reply::fixed(451, Status(4, 7, 5), "TLS with the next hop failed");
const TLS_ABSENT: Reply = Reply::fixed(451, Status(4, 7, 4), "TLS is required and the next hop does not offer it");
const LOGIN: Reply = Reply::fixed(451, Status(4, 7, 0), "The gateway cannot log in at the next hop");
const BUSY: Reply = Reply::fixed(451, Status(4, 4, 5), "All connections to the next hop are busy");
const SETTINGS: Reply = Reply::fixed(451, Status(4, 3, 5), "The gateway's settings for the next hop do not work");
const UNREAD: Reply = Reply::fixed(451, Status(4, 3, 0), "The message cannot be read from the spool");
const HELD: Status = Status(4, 3, 2);
const NO_ROOM: Reply = Reply::fixed(451, Status(4, 3, 2), "The limit of messages to the next hop is reached for now");
const PAUSED: Reply = Reply::fixed(451, Status(4, 3, 2), "The next hop has asked for a pause");
const UNCOUNTED: Reply = Reply::fixed(451, Status(4, 3, 0), "The message cannot be counted against the next hop's limits");
const LEFT_ALONE: Reply = Reply::fixed(451, Status(4, 4, 1), "The domain could not be reached lately");
/// RFC 8689 §4.2.1.
const REQUIRETLS: Reply = Reply::fixed(550, Status(5, 7, 10), "The message requires TLS, and the next hop cannot be reached by it");
/// Content with a bare CR or LF.
pub(super) const BARE_LINE_ENDS: Reply = Reply::fixed(554, Status(5, 6, 0), "The message has a CR or LF that is not part of a CRLF");
/// An address that cannot stand in a command.
pub(super) const BAD_ADDRESS: Reply = Reply::fixed(553, Status(5, 1, 3), "The address has characters that cannot be sent");

pub(super) fn unreachable(detail: impl Display) -> Failure {
    relay(UNREACHABLE, detail)
}

/// Also for a name that does not exist: the name stands in the configuration, so no mail may bounce for it.
pub(super) fn unresolved(detail: impl Display) -> Failure {
    relay(UNRESOLVED, detail)
}

pub(super) fn connection_lost(detail: impl Display) -> Failure {
    relay(CONNECTION_LOST, detail)
}

pub(super) fn too_slow(what: impl Display, waited: Duration) -> Failure {
    relay(TOO_SLOW, format!("no answer to {what} within {:.1} s", waited.as_secs_f64()))
}

/// There was no time to find out what the way to the next hop must be like.
pub(super) fn too_late(detail: impl Display) -> Failure {
    relay(TOO_SLOW, detail)
}

pub(super) fn tls_failed(detail: impl Display) -> Failure {
    relay(TLS_FAILED, detail)
}

pub(super) fn tls_absent() -> Failure {
    relay(TLS_ABSENT, "STARTTLS is not offered")
}

/// No other attempt will do better for a message with REQUIRETLS: its sender is to know that it cannot go this way.
pub(super) fn no_required_tls(detail: impl Display) -> Failure {
    relay(REQUIRETLS, detail)
}

/// A login that only the operator can mend; see [`Class::Hold`].
pub(super) fn login(detail: impl Display) -> Failure {
    ours(LOGIN, detail).of(Class::Hold)
}

/// The token endpoint gives no token for now.
pub(super) fn no_token(detail: impl Display) -> Failure {
    relay(LOGIN, detail)
}

/// The content is stored and cannot be read.
pub(super) fn unread(detail: impl Display) -> Failure {
    ours(UNREAD, detail)
}

pub(super) fn busy(detail: impl Display) -> Failure {
    ours(BUSY, detail)
}

/// A setting that only the operator can mend; see [`Class::Hold`].
pub(super) fn settings(detail: impl Display) -> Failure {
    ours(SETTINGS, detail).of(Class::Hold)
}

/// No connection was spent: the relay is held.
pub(super) fn held(reply: Option<&Reply>, reason: &str, wait: Duration) -> Failure {
    let text = match reply {
        Some(reply) => format!("Mail for the next hop is held, it said: {reply}"),
        None => "Mail for the next hop is held".to_owned(),
    };
    Failure { said: reply.cloned().map(Box::new), ..ours(Reply::new(451, Some(HELD), text), reason).after(wait) }
}

/// No connection was spent: a limit is used up for so long.
pub(super) fn no_room(wait: Duration) -> Failure {
    ours(NO_ROOM, "").after(wait)
}

/// No connection was spent: the next hop is left alone for so long.
pub(super) fn paused(wait: Duration) -> Failure {
    ours(PAUSED, "").after(wait)
}

/// What cannot be counted is not sent.
pub(super) fn uncounted(error: &str) -> Failure {
    ours(UNCOUNTED, error)
}

/// No connection was spent: a domain of the internet is dead, or has its share of places.
pub(super) fn left_alone(detail: &str, wait: Duration) -> Failure {
    ours(LEFT_ALONE, detail).after(wait)
}

/// A session that ended before there was a reply to report. A greeting or EHLO refused for good is temporary all the same: it
/// concerns this gateway, not the message.
pub(super) fn session(error: ClientError) -> Failure {
    match error {
        ClientError::Refused(stage, reply) => {
            let failure = temporary(Side::Relay, &reply, format!("reply to {stage}"));
            Failure { said: Some(Box::new(reply)), ..failure }
        }
        error => relay(PROTOCOL, error),
    }
}

/// The same failure for a message whose final dot was sent: it may have been accepted, and another attempt may double it.
pub(super) fn after_final_dot(mut failure: Failure) -> Failure {
    failure.detail.push_str("; the message was complete, another attempt may deliver it twice");
    failure
}

/// A reply that refuses a recipient or the message.
pub(super) fn refused(stage: Stage, reply: &Reply, meaning: &Meaning) -> Failure {
    if stage == Stage::Unsent {
        return Failure::new(Side::Relay, reply.clone(), "refused here, for what the next hop's EHLO says");
    }
    let colon = if meaning.words.is_empty() { "" } else { ": " };
    let failure = match meaning.class {
        Class::Hold => {
            let detail = format!("reply to {stage}; to be mended here, so the mail is kept: {}", meaning.words);
            temporary(Side::Us, reply, detail)
        }
        Class::Bounce | Class::Content => Failure::new(Side::Relay, reply.clone(), format!("reply to {stage}{colon}{}", meaning.words)),
        Class::Retry | Class::Alone | Class::Slow => temporary(Side::Relay, reply, format!("reply to {stage}{colon}{}", meaning.words)),
    };
    Failure { wait: meaning.wait, ..failure.of(meaning.class) }
}

/// A connection that a next hop refused, by what its words mean.
pub(super) fn weighed(failure: Failure, meaning: &Meaning) -> Failure {
    let detail = match meaning.words {
        "" => failure.detail.clone(),
        words if meaning.class == Class::Hold => format!("{}; to be mended here, so the mail is kept: {words}", failure.detail),
        words => format!("{}: {words}", failure.detail),
    };
    Failure { detail, wait: failure.wait.or(meaning.wait), ..failure.of(meaning.class) }
}

/// More than the relay is said to take: it is not even asked.
pub(super) fn too_large(octets: u64, limit: u64) -> Failure {
    let text = format!("The message has {octets} octets, the next hop takes {limit}");
    Failure::new(Side::Relay, Reply::new(552, Some(Status(5, 3, 4)), text), "refused here, for the relay's `max_message_size`")
}

/// A relay whose domain has no exchangers, or none but this gateway: what the configuration names may be mended.
pub(super) fn no_exchanger(detail: impl Display) -> Failure {
    relay(NO_EXCHANGER, detail)
}

fn relay(reply: Reply, detail: impl Display) -> Failure {
    Failure::new(Side::Relay, reply, detail.to_string())
}

fn ours(reply: Reply, detail: impl Display) -> Failure {
    Failure::new(Side::Us, reply, detail.to_string())
}

/// A 5xx told on as 4xx, with the next hop's own words in the text; a 4xx stays what it is.
fn temporary(side: Side, reply: &Reply, detail: String) -> Failure {
    if !reply.is_permanent() {
        return Failure::new(side, reply.clone(), detail);
    }
    let status = reply.status.map_or(Status(4, 0, 0), |status| Status(4, status.1, status.2));
    let text = format!("The next hop said: {reply}");
    Failure { said: Some(Box::new(reply.clone())), ..Failure::new(side, Reply::new(451, Some(status), text), detail) }
}
