//! What cannot go through Graph and is refused here, with a word why.

use std::collections::HashSet;
use std::fmt::Display;

use bytes::Bytes;

use super::super::{Delivery, failures};
use crate::blocks;
use crate::failure::{Failure, Side};
use crate::limits::GRAPH_MESSAGE_BYTES_MAX;
use crate::message::{Original, fold, stated_recipients};
use crate::smtp::{Reply, ReversePath, Status};

const TOO_LARGE: Reply = Reply::fixed(552, Status(5, 3, 4), "The message is too large for Microsoft Graph");
const OTHER_RECIPIENTS: Reply =
    Reply::fixed(550, Status(5, 3, 3), "Microsoft Graph sends to the addresses in To, Cc and Bcc, and these are not the recipients");
const NO_SENDER: Reply = Reply::fixed(550, Status(5, 3, 3), "Microsoft Graph cannot send a message with an empty return path");

/// The message in one piece, if it may go. `most` is the relay's own limit.
pub(super) async fn message(delivery: &Delivery, most: Option<u64>) -> Result<Vec<u8>, Failure> {
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX).min(GRAPH_MESSAGE_BYTES_MAX);
    if delivery.content.len() > most {
        return Err(refused(TOO_LARGE, format_args!("{} octets; at most {most} are taken", delivery.content.len())));
    }
    if !blocks::line_ends_are_crlf(&delivery.content).await.map_err(failures::unread)? {
        return Err(refused(failures::BARE_LINE_ENDS, ""));
    }
    if delivery.must_have_tls() {
        return Err(failures::no_required_tls("Microsoft Graph does not pass REQUIRETLS on"));
    }
    // A notification that came back from the mailbox could be answered by another one (RFC 5321 §6.1).
    if delivery.reverse_path == ReversePath::Null {
        return Err(refused(NO_SENDER, "the next hop would see the mailbox as the sender"));
    }
    let message = blocks::whole(&delivery.content).await.map_err(failures::unread)?;
    let header = Bytes::from(message);
    recipients(delivery, &header)?;
    // Nobody else holds it any more, so this is no copy.
    Ok(header.into())
}

/// Everybody in the envelope stands in the header, and nobody else does: Graph would leave out the ones, and send to the others.
fn recipients(delivery: &Delivery, message: &Bytes) -> Result<(), Failure> {
    let original = Original::parse(message.clone()).map_err(|error| refused(OTHER_RECIPIENTS, error))?;
    let stated = stated_recipients(&original).ok_or_else(|| refused(OTHER_RECIPIENTS, "To, Cc or Bcc can be read in more than one way"))?;
    let mut missing: HashSet<Box<str>> = HashSet::new();
    let mut envelope: HashSet<Box<str>> = HashSet::new();
    for recipient in &delivery.recipients {
        let address = fold(&recipient.address.canonical());
        envelope.insert(address.clone());
        missing.insert(address);
    }
    for mailbox in &stated {
        let mut known = mailbox.addresses().filter(|text| envelope.contains(text.folded())).peekable();
        if known.peek().is_none() {
            let who = mailbox.address.as_ref().map_or("", |text| text.plain());
            return Err(refused(OTHER_RECIPIENTS, format_args!("{who} is in the header and not in the envelope")));
        }
        for text in known {
            missing.remove(text.folded());
        }
    }
    match missing.iter().min() {
        None => Ok(()),
        Some(who) => Err(refused(OTHER_RECIPIENTS, format_args!("{who} is in the envelope and not in the header"))),
    }
}

fn refused(reply: Reply, why: impl Display) -> Failure {
    Failure::new(Side::Client, reply, format!("refused here, not by the next hop: {why}"))
}
