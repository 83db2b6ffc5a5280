//! `gateway export`: the deployment as documents of Amazon SES Mail Manager.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::Format;
use crate::mail_manager::export::{Account, Exported, Target, export};

/// Write the deployment, its policies and rule sets as Amazon SES Mail Manager takes them.
///
/// What the service cannot express is refused with its place and the reason, and then nothing is written. What it has no setting for is
/// left out with a warning. Exits with 0 when all was written, 1 when something cannot be expressed, 2 when nothing could be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gateway export > template.json\n  \
    gateway export --format api --region eu-west-1 --account 111122223333 --output mail-manager/\n  \
    aws mailmanager create-rule-set --cli-input-json file://mail-manager/create-rule-set.inbound.json")]
pub(super) struct Args {
    /// The deployment.
    #[arg(long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
    /// What is written.
    #[arg(long, value_enum, default_value_t)]
    format: Documents,
    /// Folder for the documents; without it they go to standard output.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The region, for the ARNs of address lists.
    #[arg(long, requires = "account")]
    region: Option<String>,
    /// The account, for the ARNs of address lists.
    #[arg(long, requires = "region", value_parser = account)]
    account: Option<String>,
    /// What a resource is called there: `relay/google=r-0f1e2d3c4b5a`, `address-list/denylist=al-…`, `rule-set/inbound=rs-…`. Without it
    /// a resource stands under its name.
    #[arg(long, value_name = "KIND/NAME=ID", value_parser = id)]
    id: Vec<(String, String)>,
}

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Documents {
    /// One template of CloudFormation.
    #[default]
    Cloudformation,
    /// What the operations `create-…` of the API take, one document each.
    Api,
}

fn account(text: &str) -> Result<String, String> {
    let is_account = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if is_account { Ok(text.to_owned()) } else { Err("an account has 12 digits".to_owned()) }
}

fn id(text: &str) -> Result<(String, String), String> {
    let (name, id) = text.split_once('=').ok_or("write KIND/NAME=ID")?;
    let kind = name.split_once('/').map(|(kind, _)| kind).unwrap_or_default();
    if !matches!(kind, "relay" | "address-list" | "archive" | "analyzer" | "rule-set" | "traffic-policy") {
        return Err(format!("`{kind}` is none of relay, address-list, archive, analyzer, rule-set, traffic-policy"));
    }
    Ok((name.to_owned(), id.to_owned()))
}

/// Runs the command.
pub(super) fn run(args: Args) -> ExitCode {
    if !args.config.is_file() {
        return super::could_not_run(format_args!("{}: there is no such file", args.config.display()));
    }
    let target = match args.format {
        Documents::Cloudformation => Target::CloudFormation,
        Documents::Api => Target::Api(Account { region: args.region, account: args.account, ids: args.id.into_iter().collect() }),
    };
    let (exported, report) = match export(&args.config, target, time::OffsetDateTime::now_utc()) {
        Ok((exported, report)) => (exported, report),
        Err(report) => {
            eprint!("{}", report.render(Format::Text, super::color(&std::io::stderr())));
            eprintln!("gateway export: nothing is written: {}", report.summary());
            return ExitCode::FAILURE;
        }
    };
    eprint!("{}", report.render(Format::Text, super::color(&std::io::stderr())));
    if let Err(why) = write(&exported, args.output.as_deref()) {
        return super::could_not_run(why);
    }
    for name in &exported.without_id {
        eprintln!("gateway export: {name} stands under its name where Mail Manager wants an id; give it with --id {name}=…");
    }
    ExitCode::SUCCESS
}

/// Into the folder; to standard output the only document, or all of them by name.
fn write(exported: &Exported, folder: Option<&Path>) -> Result<(), String> {
    let Some(folder) = folder else {
        let mut documents = exported.documents.values();
        let text = match (documents.next(), documents.next()) {
            (Some(only), None) => format!("{only:#}\n"),
            _ => format!("{:#}\n", serde_json::json!(exported.documents)),
        };
        let mut stdout = std::io::stdout().lock();
        return stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| format!("standard output: {error}"));
    };
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (name, document) in &exported.documents {
        let file = folder.join(name);
        std::fs::write(&file, format!("{document:#}\n")).map_err(|error| format!("{}: {error}", file.display()))?;
        if std::io::stderr().is_terminal() {
            eprintln!("{}", file.display());
        }
    }
    eprintln!("gateway export: {} documents in {}", exported.documents.len(), folder.display());
    Ok(())
}
