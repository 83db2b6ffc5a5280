//! The queue for people. Addresses and replies are strangers' words: what a terminal would obey becomes a space.

use std::fmt::Write;

use super::args::What;
use crate::control::{Done, JobShown, MessageShown, RecipientShown, RelayShown};
use crate::message::is_hostile;

/// Two lines and more: the job, then each recipient with the last reply.
pub(super) fn job(job: &JobShown) -> String {
    let mut text = format!("{}  {}  {}", job.id, shown(&job.relay), job.state);
    let _ = write!(text, "  {} old, {} octets, {}", age(job.age_seconds), job.bytes, attempts(job.attempts));
    if let Some(next) = job.next_attempt.as_deref().filter(|_| job.state == "waiting") {
        let _ = write!(text, ", next {}", second(next));
    }
    text.push('\n');
    let sender = job.sender.as_deref().map_or_else(|| "?".to_owned(), |sender| format!("<{}>", shown(sender)));
    for (recipient, from) in job.recipients.iter().zip(std::iter::once(sender).chain(std::iter::repeat(String::new()))) {
        let from = if from.is_empty() { "    ".to_owned() } else { format!("    {from} → ") };
        let _ = writeln!(text, "{from}{}", to(recipient));
    }
    text
}

/// A recipient with what the last attempt met.
fn to(recipient: &RecipientShown) -> String {
    let mut text = format!("<{}>", shown(&recipient.address));
    if let Some(reply) = &recipient.reply {
        let _ = write!(text, ": {}", shown(reply));
    }
    if let Some(detail) = &recipient.detail {
        let _ = write!(text, " ({})", shown(detail));
    }
    text
}

/// A line, and another one for a relay that does not take everything.
pub(super) fn relay(relay: &RelayShown) -> String {
    let mut text = format!("{}  {}", shown(&relay.relay), relay.state.as_deref().unwrap_or("no relay of the configuration"));
    if let Some(until) = &relay.until {
        let _ = write!(text, " until {}", second(until));
    }
    let _ = write!(text, "  {} queued", relay.queued);
    if relay.queued > 0 {
        let _ = write!(text, ", {} held, {} due", relay.held_jobs, relay.due);
    }
    if let Some(oldest) = relay.oldest_seconds {
        let _ = write!(text, ", oldest {}", age(oldest));
    }
    if let Some(next) = &relay.next_attempt {
        let _ = write!(text, ", next {}", second(next));
    }
    text.push('\n');
    let since = relay.since.as_deref().map(|since| format!("since {}", second(since)));
    let why: Vec<String> = [since, relay.reply.clone(), relay.reason.clone()].into_iter().flatten().map(|part| shown(&part)).collect();
    if !why.is_empty() {
        let _ = writeln!(text, "    {}", why.join(": "));
    }
    text
}

/// Everything that is known of a message.
pub(super) fn message(message: &MessageShown) -> String {
    let mut text = format!("{}  {} octets, judged by configuration {}\n", message.id, message.bytes, shown(&message.config));
    let _ = writeln!(text, "from    <{}>", shown(&message.sender));
    for recipient in &message.recipients {
        let _ = writeln!(text, "to      <{}>", shown(recipient));
    }
    for job in &message.jobs {
        let _ = writeln!(text, "\njob     {}", job.id);
        let _ = writeln!(text, "rule    {}", job.rule.as_deref().map_or_else(|| "?".to_owned(), shown));
        let _ = writeln!(text, "relay   {}", shown(&job.relay));
        let _ = writeln!(text, "state   {}, {}", job.state, attempts(job.attempts));
        let _ = writeln!(text, "stored  {}, {} ago", second(&job.stored), age(job.age_seconds));
        if let Some(next) = &job.next_attempt {
            let _ = writeln!(text, "next    {}", second(next));
        }
        for recipient in &job.recipients {
            let _ = writeln!(text, "left    {}", to(recipient));
        }
    }
    text.push('\n');
    for line in message.header.lines() {
        // A tab folds a line, and no terminal minds it.
        let _ = writeln!(text, "{}", line.replace(|c| c != '\t' && is_hostile(c), " "));
    }
    text
}

/// What was done.
pub(super) fn changed(what: &What, done: &Done) -> String {
    let mut text = match (what, what.relay_itself()) {
        (What::Hold(_), Some(relay)) => format!("relay {relay} is held; {} for it\n", wait(done.matched)),
        (What::Release(_), Some(relay)) => format!("relay {relay} is released; {} tried now\n", are(done.changed)),
        (What::Retry(_), _) => format!("{} tried now\n", are(done.changed)),
        (What::Hold(_), None) => format!("{} set aside\n", were(done.changed)),
        (What::Release(_), None) => format!("{} released and tried now\n", are(done.changed)),
        (What::Drop { bounce: true, .. }, _) => format!("{} dropped; the senders get a bounce\n", were(done.changed)),
        (What::Drop { .. }, _) => format!("{} dropped; nobody is told\n", were(done.changed)),
        (What::List { .. } | What::Show { .. } | What::Stats, _) => String::new(),
    };
    let is_for_all = matches!(what, What::Retry(_)) || what.relay_itself().is_some();
    let unchanged = if is_for_all { "set aside by an order, and left so" } else { "as they should be already" };
    for (number, why) in
        [(done.trying, "being tried just now, and left alone"), (done.unchanged, unchanged), (done.gone, "no more: they ended meanwhile")]
    {
        if number > 0 {
            let _ = writeln!(text, "{} {why}", are(number));
        }
    }
    for relay in &done.held_relays {
        let _ =
            writeln!(text, "relay {0} is held: what waits for it is not tried before `gateway queue release --relay {0}`", shown(relay));
    }
    text
}

/// The last line of a list.
pub(super) fn counted(what: &What, done: &Done) -> String {
    if !matches!(what, What::List { .. }) {
        return String::new();
    }
    format!("\n{} of {}\n", some(done.matched, "job"), some(done.messages, "message"))
}

/// `3 jobs would be`.
pub(super) fn would_be(jobs: u64) -> String {
    format!("{} would be", some(jobs, "job"))
}

fn are(jobs: u64) -> String {
    format!("{} {}", some(jobs, "job"), if jobs == 1 { "is" } else { "are" })
}

fn were(jobs: u64) -> String {
    format!("{} {}", some(jobs, "job"), if jobs == 1 { "was" } else { "were" })
}

fn wait(jobs: u64) -> String {
    format!("{} {}", some(jobs, "job"), if jobs == 1 { "waits" } else { "wait" })
}

fn attempts(number: u32) -> String {
    some(u64::from(number), "attempt")
}

fn some(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Two digits are enough to judge by.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds.div_euclid(60)),
        7200..172_800 => format!("{}h", seconds.div_euclid(3600)),
        _ => format!("{}d", seconds.div_euclid(86_400)),
    }
}

/// A time without its fraction.
fn second(time: &str) -> String {
    match time.split_once('.') {
        Some((second, _)) => format!("{second}Z"),
        None => shown(time),
    }
}

fn shown(text: &str) -> String {
    text.replace(is_hostile, " ")
}
