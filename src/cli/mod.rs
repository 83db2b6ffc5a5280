//! The commands. One file a command; logic that `gateway run` needs does not live here.

pub mod validate;

use clap::{Parser, Subcommand};

/// A self-hosted mail gateway: traffic policies, rule sets in YAML, relays.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Validate(validate::Args),
}

/// Runs the command line and says how it went.
pub fn main() -> std::process::ExitCode {
    match Cli::parse().command {
        Command::Validate(args) => validate::run(args),
    }
}
