//! The commands. One file a command; logic that `gateway run` needs does not live here.

mod demo;
mod diff;
mod doctor;
mod explain;
mod export;
mod import;
mod queue;
mod replay;
mod run;
mod schema;
mod test;
mod validate;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A self-hosted mail gateway: traffic policies, rule sets in YAML, relays.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves: takes mail, judges it, relays it.
    Run(run::Args),
    /// Checks rule sets, policies and gateway.yaml.
    Validate(validate::Args),
    /// Prints the JSON Schema of a kind of file, for editors.
    Schema(schema::Args),
    /// Judges one message and shows everything that was looked at.
    Explain(Box<explain::Args>),
    /// Makes a deployment of what Amazon SES Mail Manager holds.
    Import(import::Args),
    /// Writes the deployment as Amazon SES Mail Manager would have it.
    Export(export::Args),
    /// Tests rule sets and policies with messages that stand in files.
    Test(test::Args),
    /// Looks at relays step by step, and prints what to set up at their providers.
    Doctor(doctor::Args),
    /// Looks at mail that waits, tries it again, sets it aside, drops it.
    Queue(queue::Args),
    /// Judges past mail by two sets of rules and prints who would fare differently.
    Replay(Box<replay::Args>),
    /// Shows a whole gateway at work on loopback with stand-in relays.
    Demo(demo::Args),
    /// Prints a completion script for a shell.
    #[command(after_help = "Example:\n  gateway completions bash > /etc/bash_completion.d/gateway")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page.
    #[command(after_help = "Example:\n  gateway man > /usr/local/share/man/man1/gateway.1")]
    Man,
}

/// Runs the command line and says how it went.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Schema(args) => schema::run(&args),
        Command::Explain(args) => explain::run(*args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Test(args) => test::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Queue(args) => queue::run(args),
        Command::Replay(args) => replay::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "gateway", &mut io::stdout());
            ExitCode::SUCCESS
        }
        Command::Man => match clap_mangen::Man::new(Cli::command()).render(&mut io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(COULD_NOT_RUN),
        },
    }
}

/// Exit code of a command that could not do its work at all.
const COULD_NOT_RUN: u8 = 2;

/// Colours: on a terminal, and never with NO_COLOR.
fn color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Says on standard error why nothing was done.
fn could_not_run(what: impl std::fmt::Display) -> ExitCode {
    eprintln!("gateway: {what}");
    ExitCode::from(COULD_NOT_RUN)
}
