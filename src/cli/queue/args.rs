//! What can be said on the command line.

use std::path::PathBuf;

use crate::control::Filter;

/// Look at mail that waits in the spool, try it again, set it aside, or drop it.
///
/// Works with a gateway that runs, by a socket in the spool's folder, and with one that does not, on the spool itself. Run it as the user
/// of the gateway or as root. Exits with 0 when something was found or done, 1 when nothing matches, 2 when nothing could be done.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gateway queue stats\n  gateway queue list --relay m365 --reply 5.7.64\n  gateway queue show 06gzz8xjr8fwqj8m-1\n  gateway queue retry --recipient @acme.example\n  gateway queue hold --relay m365\n  gateway queue drop --sender newsletter@example.org --older-than 2d --yes"
)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    pub(super) what: What,
    /// The deployment.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml", global = true)]
    pub(super) config: PathBuf,
    /// Print JSON, one object a line.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// What is asked for.
#[derive(Debug, clap::Subcommand)]
pub(super) enum What {
    /// List jobs: what is left to do for a message at a relay.
    #[command(after_help = "Example:\n  gateway queue list --json --older-than 4h | jq -r .id")]
    List {
        #[command(flatten)]
        chosen: Chosen,
        /// List at most so many.
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Show a message: envelope, jobs with their last replies, header.
    #[command(after_help = "Example:\n  gateway queue show 06gzz8xjr8fwqj8m-1 --content > message.eml")]
    Show {
        /// `MESSAGE` or `MESSAGE/JOB`.
        id: String,
        /// Print the message as it came, header and body, and nothing else.
        #[arg(long, conflicts_with = "json")]
        content: bool,
    },
    /// Try jobs now. What is set aside is left alone.
    #[command(after_help = "Example:\n  gateway queue retry --relay m365 --reply 'cannot be reached'")]
    Retry(Chosen),
    /// Set jobs aside until they are released; with --relay alone: hold the relay itself, and so what comes new for it.
    #[command(after_help = "Examples:\n  gateway queue hold --relay m365\n  gateway queue hold --sender newsletter@example.org")]
    Hold(Chosen),
    /// Put jobs that were set aside back, and try them now; with --relay alone: end the relay's hold, whatever its reason.
    #[command(after_help = "Examples:\n  gateway queue release --relay m365\n  gateway queue release 06gzz8xjr8fwqj8m-1")]
    Release(Chosen),
    /// Drop jobs for good. Nobody is told, unless --bounce is said.
    #[command(
        after_help = "Examples:\n  gateway queue drop 06gzz8xjr8fwqj8m-1 --bounce\n  gateway queue drop --sender newsletter@example.org --yes"
    )]
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        /// Tell the senders that the message is not delivered. A sender who wants no such word gets none.
        #[arg(long)]
        bounce: bool,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Count what waits for each relay, and say how the relay fares.
    #[command(after_help = "Example:\n  gateway queue stats --json | jq 'select(.state == \"held\")'")]
    Stats,
}

/// Which jobs are meant: those that fit everything that is said. Texts may have `*`; case does not matter.
#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    /// Messages (`MESSAGE`) and jobs (`MESSAGE/JOB`).
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Those that wait for this relay.
    #[arg(long, value_name = "NAME")]
    relay: Option<String>,
    /// Those with this recipient left: an address, or @domain.
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Those from this sender; `<>`: those without one.
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// Those stored so long ago at least: 30s, 5m, 2h, 4d.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    older_than: Option<u64>,
    /// Those whose last reply, or what is known beyond it, has this text.
    #[arg(long, value_name = "TEXT")]
    reply: Option<String>,
    /// All of them, when nothing else is said.
    #[arg(long)]
    pub(super) all: bool,
}

impl Chosen {
    pub(super) fn filter(&self) -> Filter {
        Filter {
            ids: self.ids.clone(),
            relay: self.relay.clone(),
            recipient: self.recipient.clone(),
            sender: self.sender.clone(),
            older_than: self.older_than,
            reply: self.reply.clone(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filter().is_empty()
    }

    /// The relay, if nothing else is said. `--all` makes it all jobs of the relay.
    pub(super) fn relay_itself(&self) -> Option<&str> {
        let relay = self.relay.as_deref()?;
        let alone = Filter { relay: self.relay.clone(), ..Filter::default() };
        (self.filter() == alone && !self.all).then_some(relay)
    }
}

/// As times are written in gateway.yaml.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "a time is written `30s`, `5m`, `2h` or `4d`".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let factor: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_in_the_configuration() {
        for (text, expected) in [("30s", Some(30)), ("5m", Some(300)), ("2h", Some(7200)), ("4d", Some(345_600))] {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
        for wrong in ["", "h", "2", "2 h", "-2h", "2w", "99999999999999999999d", "9999999999999999d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
