//! `gateway schema`: JSON Schema of each kind of file, for editors.

use std::io::Write;
use std::process::ExitCode;

use crate::config::FileKind;

/// Print the JSON Schema of a kind of file, for editors that complete and check YAML.
///
/// It is made from the same types that read the files; `gateway validate` sees more than a schema can say.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gateway schema rules > schemas/rules.json")]
pub(super) struct Args {
    /// The kind of file.
    #[arg(value_enum)]
    kind: FileKind,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> ExitCode {
    match writeln!(std::io::stdout(), "{:#}", args.kind.schema()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::could_not_run(format_args!("standard output: {error}")),
    }
}
