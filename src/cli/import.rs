//! `gateway import`: from Amazon SES Mail Manager to files of ours.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{color, could_not_run};
use crate::config::{Code, ForeignFile, Format};
use crate::mail_manager::{self, Import, Known, MadeFile};

/// Make a deployment of what Amazon SES Mail Manager holds.
///
/// Reads what `aws mailmanager get-rule-set`, `get-traffic-policy`, `get-relay`, `get-ingress-point`, `get-address-list`,
/// `list-members-of-address-list`, `get-archive` and `get-addon-instance` print, in any order and number, and templates of CloudFormation in
/// YAML or JSON. Writes gateway.yaml, policies, rules and lists, with a comment at each thing whose meaning is uncertain or changes.
/// Exits with 0 when all was carried over, 1 when something was not, 2 when nothing could be read or written.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aws mailmanager get-rule-set --rule-set-id rs-… > rules.json\n  gateway import rules.json policy.json relay.json ingress.json\n  gateway import --output mail/ --hostname mx1.acme.example --domain acme.example template.yaml\n  gateway validate mail/"
)]
pub(super) struct Args {
    /// Files; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The folder to write to; without it, all files go to standard output, each behind a line `# file: PATH`.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write over files that are there.
    #[arg(long, requires = "output")]
    force: bool,
    /// The gateway's own name, which Mail Manager does not know.
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// A domain that mail is taken for; can be given several times.
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
}

/// Runs the command.
pub(super) fn run(args: Args) -> ExitCode {
    let mut files = Vec::new();
    for path in &args.files {
        let path = if path.as_os_str() == "-" { Path::new("/dev/stdin") } else { path };
        match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => return could_not_run(format_args!("{}: it is a folder; name its files", path.display())),
            Ok(_) => files.push(ForeignFile::read(path)),
            Err(error) => return could_not_run(format_args!("{}: {error}", path.display())),
        }
    }
    let known = Known { hostname: args.hostname, domains: args.domains };
    let import = mail_manager::import(files, &known);
    let _ = io::stderr().write_all(import.report.render(Format::Text, color(&io::stderr())).as_bytes());
    if import.report.errors() > 0 {
        say(&format!("{}; nothing was written\n", import.report.summary()));
        return ExitCode::from(1);
    }
    let written = match &args.output {
        Some(folder) => write(&import.files, folder, args.force),
        None => print(&import.files),
    };
    if let Err(why) = written {
        return could_not_run(why);
    }
    say(&summary(&import, args.output.as_deref()));
    let is_left_out = import.report.diagnostics.iter().any(|diagnostic| diagnostic.code == Code::UnknownKey);
    ExitCode::from(u8::from(is_left_out || !import.lost.is_empty()))
}

/// On standard error; nobody is there to hear it when that fails.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn print(files: &[MadeFile]) -> Result<(), String> {
    let mut text = String::new();
    for (number, file) in files.iter().enumerate() {
        let apart = if number == 0 { "" } else { "\n" };
        let _ = write!(text, "{apart}# file: {}\n{}", file.path, file.text);
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Who reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| format!("standard output: {error}")),
    }
}

/// Writes all files, or none when one of them is there.
fn write(files: &[MadeFile], folder: &Path, force: bool) -> Result<(), String> {
    if !force {
        let there: Vec<&str> = files.iter().filter(|file| folder.join(&file.path).exists()).map(|file| file.path.as_str()).collect();
        if !there.is_empty() {
            return Err(format!("{}: there already; nothing was written (--force writes over it)", there.join(", ")));
        }
    }
    for file in files {
        let path = folder.join(&file.path);
        let result = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, &file.text));
        result.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn summary(import: &Import, folder: Option<&Path>) -> String {
    let mut text = String::new();
    if let Some(folder) = folder {
        let _ = writeln!(text, "{} written to {}", count(import.files.len(), "file"), folder.display());
    }
    let remarks: usize = import.files.iter().map(|file| file.remarks.len()).sum();
    if remarks > 0 {
        let _ = writeln!(text, "\n{} to look at:", count(remarks, "thing"));
        for file in &import.files {
            for (line, remark) in &file.remarks {
                let path = folder.map_or_else(|| PathBuf::from(&file.path), |folder| folder.join(&file.path));
                let _ = writeln!(text, "  {}:{line}: {}", path.display(), first_sentence(remark));
            }
        }
    }
    if !import.lost.is_empty() {
        let _ = writeln!(text, "\n{} could not be carried over:", count(import.lost.len(), "thing"));
        for lost in &import.lost {
            let clean: String = lost.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            let _ = writeln!(text, "  {clean}");
        }
    }
    if let Some(folder) = folder {
        let _ = writeln!(text, "\nNow: gateway validate {}", folder.display());
    }
    text
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// The rest stands in the file.
fn first_sentence(text: &str) -> String {
    let sentence = text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.');
    sentence.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
