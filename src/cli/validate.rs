//! `gateway validate`: checks configuration files and shows every mistake where it stands.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Format};

/// Check configuration: whole folders or single files.
///
/// Names of relays, lists, policies and rule sets are looked up in the gateway.yaml of the nearest folder above.
/// Exits with 0 when there is no error, 1 when there is one (with --strict also for a warning), 2 when nothing could be checked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gateway validate\n  gateway validate rules/ policies/edge.yaml\n  gateway validate --strict --format github ."
)]
pub(super) struct Args {
    /// Files and folders; the working directory when there is none.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// How mistakes are written to standard output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
    /// Also check what another system would not take.
    #[arg(long, value_enum, value_name = "SYSTEM")]
    compat: Option<Compat>,
}

/// Systems to be compatible with.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Compat {
    /// Amazon SES Mail Manager.
    MailManager,
}

/// Runs the command.
pub(super) fn run(args: Args) -> ExitCode {
    if args.compat.is_some() {
        eprintln!("gateway validate: --compat is not available in this version");
        return ExitCode::from(2);
    }
    let report = match config::check(&args.paths) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("gateway validate: {error}");
            return ExitCode::from(2);
        }
    };
    let mut stdout = std::io::stdout().lock();
    // NO_COLOR counts when it is set to anything but the empty text (no-color.org).
    let color = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let rendered = report.render(args.format, color);
    if let Err(error) = stdout.write_all(rendered.as_bytes()).and_then(|()| stdout.flush()) {
        eprintln!("gateway validate: standard output: {error}");
        return ExitCode::from(2);
    }
    eprintln!("{}", report.summary());
    ExitCode::from(u8::from(report.errors() > 0 || args.strict && report.warnings() > 0))
}
