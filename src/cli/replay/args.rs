//! The command line of `gateway replay`.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::smtp::{Address, ReversePath};

/// Judge past mail by two sets of rules, and print who would fare differently and by which rule.
///
/// Mail comes from folders of .eml files, Maildirs, mboxes, or the gateway's own event log. Its envelope is taken from what the gateway
/// wrote into the header; what is not known is tried both ways, and where that makes a difference, it is said. Nothing is delivered,
/// nothing is changed, and no gateway needs to run. Exits with 0 when everybody fares the same, 1 when somebody does not, 2 when it could
/// not be done.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gateway replay --from archive.mbox --against HEAD~1\n  gateway replay --from /var/log/gateway/events.jsonl --old v1 --new v2\n  gateway replay --from maildir/ --old ../old/gateway.yaml --format json | jq '.differences[]'"
)]
pub(in crate::cli) struct Args {
    /// A folder, a Maildir, an mbox, an event log or a message; `-` is standard input. May be given several times.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub(super) from: Vec<PathBuf>,
    /// The old rules: a git revision of the repository that --config lies in.
    #[arg(long, value_name = "REVISION", conflicts_with = "old", allow_hyphen_values = true)]
    pub(super) against: Option<String>,
    /// The old rules: a gateway.yaml, its folder, or a git revision.
    #[arg(long, value_name = "WHAT")]
    pub(super) old: Option<String>,
    /// The new rules, likewise; those of --config unless given.
    #[arg(long, value_name = "WHAT")]
    pub(super) new: Option<String>,
    /// The deployment.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    pub(super) config: PathBuf,
    /// Where mail came in that does not say it; needed where there are several endpoints.
    #[arg(long, value_name = "NAME")]
    pub(super) endpoint: Option<String>,
    /// The client of mail that does not tell it.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client_ip: Option<IpAddr>,
    /// What the client said in HELO.
    #[arg(long, value_name = "NAME")]
    pub(super) helo: Option<String>,
    /// The sender of mail that does not tell it; `<>` for none.
    #[arg(long, value_name = "ADDRESS", value_parser = reverse_path)]
    pub(super) mail_from: Option<ReversePath>,
    /// A recipient of mail that does not tell it; may be given several times.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(super) rcpt: Vec<Address>,
    /// Ask DNS and the analyzers for what was not recorded. They answer as of today.
    #[arg(long)]
    pub(super) ask: bool,
    /// Messages at most.
    #[arg(long, value_name = "NUMBER")]
    pub(super) limit: Option<u64>,
    /// Examples of each kind of difference.
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    pub(super) show: usize,
    /// How the result is written to standard output.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

/// Forms of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text, true).map_err(|_| "this is no address".to_owned())
}

fn reverse_path(text: &str) -> Result<ReversePath, String> {
    if text.is_empty() || text == "<>" { Ok(ReversePath::Null) } else { address(text).map(ReversePath::Address) }
}
