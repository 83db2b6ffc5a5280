//! `gateway explain`: one message judged, and everything that was looked at.

mod follows;
mod given;
mod json;
mod text;

use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{color, could_not_run};
use crate::config::{self, JudgedEndpoint, Rulebook};
use crate::rules::VerdictAttribute;
use crate::trial::{self, LookUps, Trial};

use self::follows::Follow;
use self::given::{Known, Told};

/// Judge one message as the gateway would, and show what was looked at.
///
/// Prints the SMTP dialogue, each statement of the policy, each rule and condition with the values that it saw, the plan with its header
/// changes, and the reply. No gateway has to run; nothing is sent. What is neither given nor asked for is not known, and where that
/// matters, what would follow is shown.
///
/// Exits with 0 when the message was judged, and with 2 when that could not be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    gateway explain mail.eml --client-ip 203.0.113.9 --dmarc-result pass\n  \
    gateway explain mail.eml --client-ip 203.0.113.9 --mail-from alice@partner.example --rcpt bob@acme.example --ask\n  \
    gateway explain - --endpoint mx --client-ip 203.0.113.9 --analysis rspamd.score=7.5 --format json < mail.eml")]
pub(super) struct Args {
    /// The message; `-` is standard input.
    #[arg(value_name = "MESSAGE")]
    message: PathBuf,
    /// The deployment.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
    /// The endpoint that the message comes to; needed where there are several.
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// The client's address; else that of the message's topmost Received field.
    #[arg(long, value_name = "ADDRESS")]
    client_ip: Option<IpAddr>,
    /// What the client says in EHLO; else what the topmost Received field says.
    #[arg(long, value_name = "NAME")]
    helo: Option<String>,
    /// MAIL FROM, empty for the null sender; else the message's Return-Path, else its From.
    #[arg(long, value_name = "ADDRESS")]
    mail_from: Option<String>,
    /// RCPT TO, once for each; else the addresses in To and Cc.
    #[arg(long, value_name = "ADDRESS")]
    rcpt: Vec<String>,
    /// The TLS of the session; else 1.3 where the endpoint has TLS.
    #[arg(long, value_enum, value_name = "VERSION")]
    tls: Option<Tls>,
    /// The user who has logged in.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A field of the client's certificate, such as `cn=mail.partner.example`.
    #[arg(long, value_name = "FIELD=VALUE")]
    certificate: Vec<String>,
    /// The size in octets that the client declares; else the real one.
    #[arg(long, value_name = "OCTETS")]
    size: Option<u64>,
    /// The client's confirmed host name; `none` where it has none.
    #[arg(long, value_name = "NAME")]
    client_host: Option<String>,
    /// The result of SPF: pass, fail, softfail, …
    #[arg(long, value_name = "WORD")]
    spf_result: Option<String>,
    /// The result of DKIM.
    #[arg(long, value_name = "WORD")]
    dkim_result: Option<String>,
    /// The result of DMARC.
    #[arg(long, value_name = "WORD")]
    dmarc_result: Option<String>,
    /// What the domain in From asks for where DMARC fails: none, quarantine, reject, absent.
    #[arg(long, value_name = "WORD")]
    dmarc_policy: Option<String>,
    /// The result of ARC.
    #[arg(long, value_name = "WORD")]
    arc_result: Option<String>,
    /// What an analyzer finds, such as `rspamd.score=7.5`; `rspamd=no-answer` where it does not answer.
    #[arg(long, value_name = "ANALYZER.FIELD=VALUE")]
    analysis: Vec<String>,
    /// Ask DNS and the analyzers for what is needed and not given, as the gateway would.
    #[arg(long)]
    ask: bool,
    /// Judge the file as it is, also where this gateway's own Received field says that it has been here.
    #[arg(long)]
    as_is: bool,
    /// How the explanation is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    /// The verdicts that are given.
    fn verdicts(&self) -> impl Iterator<Item = (&'static str, VerdictAttribute, &str)> {
        let all = [
            ("--spf-result", VerdictAttribute::SpfResult, &self.spf_result),
            ("--dkim-result", VerdictAttribute::DkimResult, &self.dkim_result),
            ("--dmarc-result", VerdictAttribute::DmarcResult, &self.dmarc_result),
            ("--dmarc-policy", VerdictAttribute::DmarcPolicy, &self.dmarc_policy),
            ("--arc-result", VerdictAttribute::ArcResult, &self.arc_result),
        ];
        all.into_iter().filter_map(|(flag, attribute, word)| Some((flag, attribute, word.as_deref()?)))
    }
}

/// The TLS of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Tls {
    /// Plain text.
    None,
    /// TLS 1.2.
    #[value(name = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[value(name = "1.3")]
    V1_3,
}

/// How an explanation is written.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// All that is to be shown.
struct Explanation<'e> {
    rulebook: &'e Rulebook,
    endpoint: &'e JudgedEndpoint,
    /// What was known at first, and from where.
    told: Vec<Told>,
    trial: Trial,
    /// What would follow from what is not known.
    follows: Vec<Follow>,
}

pub(super) fn run(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return could_not_run(error),
    };
    let shown = match runtime.block_on(explained(&args)) {
        Ok(shown) => shown,
        Err(why) => return could_not_run(why),
    };
    let mut stdout = io::stdout().lock();
    match stdout.write_all(shown.as_bytes()).and_then(|()| stdout.flush()) {
        // Who reads no more has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => could_not_run(format!("standard output: {error}")),
        _ => ExitCode::SUCCESS,
    }
}

async fn explained(args: &Args) -> Result<String, String> {
    let rulebook = match config::rulebook(&args.config) {
        Ok((rulebook, _warnings)) => rulebook,
        Err(report) => {
            eprint!("{}", report.render(config::Format::Text, color(&io::stderr())));
            return Err(format!("nothing to judge by; mend {}, or name another file with --config", args.config.display()));
        }
    };
    let endpoint = endpoint(&rulebook, args.endpoint.as_deref())?;
    let Known { given, told, assumptions } = given::known(args, &rulebook, endpoint)?;
    let examiner = if args.ask { Some(trial::examiner(&rulebook)?) } else { None };
    let look_ups = examiner.as_ref().map_or(LookUps::NoneGiven, |examiner| LookUps::Examiner(examiner));
    let mut trial = trial::run(&rulebook, endpoint, given.clone(), look_ups).await;
    trial.assumptions.splice(0..0, assumptions);
    let follows = follows::follows(&rulebook, endpoint, &given, &trial).await;
    let explanation = Explanation { rulebook: &rulebook, endpoint, told, trial, follows };
    Ok(match args.format {
        Format::Text => text::text(&explanation, io::stdout().is_terminal() && color(&io::stdout())),
        Format::Json => json::json(&explanation),
    })
}

fn endpoint<'r>(rulebook: &'r Rulebook, name: Option<&str>) -> Result<&'r JudgedEndpoint, String> {
    let names = || rulebook.endpoints.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => rulebook.endpoints.get(name).ok_or_else(|| format!("there is no endpoint `{name}`; there are {}", names())),
        None => match rulebook.endpoints.len() {
            1 => rulebook.endpoints.values().next().ok_or_else(String::new),
            _ => Err(format!("say with --endpoint to which one the message comes: {}", names())),
        },
    }
}
