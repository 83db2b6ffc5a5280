//! The examples in the explanations of diagnostics are what they claim: a wrong one reports the code, a right one does not.
//!
//! `src/config/explanations/README.md` says how they are written. `BLESS=1` makes `docs/diagnostics.md` of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gateway::config::{self, Code, Compat, Format, Options, Severity};
use regex::Regex;

/// Codes whose mistake cannot be shown in a few lines of text: bytes that are not UTF-8, files that cannot be read, certificates.
const NOT_SHOWN: &[&str] = &[
    "unreadable",
    "encoding",
    "too-large",
    "too-deep",
    "too-many",
    "expired",
    "expires-soon",
    "ca-without-crl",
    "gateway-mistakes",
    "names-unchecked",
];

#[test]
fn examples_are_what_they_claim() {
    let mut mistakes = Vec::new();
    let mut examples = 0;
    for (name, text) in explanations() {
        let Some(code) = Code::ALL.iter().copied().find(|code| code.name() == name) else {
            mistakes.push(format!("{name}: there is no such code"));
            continue;
        };
        for (mark, wanted) in [("wrong", true), ("right", false)] {
            let deployments = deployments(&text, mark);
            if deployments.is_empty() && !NOT_SHOWN.contains(&name.as_str()) {
                mistakes.push(format!("{name}: there is no example marked `{mark}`"));
            }
            examples += deployments.len();
            for files in deployments {
                if let Err(mistake) = judge(&files, code, wanted) {
                    mistakes.push(format!("{name}, {mark}: {mistake}"));
                }
            }
        }
    }
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
    assert!(examples > 50, "the examples were not found");
}

#[test]
fn every_code_is_explained_in_few_lines_of_bounded_width() {
    let explanations = explanations();
    let mut mistakes = Vec::new();
    let block = Regex::new(r"(?ms)^```.*?^```$").unwrap();
    for code in Code::ALL {
        let Some(text) = explanations.get(code.name()) else {
            mistakes.push(format!("{}: there is no file", code.name()));
            continue;
        };
        let prose = block.replace_all(text, "").into_owned();
        let lines = prose.lines().filter(|line| !line.trim().is_empty()).count();
        if !(1..=20).contains(&lines) {
            mistakes.push(format!("{}: {lines} lines of prose", code.name()));
        }
        if prose.lines().any(|line| line.chars().count() > 100) {
            mistakes.push(format!("{}: a line is longer than 100 characters", code.name()));
        }
        if text.starts_with('#') || !text.ends_with('\n') {
            mistakes.push(format!("{}: it begins with a title or does not end with a line end", code.name()));
        }
    }
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
}

const MADE: &str = "<!-- made from src/config/explanations/ -->\n";

#[test]
fn the_page_has_every_explanation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnostics.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, _) = page.split_once(MADE).expect("the page has a mark");
    let mut made = format!("{before}{MADE}");
    for (severity, title) in [(Severity::Error, "Errors"), (Severity::Warning, "Warnings")] {
        made.push_str(&format!("\n## {title}\n\n| Code | What it is about |\n| --- | --- |\n"));
        let codes: Vec<Code> = Code::ALL.iter().copied().filter(|code| code.severity() == severity).collect();
        for code in &codes {
            made.push_str(&format!("| [`{0}`](#{0}) | {1} |\n", code.name(), code.about()));
        }
        for code in codes {
            made.push_str(&format!("\n### {}\n\n{}\n\n{}", code.name(), code.about(), code.explanation()));
        }
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, made).unwrap();
    } else {
        assert!(page == made, "docs/diagnostics.md differs from src/config/explanations/ (BLESS=1 rewrites it)");
    }
}

