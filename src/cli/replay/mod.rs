//! `gateway replay`: past mail judged by two sets of rules, and who fares differently.

mod args;
mod human;
mod json;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) use self::args::Args;
use super::{color, could_not_run};
use crate::config;
use crate::replay::{Asker, Defaults, Replay, Revision, Side, Tally};

/// What was replayed, for the report.
struct Replayed<'r> {
    replay: &'r Replay,
    sources: Vec<(PathBuf, &'static str)>,
    tally: Tally,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> ExitCode {
    match replay(args) {
        Ok(differs) => ExitCode::from(u8::from(differs)),
        Err(why) => could_not_run(why),
    }
}

/// Whether anybody fares differently.
fn replay(args: &Args) -> Result<bool, String> {
    let old = args.old.as_deref().or(args.against.as_deref()).ok_or("say by which rules it was: --against REVISION or --old WHAT")?;
    let old = side(old, &args.config)?;
    let new = match &args.new {
        Some(new) => side(new, &args.config)?,
        None => of_files(&args.config)?,
    };
    // Answers of DNS are waited for here, while others judge.
    let runtime = if args.ask {
        Some(tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?)
    } else {
        None
    };
    let asker = runtime.as_ref().map(|runtime| Asker::new(&new.rulebook, runtime.handle().clone())).transpose()?;
    let defaults = Defaults {
        endpoint: args.endpoint.clone(),
        client_ip: args.client_ip,
        helo: args.helo.clone(),
        mail_from: args.mail_from.clone(),
        recipients: args.rcpt.clone(),
    };
    let replay = Replay { old, new, defaults, asker, examples_max: args.show, messages_max: args.limit };
    let is_watched = io::stderr().is_terminal();
    let mut progress = |messages: u64| {
        if is_watched {
            eprint!("\r{messages} messages judged …");
        }
    };
    let (sources, tally) = replay.run(&args.from, &mut progress).map_err(|error| error.to_string())?;
    if is_watched {
        eprint!("\r\x1b[K");
    }
    let replayed = Replayed { replay: &replay, sources, tally };
    let mut stdout = io::stdout().lock();
    let text = match args.format {
        args::Format::Text => human::report(&replayed, color(&io::stdout())),
        args::Format::Json => json::report(&replayed).map_err(|error| error.to_string())?,
    };
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(format!("standard output: {error}")),
        _ => {}
    }
    if replayed.tally.messages == 0 {
        return Err("no message was judged".to_owned());
    }
    Ok(replayed.tally.differ > 0)
}

/// What a word of the command line means: a path that is there, else a git revision.
fn side(word: &str, gateway_yaml: &Path) -> Result<Side, String> {
    let path = Path::new(word);
    if path.exists() {
        return of_files(&if path.is_dir() { path.join("gateway.yaml") } else { path.to_owned() });
    }
    let revision = Revision::read(gateway_yaml, word).map_err(|error| error.to_string())?;
    for left_out in &revision.left_out {
        eprintln!("gateway replay: {word}: {left_out}");
    }
    let label = format!("{word} ({})", revision.commit);
    match config::rulebook(&revision.gateway_yaml) {
        Ok((rulebook, _)) => Ok(Side::new(label, rulebook)),
        Err(report) => {
            let text = report.render(config::Format::Text, color(&io::stderr()));
            eprint!("{}", revision.as_named(&text, word));
            Err(format!("the rules at `{word}` cannot be used"))
        }
    }
}

fn of_files(gateway_yaml: &Path) -> Result<Side, String> {
    match config::rulebook(gateway_yaml) {
        Ok((rulebook, _)) => Ok(Side::new(gateway_yaml.display().to_string(), rulebook)),
        Err(report) => {
            eprint!("{}", report.render(config::Format::Text, color(&io::stderr())));
            Err(format!("the rules of {} cannot be used", gateway_yaml.display()))
        }
    }
}
