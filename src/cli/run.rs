//! `gateway run`: serves until SIGTERM, reloads on SIGHUP and on changed files.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{color, could_not_run};
use crate::config;
use crate::limits::RELOAD_POLL;
use crate::service::Service;
use crate::telemetry::{Format, Log};

/// Arguments of `gateway run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SIGTERM ends it when sessions and deliveries under way are done; SIGHUP reads the configuration again and tries certificate orders that failed.\n\nExample:\n  gateway run --config /etc/gateway/gateway.yaml"
)]
pub(super) struct Args {
    /// The deployment; its policies/ and rules/ lie beside it.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
    /// Form of the log on standard output; absent: human on a terminal, else json.
    #[arg(long, value_enum)]
    log: Option<LogForm>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogForm {
    Json,
    Human,
}

pub(super) fn run(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return could_not_run(error),
    };
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> ExitCode {
    let snapshot = match config::load(&args.config) {
        Ok((snapshot, warnings)) => {
            eprint!("{}", warnings.render(config::Format::Text, color(&io::stderr())));
            snapshot
        }
        Err(report) => {
            eprint!("{}", report.render(config::Format::Text, color(&io::stderr())));
            let file = args.config.display();
            return could_not_run(format_args!("nothing was started; mend {file}, or name another file with --config"));
        }
    };
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return could_not_run(error),
    };
    let log = Log::new(format(args.log), io::stdout());
    let service = match Service::start(snapshot, log.clone(), HashMap::new()).await {
        Ok(service) => service,
        Err(error) => {
            log.close();
            return could_not_run(error);
        }
    };
    until_told(&service, &args.config, &mut signals).await;
    tokio::select! {
        () = service.stop() => {}
        // Asked twice: at once. What was acknowledged is in the spool.
        () = signals.end() => {}
    }
    log.close();
    ExitCode::SUCCESS
}

fn format(form: Option<LogForm>) -> Format {
    let stdout = io::stdout();
    match form {
        Some(LogForm::Json) => Format::Json,
        None if !io::IsTerminal::is_terminal(&stdout) => Format::Json,
        _ => Format::Human { color: color(&stdout) },
    }
}

/// Reloads as often as it is asked for; returns when the process is to end.
///
/// A look is taken before the files are read, so that a change during the reading is seen at the next look. The first look
/// therefore always reloads: files may have changed since the start has read them. What has not changed stays in force.
async fn until_told(service: &Service, config: &Path, signals: &mut Signals) {
    let mut seen = Vec::new();
    let mut poll = tokio::time::interval(RELOAD_POLL);
    loop {
        let asked = tokio::select! {
            wish = signals.next() => match wish {
                Wish::End => return,
                Wish::Reload => true,
            },
            _ = poll.tick() => false,
        };
        let now = signature(service, config);
        if asked || now != seen {
            service.reload(config).await;
        }
        if asked {
            service.retry_certificates();
        }
        seen = now;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// What is asked for next.
    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End,
            _ = self.interrupt.recv() => Wish::End,
            _ = self.reload.recv() => Wish::Reload,
        }
    }

    async fn end(&mut self) {
        while self.next().await != Wish::End {}
    }
}

#[derive(PartialEq, Eq)]
enum Wish {
    End,
    Reload,
}

/// How a file looked: what a change of it changes.
type Look = Option<(SystemTime, u64)>;

/// How everything that makes the configuration looks now: the files in force, and those in the folders that a new one may use.
fn signature(service: &Service, config: &Path) -> Vec<(PathBuf, Look)> {
    let home = config.parent().unwrap_or(Path::new(""));
    let listed = ["policies", "rules"].into_iter().filter_map(|folder| std::fs::read_dir(home.join(folder)).ok()).flatten();
    let mut paths: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.push(config.to_owned());
    paths.extend(service.snapshot().files.iter().cloned());
    paths.sort();
    paths.dedup();
    let look = |path: &Path| -> Look {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    paths.into_iter().map(|path| (path.clone(), look(&path))).collect()
}