/// Validates one example.
fn judge(files: &BTreeMap<String, String>, code: Code, wanted: bool) -> Result<(), String> {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().canonicalize().unwrap();
    lay_out(&folder, files);
    // Its own files too: one may lie where nobody would look for it, and that be the mistake.
    let own = files.keys().filter(|path| path.ends_with(".yaml") || path.ends_with(".yml")).map(|path| folder.join(path));
    // Some are only reported when they are asked for; the parts that are added here would not fit into Mail Manager.
    let compat = matches!(code, Code::LimitAws | Code::NotInMailManager).then_some(Compat::MailManager);
    let all = compat.is_none().then(|| folder.clone());
    let paths: Vec<PathBuf> = own.chain(all).collect();
    let deny = (code == Code::FailureImplicit).then_some(code).into_iter().collect();
    let options = Options { compat, deny, ..Options::default() };
    let report = config::check_with(&paths, &options).map_err(|error| error.to_string())?;
    let found = report.diagnostics.iter().any(|d| d.code == code);
    let errors = report.diagnostics.iter().any(|d| d.severity == Severity::Error);
    if found == wanted && (wanted || !errors) {
        return Ok(());
    }
    Err(format!("the example {} report it:\n{}", if found { "does" } else { "does not" }, report.render(Format::Text, false)))
}

/// The blocks of one mark by path, as many deployments as there are of the same path.
fn deployments(text: &str, mark: &str) -> Vec<BTreeMap<String, String>> {
    let fence = Regex::new(&format!(r"(?ms)^```\w+ {mark}\n(.*?)^```$")).unwrap();
    let mut deployments: Vec<BTreeMap<String, String>> = Vec::new();
    for block in fence.captures_iter(text) {
        let block = &block[1];
        let first = block.lines().next().unwrap_or_default();
        let path = first.strip_prefix("# ").and_then(|rest| rest.split([' ', ':']).next()).unwrap_or_default();
        assert!(path.contains('.'), "a block begins with `{first}`, not with the path of its file");
        // In other files than YAML a comment may be none.
        let is_yaml = path.ends_with(".yaml") || path.ends_with(".yml");
        let block = if is_yaml { block } else { block.split_once('\n').map_or("", |(_, rest)| rest) };
        match deployments.last_mut() {
            Some(last) if !last.contains_key(path) => drop(last.insert(path.to_owned(), block.to_owned())),
            _ => deployments.push(BTreeMap::from([(path.to_owned(), block.to_owned())])),
        }
    }
    deployments
}

/// The parts of a deployment that an example need not show, by key.
const PARTS: &[(&str, &str)] = &[
    ("hostname", "hostname: mx1.acme.example"),
    ("domains", "domains: [acme.example]"),
    ("endpoints", "endpoints: { mx: { listen: \"127.0.0.1:2525\", policy: edge, rules: inbound } }"),
    ("relays", "relays: { google: { preset: google-workspace }, exchange: { host: exchange.acme.example, port: 587, tls: verify } }"),
    ("address_lists", "address_lists: { denylist: { file: lists/denylist.csv } }"),
    ("ip_lists", "ip_lists: { drop: { file: lists/drop.txt } }"),
    (
        "analyzers",
        "analyzers: { spamhaus: { type: dnsbl, zone: zen.spamhaus.org }, rspamd: { type: rspamd, url: \"http://127.0.0.1:11333\" } }",
    ),
];

fn lay_out(folder: &Path, files: &BTreeMap<String, String>) {
    let mut files = files.clone();
    let gateway = files.entry("gateway.yaml".to_owned()).or_default();
    let there: BTreeSet<String> = gateway
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, _)| key.to_owned())
        .filter(|key| !key.starts_with(' '))
        .collect();
    for (key, part) in PARTS {
        if !there.contains(*key) {
            gateway.push_str(part);
            gateway.push('\n');
        }
    }
    let usual = [
        ("policies/edge.yaml", "default: deny\nallow:\n  - { name: ours, when: [{ recipient: { ends_with: \"@acme.example\" } }] }\n"),
        ("rules/inbound.yaml", "rules:\n  - { name: everyone, actions: [Drop] }\n"),
        ("lists/denylist.csv", "address\nnewsletter@spam.example\n"),
        ("lists/drop.txt", "192.0.2.0/24\n"),
    ];
    for (path, text) in usual {
        files.entry(path.to_owned()).or_insert_with(|| text.to_owned());
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["mx1.acme.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    for (path, text) in [("tls/fullchain.pem", certificate.pem()), ("tls/key.pem", key.serialize_pem()), ("tls/ca.pem", certificate.pem())]
    {
        files.entry(path.to_owned()).or_insert(text);
    }
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// The texts by code.
fn explanations() -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/config/explanations");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.file_name().is_some_and(|name| name != "README.md"));
    texts.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap())).collect()
}
