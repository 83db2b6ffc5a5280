//! `gateway validate`: checks configuration files, shows every mistake where it stands, and mends what can surely be mended.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::diff;
use crate::config::{self, Code, Compat, Format, Mended, Options, Severity};

/// Check configuration: whole folders or single files.
///
/// Names of relays, lists, policies and rule sets are looked up in the gateway.yaml of the nearest folder above.
/// Exits with 0 when there is no error, 1 when there is one (with --strict also for a warning, with --diff for a file that would
/// change), 2 when nothing could be checked or a file not be written.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gateway validate\n  gateway validate rules/ policies/edge.yaml\n  gateway validate --strict --format github .\n  gateway validate --explain dead-rule\n  gateway validate --diff && gateway validate --fix\n\nA comment allows a warning at its place: # gateway: allow(CODE) and the reason"
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
    /// Take this warning for an error; may be given several times.
    #[arg(long, value_name = "CODE")]
    deny: Vec<String>,
    /// Do not show this warning; may be given several times.
    #[arg(long, value_name = "CODE")]
    allow: Vec<String>,
    /// Make the changes that surely do what was meant, in the files.
    #[arg(long)]
    fix: bool,
    /// Show what --fix would change, and change nothing.
    #[arg(long, conflicts_with_all = ["fix", "format"])]
    diff: bool,
    /// Say what a diagnostic means, why it matters and how it is mended; without a code, list them all.
    #[arg(long, value_name = "CODE", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["fix", "diff"])]
    explain: Option<String>,
    /// Also check what another system would not take.
    #[arg(long, value_enum, value_name = "SYSTEM")]
    compat: Option<Compat>,
}

/// Runs the command.
pub(super) fn run(args: Args) -> ExitCode {
    if let Some(name) = &args.explain {
        return explain(name);
    }
    let options = match options(&args) {
        Ok(options) => options,
        Err(problem) => return could_not_run(problem),
    };
    if args.fix || args.diff {
        return match config::mend(&args.paths, &options) {
            Ok(mended) if args.diff => show(&mended),
            Ok(mended) => fix(&mended, &args),
            Err(error) => could_not_run(error),
        };
    }
    match config::check_with(&args.paths, &options) {
        Ok(report) => print(&report, args.format),
        Err(error) => could_not_run(error),
    }
}

/// The codes that are named, or why they cannot be taken.
fn options(args: &Args) -> Result<Options, String> {
    let codes = |names: &[String]| names.iter().map(|name| named(name)).collect::<Result<BTreeSet<Code>, String>>();
    let (deny, allow) = (codes(&args.deny)?, codes(&args.allow)?);
    if let Some(code) = allow.iter().find(|code| code.severity() == Severity::Error) {
        return Err(format!("`{}` is an error: only warnings can be allowed", code.name()));
    }
    if let Some(code) = allow.intersection(&deny).next() {
        return Err(format!("`{}` cannot be allowed and denied at once", code.name()));
    }
    Ok(Options { strict: args.strict, deny, allow, compat: args.compat, now: None })
}

fn named(name: &str) -> Result<Code, String> {
    Code::named(name).ok_or_else(|| match Code::near(name) {
        Some(near) => format!("there is no diagnostic `{name}`; did you mean `{}`?", near.name()),
        None => format!("there is no diagnostic `{name}`; `gateway validate --explain` lists them"),
    })
}

fn explain(name: &str) -> ExitCode {
    let text = match name {
        "" => Code::list(),
        name => match named(name) {
            Ok(code) => code.explain(),
            Err(problem) => return could_not_run(problem),
        },
    };
    write(&text).unwrap_or(ExitCode::SUCCESS)
}

/// The report on standard output, its summary on standard error.
fn print(report: &config::Report, format: Format) -> ExitCode {
    if let Some(failed) = write(&report.render(format, super::color(&io::stdout()))) {
        return failed;
    }
    eprintln!("{}", report.summary());
    let safe = report.diagnostics.iter().filter(|found| found.fixes.iter().any(|fix| fix.is_safe)).count();
    if safe > 0 {
        eprintln!("`gateway validate --fix` mends {safe} of them, `--diff` shows how");
    }
    ExitCode::from(u8::from(report.errors() > 0))
}

/// Writes the files, and says of each what was done.
fn fix(mended: &Mended, args: &Args) -> ExitCode {
    let mut failed = false;
    for file in &mended.files {
        match file.write() {
            Ok(()) => {
                for (line, title) in &file.done {
                    eprintln!("fixed {}:{line}: {title}", file.path.display());
                }
            }
            Err(error) => {
                failed = true;
                eprintln!("gateway validate: {} was not changed: {error}", file.path.display());
            }
        }
    }
    if failed {
        return ExitCode::from(super::COULD_NOT_RUN);
    }
    print(&mended.report, args.format)
}

/// What would be changed, as a diff.
fn show(mended: &Mended) -> ExitCode {
    let diffs = mended.files.iter().map(|file| diff::unified(&file.path.display().to_string(), &file.before, &file.after));
    if let Some(failed) = write(&diffs.collect::<String>()) {
        return failed;
    }
    let fixes: usize = mended.files.iter().map(|file| file.done.len()).sum();
    eprintln!("{fixes} to fix, and then: {}", mended.report.summary());
    ExitCode::from(u8::from(!mended.files.is_empty() || mended.report.errors() > 0))
}

/// Writes to standard output; an exit code when that fails. A reader that has gone away has seen enough.
fn write(text: &str) -> Option<ExitCode> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Some(could_not_run(format!("standard output: {error}"))),
        _ => None,
    }
}

fn could_not_run(problem: impl std::fmt::Display) -> ExitCode {
    eprintln!("gateway validate: {problem}");
    ExitCode::from(super::COULD_NOT_RUN)
}
