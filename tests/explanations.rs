//! The examples in the explanations of diagnostics are what they claim: a wrong one reports the code, a right one does not.
//!
//! `src/config/explanations/README.md` says how they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gateway::config::{self, Code, Format, Severity};
use regex::Regex;

/// Codes whose mistake cannot be shown in a few lines of text: bytes that are not UTF-8, files that cannot be read, certificates.
const NOT_SHOWN: &[&str] =
    &["unreadable", "encoding", "too-large", "too-deep", "too-many", "expired", "expires-soon", "ca-without-crl", "gateway-mistakes"];

#[test]
fn examples_are_what_they_claim() {
    let mut mistakes = Vec::new();
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
            for files in deployments {
                if let Err(mistake) = judge(&files, code, wanted) {
                    mistakes.push(format!("{name}, {mark}: {mistake}"));
                }
            }
        }
    }
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
}

/// Validates one example.
fn judge(files: &BTreeMap<String, String>, code: Code, wanted: bool) -> Result<(), String> {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().canonicalize().unwrap();
    lay_out(&folder, files);
    let report = config::check(&[folder]).map_err(|error| error.to_string())?;
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
    let there: BTreeSet<String> =
        gateway.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key.to_owned()).filter(|key| !key.starts_with(' ')).collect();
    for (key, part) in PARTS {
        if !there.contains(*key) {
            gateway.push_str(part);
            gateway.push('\n');
        }
    }
    let usual = [
        ("policies/edge.yaml", "default: deny\nallow:\n  - { name: ours, when: [{ recipient: { ends_with: \"@acme.example\" } }] }\n"),
        ("rules/inbound.yaml", "rules:\n  - { name: everyone, actions: [Reject] }\n"),
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
