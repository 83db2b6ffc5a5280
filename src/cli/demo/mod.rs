//! `gateway demo`: the shipped deployment on loopback, with stand-ins for its next hops and for DNS, and real mail over real SMTP.
//!
//! The configuration is the operator's own file; only addresses, certificates, credentials and waiting times are replaced,
//! because those of the file belong to the world outside.

mod client;
mod mails;
mod names;
mod report;
mod standin;
#[cfg(test)]
mod tests;
mod world;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout_at};

use self::mails::Scenario;
use self::report::Trail;
use self::world::World;
use super::{color, could_not_run};
use crate::telemetry::human_line;

/// Longest wait for the end of one message, its retry included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `gateway demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Works without network and without an account.\n\nExample:\n  gateway demo --keep")]
pub(super) struct Args {
    /// The deployment to show; its relays are replaced by stand-ins.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
    /// Keeps the gateway running afterwards, for swaks and other clients; ctrl-c ends it.
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return could_not_run(error),
    };
    match runtime.block_on(show(&args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => could_not_run(error),
    }
}

/// Whether every message fared as its title says.
async fn show(args: &Args) -> io::Result<bool> {
    let (mut world, mut events) = World::start(&args.config).await?;
    let painted = color(&io::stdout());
    println!("A gateway from {} listens on {}; its relays are stand-ins on loopback.\n", args.config.display(), world.gateway);
    let mut as_expected = true;
    let scenarios = mails::scenarios();
    let count = scenarios.len();
    for (number, scenario) in (1..).zip(scenarios) {
        let reply = world.send(&scenario).await?;
        let trail = follow(&mut events).await;
        let good = scenario.is_met(&reply, &trail);
        as_expected &= good;
        print(number, &scenario, &reply, &trail, good, painted)?;
    }
    let verdict = if as_expected { "as its title says" } else { "NOT always as its title says" };
    println!("{count} messages, each {verdict}.");
    if args.keep {
        keep(&world, &mut events, painted).await?;
    }
    world.stop().await;
    Ok(as_expected)
}

/// Reads the log until the connection and all its messages have come to an end.
async fn follow(events: &mut UnboundedReceiver<Value>) -> Trail {
    let deadline = Instant::now() + PATIENCE;
    let mut trail = Trail::default();
    while !trail.is_complete() {
        match timeout_at(deadline, events.recv()).await {
            Ok(Some(event)) => trail.push(event),
            Ok(None) | Err(_) => break,
        }
    }
    trail
}

fn print(number: usize, scenario: &Scenario, reply: &str, trail: &Trail, good: bool, painted: bool) -> io::Result<()> {
    let (bold, dim, red, off) = if painted { ("\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m") } else { ("", "", "", "") };
    let mut out = io::stdout().lock();
    writeln!(out, "{bold}{number:>2}. {:<66}{off} {dim}{}{off}", scenario.title, trail.id())?;
    let mail = &scenario.mail;
    writeln!(out, "    {dim}{:<8}{off} <{}> to <{}> from {} ({})", "mail", mail.from, mail.to.join(">, <"), scenario.client, mail.helo)?;
    for (label, text) in trail.lines(reply) {
        writeln!(out, "    {dim}{label:<8}{off} {text}")?;
    }
    if !good {
        writeln!(out, "    {red}this is not what was expected{off}")?;
    }
    writeln!(out)
}

/// Prints the log until ctrl-c.
async fn keep(world: &World, events: &mut UnboundedReceiver<Value>, painted: bool) -> io::Result<()> {
    println!("\nStill listening on {}. Try:\n", world.gateway);
    println!("  swaks --server {} --from you@partner.example --to bob@acme.example --tls", world.gateway);
    println!("  swaks --server {} --from you@gmail.com --to bob@acme.example --header 'Subject: an invoice'\n", world.gateway);
    println!("ctrl-c ends it.\n");
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Value::Object(fields)) => {
                    let now = fields.get("ts").and_then(Value::as_str).unwrap_or_default();
                    println!("{}", human_line(now, &fields, painted));
                }
                _ => return Ok(()),
            },
            interrupted = tokio::signal::ctrl_c() => return interrupted,
        }
    }
}
