//! The failures of this room: what each means for the message, and which refusals are the operator's to mend.

use std::fmt::Display;
use std::time::Duration;

use crate::failure::{Failure, Retry, Side};
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

pub(super) fn login(detail: impl Display) -> Failure {
    ours(LOGIN, detail)
}

/// The token endpoint gives no token for now.
pub(super) fn no_token(detail: impl Display) -> Failure {
    relay(LOGIN, detail)
}

pub(super) fn busy(detail: impl Display) -> Failure {
    ours(BUSY, detail)
}

pub(super) fn settings(detail: impl Display) -> Failure {
    ours(SETTINGS, detail)
}

/// A session that ended before there was a reply to report. A greeting or EHLO refused for good is temporary all the same: it
/// concerns this gateway, not the message.
pub(super) fn session(error: ClientError) -> Failure {
    match error {
        ClientError::Refused(stage, reply) => temporary(Side::Relay, &reply, format!("reply to {stage}")),
        error => relay(PROTOCOL, error),
    }
}

/// The same failure for a message whose final dot was sent: it may have been accepted, and another attempt may double it.
pub(super) fn after_final_dot(mut failure: Failure) -> Failure {
    failure.detail.push_str("; the message was complete, another attempt may deliver it twice");
    failure
}

/// A reply that refuses a recipient or the message.
pub(super) fn refused(stage: Stage, reply: &Reply) -> Failure {
    if stage == Stage::Unsent {
        return Failure::new(Side::Relay, reply.clone(), "refused here, for what the next hop's EHLO says");
    }
    if let Some(fault) = OPERATOR_FAULTS.iter().find(|fault| fault.applies(reply)) {
        return temporary(Side::Us, reply, format!("reply to {stage}; to be mended here, so the mail is kept: {}", fault.meaning));
    }
    // RFC 5321 §4.5.3.1.10: 552 to RCPT was once the code for too many recipients.
    if is_recipient_limit(stage, reply) {
        return temporary(Side::Relay, reply, format!("reply to {stage}"));
    }
    Failure::new(Side::Relay, reply.clone(), format!("reply to {stage}"))
}

/// Whether the next hop takes no more recipients in this transaction (452 4.5.3; RFC 5321 §4.5.3.1.10 for 552).
pub(super) fn is_recipient_limit(stage: Stage, reply: &Reply) -> bool {
    let subject_and_detail = reply.status.map(|status| (status.1, status.2));
    matches!(stage, Stage::Rcpt(_)) && matches!((reply.code, subject_and_detail), (452, Some((5, 3)) | None) | (552, Some((5, 3)) | None))
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
        return Failure { side, retry: Retry::Later, reply: reply.clone(), detail, limit: None };
    }
    let status = reply.status.map_or(Status(4, 0, 0), |status| Status(4, status.1, status.2));
    let text = format!("The next hop said: {reply}");
    Failure { side, retry: Retry::Later, reply: Reply::new(451, Some(status), text), detail, limit: None }
}

/// A 5xx that says nothing about the message or the recipient: the relay is set up wrongly, here or at the next hop. The mail
/// waits while the operator mends it; bouncing would lose mail for a mistake that is not the sender's.
struct OperatorFault {
    codes: &'static [u16],
    /// Enhanced status codes, first and last, without the class.
    statuses: Option<((u16, u16), (u16, u16))>,
    /// A part of the text, lower case, where the codes are too common.
    text: &'static str,
    meaning: &'static str,
}

impl OperatorFault {
    fn applies(&self, reply: &Reply) -> bool {
        let status = reply.status.map(|status| (status.1, status.2));
        let in_range = self.statuses.is_none_or(|(first, last)| status.is_some_and(|status| (first..=last).contains(&status)));
        self.codes.contains(&reply.code) && in_range && (self.text.is_empty() || reply.text.to_ascii_lowercase().contains(self.text))
    }
}

/// `X.subject.first` to `X.subject.last`.
const fn range(subject: u16, first: u16, last: u16) -> Option<((u16, u16), (u16, u16))> {
    Some(((subject, first), (subject, last)))
}

const REFUSALS: &[u16] = &[550, 554];

/// From RFC 4954 §6, RFC 3207 §4 and Microsoft's list of non-delivery codes for Exchange Online.
const OPERATOR_FAULTS: &[OperatorFault] = &[
    OperatorFault { codes: &[530], statuses: None, text: "", meaning: "the next hop asks for a login or TLS" },
    OperatorFault { codes: &[534, 535, 538], statuses: None, text: "", meaning: "the next hop does not accept the login" },
    OperatorFault { codes: REFUSALS, statuses: range(7, 51, 51), text: "", meaning: "a partner connector does not list this gateway" },
    OperatorFault { codes: REFUSALS, statuses: range(7, 57, 57), text: "", meaning: "the next hop asks for a login" },
    OperatorFault { codes: REFUSALS, statuses: range(7, 64, 64), text: "", meaning: "no connector matches this gateway any more" },
    OperatorFault { codes: REFUSALS, statuses: range(7, 68, 68), text: "", meaning: "direct send is refused and no connector matches" },
    OperatorFault { codes: REFUSALS, statuses: range(7, 506, 506), text: "", meaning: "the next hop refuses this gateway's host name" },
    OperatorFault { codes: REFUSALS, statuses: range(7, 507, 508), text: "", meaning: "this gateway's address is blocked" },
    OperatorFault { codes: REFUSALS, statuses: range(7, 511, 511), text: "", meaning: "this gateway's address is blocked" },
    OperatorFault { codes: REFUSALS, statuses: range(7, 513, 513), text: "", meaning: "this gateway's address is blocked" },
    OperatorFault { codes: REFUSALS, statuses: range(7, 606, 649), text: "", meaning: "this gateway's address is on a block list" },
    OperatorFault { codes: REFUSALS, statuses: range(7, 700, 750), text: "", meaning: "the tenant is barred" },
    OperatorFault {
        codes: REFUSALS,
        statuses: range(7, 1, 1),
        text: "unable to relay",
        meaning: "the next hop does not relay for this gateway",
    },
    OperatorFault { codes: REFUSALS, statuses: range(4, 1, 1), text: "relay access denied", meaning: "the domain is not of this next hop" },
];
