//! `gateway doctor`: looks at relays step by step, and prints what to set up at their providers.

mod headers;
mod render;
mod setup;
mod steps;

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use self::setup::Setup;
use self::steps::{Step, Verdict};
use super::{COULD_NOT_RUN, color, could_not_run};
use crate::config::{self, Snapshot};
use crate::relay::RelayConfig;
use crate::relay::examine::Probe;
use crate::service;

/// Look at relays: names, addresses, TLS, login; and print what to set up at Google, Microsoft or AWS.
///
/// Nothing is delivered, and no gateway needs to run. Without a relay's name all of them are looked at. Exits with 0 when nothing is wrong,
/// 1 when something is, 2 when nothing could be looked at.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gateway doctor\n  gateway doctor relay google\n  gateway doctor relay m365 --probe me@acme.example test@acme.example\n  gateway doctor --json relay m365 | jq '.relays[].steps[]'"
)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// The deployment.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml", global = true)]
    config: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// What is looked at.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// One relay.
    Relay {
        /// Its name in gateway.yaml.
        name: String,
        /// Also ask the next hop whether it would take mail from SENDER for RECIPIENT: MAIL and RCPT, then RSET, no message.
        #[arg(long, num_args = 2, value_names = ["SENDER", "RECIPIENT"])]
        probe: Option<Vec<String>>,
        /// Look at nothing but a header that was copied from a mailbox behind this relay (`-`: standard input): did the provider judge the
        /// message by the sender's address, not by the gateway's?
        #[arg(long, value_name = "FILE", conflicts_with = "probe")]
        headers: Option<PathBuf>,
    },
}

/// Everything about one relay.
#[derive(Debug)]
struct Looked {
    relay: Arc<RelayConfig>,
    steps: Vec<Step>,
    setup: Vec<Setup>,
}

/// Runs the command.
pub(super) fn run(args: Args) -> ExitCode {
    let snapshot = match config::load(&args.config) {
        Ok((snapshot, warnings)) => {
            eprint!("{}", warnings.render(config::Format::Text, color(&io::stderr())));
            snapshot
        }
        Err(report) => {
            eprint!("{}", report.render(config::Format::Text, color(&io::stderr())));
            return could_not_run(format_args!(
                "nothing was looked at; mend {}, or name another file with --config",
                args.config.display()
            ));
        }
    };
    let looked = match look(&snapshot, args.what) {
        Ok(looked) => looked,
        Err(why) => return could_not_run(why),
    };
    let mut stdout = io::stdout().lock();
    let text = if args.json { render::json(&looked) } else { render::human(&looked, stdout.is_terminal() && color(&io::stdout())) };
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        eprintln!("gateway doctor: standard output: {error}");
        return ExitCode::from(COULD_NOT_RUN);
    }
    let is_wrong = looked.iter().flat_map(|looked| &looked.steps).any(|step| step.verdict == Verdict::Problem);
    ExitCode::from(u8::from(is_wrong))
}

fn look(snapshot: &Snapshot, what: Option<What>) -> Result<Vec<Looked>, String> {
    let (relays, probe) = match what {
        None if snapshot.relays.is_empty() => return Err("there are no relays".to_owned()),
        None => (snapshot.relays.values().cloned().collect(), None),
        Some(What::Relay { name, probe, headers }) => {
            let Some(relay) = snapshot.relays.get(name.as_str()) else {
                let names: Vec<&str> = snapshot.relays.keys().map(|name| &**name).collect();
                return Err(format!("there is no relay `{name}`; there are: {}", names.join(", ")));
            };
            if let Some(path) = headers {
                let header = read_header(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                let steps = vec![steps::header(relay, &headers::read(&header, &snapshot.hostname))];
                return Ok(vec![Looked { relay: Arc::clone(relay), steps, setup: Vec::new() }]);
            }
            let probe = match probe.as_deref() {
                Some([sender, recipient]) => Some(Probe::new(sender, recipient)?),
                _ => None,
            };
            (vec![Arc::clone(relay)], probe)
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(look_at(snapshot, relays, probe))
}

/// A header, or a message that begins with one; only its begin is read.
fn read_header(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(HEADER_BYTES_MAX).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(HEADER_BYTES_MAX).read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// More than any provider takes for a header.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// One relay after the other: two that log in at one next hop at a time would disturb each other.
async fn look_at(snapshot: &Snapshot, relays: Vec<Arc<RelayConfig>>, probe: Option<Probe>) -> Result<Vec<Looked>, String> {
    let service = service::relays_of(snapshot).map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    for relay in relays {
        if io::stderr().is_terminal() {
            eprintln!("looking at {} …", relay.name);
        }
        let examination = service.examine(&relay, probe.as_ref()).await;
        let steps = steps::steps(&relay, &examination, probe.is_some());
        let setup = setup::for_relay(snapshot, &relay, &examination);
        all.push(Looked { relay, steps, setup });
    }
    Ok(all)
}
