//! `gateway queue`: what waits in the spool, and orders about it.

mod args;
mod human;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use tokio::sync::mpsc;

pub(super) use self::args::Args;
use self::args::{Chosen, What};
use super::{color, could_not_run};
use crate::config::{self, Snapshot};
use crate::control::{Answer, Command, Done};
use crate::limits::CONTROL_ANSWERS_MAX;
use crate::service;
use crate::telemetry::{Format, Log};

/// Runs the command.
pub(super) fn run(args: Args) -> ExitCode {
    let order = match args.what.order() {
        Ok(order) => order,
        Err(why) => return could_not_run(why),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return could_not_run(error),
    };
    let load = || match config::load(&args.config) {
        Ok((snapshot, _warnings)) => Ok(snapshot),
        Err(report) => {
            eprint!("{}", report.render(config::Format::Text, color(&io::stderr())));
            Err(format!("{} says where the spool is; mend it, or name another file with --config", args.config.display()))
        }
    };
    if let What::Drop { chosen, bounce, yes: false } = &args.what {
        let counted =
            load().and_then(|snapshot| runtime.block_on(carry_out(snapshot, Command::Count { filter: chosen.filter() }, false, true)));
        match counted.map(|done| done.matched) {
            Ok(0) => return nothing(),
            Ok(jobs) => {
                if let Err(why) = confirmed(jobs, *bounce) {
                    return could_not_run(why);
                }
            }
            Err(why) => return could_not_run(why),
        }
    }
    let is_quiet = matches!(args.what, What::Show { content: true, .. });
    let done = match load().and_then(|snapshot| runtime.block_on(carry_out(snapshot, order, args.json, false))) {
        Ok(done) => done,
        Err(why) => return could_not_run(why),
    };
    if let Err(error) = conclude(&args, &done, is_quiet) {
        return could_not_run(format_args!("standard output: {error}"));
    }
    let is_about_all = matches!(args.what, What::Stats) || args.what.relay_itself().is_some();
    if done.matched == 0 && !is_about_all {
        return nothing();
    }
    ExitCode::SUCCESS
}

/// Exit code 1, and no other word than this.
fn nothing() -> ExitCode {
    eprintln!("gateway queue: nothing matches");
    ExitCode::FAILURE
}

/// Gives the order and prints the answers as they come. In `silence` only the last one counts.
async fn carry_out(snapshot: Snapshot, command: Command, json: bool, silence: bool) -> Result<Done, String> {
    // What a running gateway does is in its log; what is done here goes where it disturbs no output.
    let log = Log::new(Format::Json, io::stderr());
    let (answers, mut answered) = mpsc::channel(CONTROL_ANSWERS_MAX);
    let order = service::order(snapshot, command, &log, answers);
    let print = async {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut end = None;
        while let Some(answer) = answered.recv().await {
            match answer {
                Answer::Done(done) => end = Some(Ok(done)),
                Answer::Error(why) => end = Some(Err(why)),
                _ if silence => {}
                answer => {
                    if let Err(error) = print(&mut out, &answer, json) {
                        // The reader has seen enough (`| head`).
                        answered.close();
                        let is_over = error.kind() == io::ErrorKind::BrokenPipe;
                        return Some(if is_over { Ok(Done { matched: 1, ..Done::default() }) } else { Err(error.to_string()) });
                    }
                }
            }
        }
        end
    };
    let (came, end) = tokio::join!(order, print);
    log.close();
    came.map_err(|error| error.to_string())?;
    end.unwrap_or_else(|| Err("the order has no answer".to_owned()))
}

fn print(out: &mut impl Write, answer: &Answer, json: bool) -> io::Result<()> {
    match answer {
        Answer::Content(octets) => out.write_all(&octets.0),
        Answer::Job(job) if json => line(out, job),
        Answer::Relay(relay) if json => line(out, relay),
        Answer::Message(message) if json => line(out, message),
        Answer::Job(job) => out.write_all(human::job(job).as_bytes()),
        Answer::Relay(relay) => out.write_all(human::relay(relay).as_bytes()),
        Answer::Message(message) => out.write_all(human::message(message).as_bytes()),
        Answer::Done(_) | Answer::Error(_) => Ok(()),
    }
}

fn line(out: &mut impl Write, object: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}

/// The last words: how many.
fn conclude(args: &Args, done: &Done, is_quiet: bool) -> io::Result<()> {
    let is_change = matches!(args.what, What::Retry(_) | What::Hold(_) | What::Release(_) | What::Drop { .. });
    let mut out = io::stdout().lock();
    match (args.json, is_change) {
        (true, true) => line(&mut out, done),
        (true, false) => Ok(()),
        (false, true) => out.write_all(human::changed(&args.what, done).as_bytes()),
        (false, false) if is_quiet || done.matched == 0 => Ok(()),
        (false, false) => out.write_all(human::counted(&args.what, done).as_bytes()),
    }
}

/// On a terminal somebody is asked; elsewhere `--yes` is.
fn confirmed(jobs: u64, bounce: bool) -> Result<(), String> {
    let consequence = if bounce { "their senders get a bounce" } else { "nobody is told" };
    let what = format!("{} dropped for good, {consequence}", human::would_be(jobs));
    if !io::stdin().is_terminal() {
        return Err(format!("{what}: say --yes to do it"));
    }
    eprint!("{what}. Go on? [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer).map_err(|error| error.to_string())?;
    let is_yes = read > 0 && matches!(answer.trim(), "y" | "Y" | "yes");
    if is_yes { Ok(()) } else { Err("nothing was dropped".to_owned()) }
}

impl What {
    /// The order, if enough is said for it.
    fn order(&self) -> Result<Command, String> {
        let named = |chosen: &Chosen| {
            if chosen.is_empty() && !chosen.all {
                return Err("say which: ids, --relay, --recipient, --sender, --older-than, --reply, or --all".to_owned());
            }
            Ok(chosen.filter())
        };
        Ok(match self {
            Self::List { chosen, limit } => Command::List { filter: chosen.filter(), most: *limit },
            Self::Show { id, content } => Command::Show { id: id.clone(), content: *content },
            Self::Retry(chosen) => Command::Retry { filter: named(chosen)? },
            Self::Hold(chosen) => match chosen.relay_itself() {
                Some(relay) => Command::HoldRelay { relay: relay.to_owned() },
                None => Command::Hold { filter: named(chosen)? },
            },
            Self::Release(chosen) => match chosen.relay_itself() {
                Some(relay) => Command::ReleaseRelay { relay: relay.to_owned() },
                None => Command::Release { filter: named(chosen)? },
            },
            Self::Drop { chosen, bounce, .. } => Command::Drop { filter: named(chosen)?, bounce: *bounce },
            Self::Stats => Command::Stats,
        })
    }

    /// The relay that the order is about, where it is not about jobs.
    fn relay_itself(&self) -> Option<&str> {
        match self {
            Self::Hold(chosen) | Self::Release(chosen) => chosen.relay_itself(),
            _ => None,
        }
    }
}
