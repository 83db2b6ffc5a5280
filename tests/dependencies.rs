//! What is built into the gateway: one TLS stack, one crypto provider, one HTTP stack, no licence that binds its users.
//!
//! The graph is cargo's own answer for this machine and the features that are really on; `Cargo.lock` alone also names what
//! is never built.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Crates that must not come back, least of all through the default features of another one.
const BANNED: &[(&str, &str)] = &[
    ("ring", "the crypto provider is aws-lc-rs"),
    ("openssl", "the TLS stack is rustls"),
    ("openssl-sys", "the TLS stack is rustls"),
    ("boring", "the TLS stack is rustls"),
    ("native-tls", "the TLS stack is rustls"),
    ("mbedtls", "the TLS stack is rustls"),
    ("rustls-pemfile", "unmaintained; rustls-pki-types reads PEM"),
    ("rustls-webpki@0.101", "comes with the AWS SDK's legacy client; turn its default features off"),
    ("trust-dns-proto", "renamed to hickory"),
    ("trust-dns-resolver", "renamed to hickory"),
    ("yaml-rust", "unmaintained"),
    ("yaml-rust2", "YAML is read by yaml_serde and granit-parser"),
    ("unsafe-libyaml", "YAML is read by yaml_serde and granit-parser"),
    ("chrono", "time is the crate for time"),
    ("async-std", "the runtime is tokio"),
];

/// Crates of which one version is enough; a second one would be a second stack.
const ONE_VERSION: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "h2",
    "hickory-proto",
    "hickory-resolver",
    "http",
    "hyper",
    "hyper-rustls",
    "rustls",
    "rustls-webpki",
    "tokio",
    "tokio-rustls",
];

/// Licences that ask for no more than to be named.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "BSL-1.0",
    "Unlicense",
];

#[test]
fn no_second_stack_is_built_in() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for package in packages() {
        for (banned, why) in BANNED {
            let (name, version) = banned.split_once('@').unwrap_or((banned, ""));
            if package.name == name && package.version.starts_with(version) {
                mistakes.push(format!("{} {}: {why} (cargo tree -i {name})", package.name, package.version));
            }
        }
        versions.entry(package.name).or_default().insert(package.version);
    }
    for name in ONE_VERSION {
        if let Some(versions) = versions.get(*name).filter(|versions| versions.len() > 1) {
            mistakes.push(format!("{name} is there in several versions: {versions:?}"));
        }
    }
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
    for name in ["rustls", "aws-lc-rs", "hyper", "tokio"] {
        assert!(versions.contains_key(name), "{name} is not in the graph: was it read at all?");
    }
}

#[test]
fn every_licence_is_a_permissive_one() {
    let bad = packages().into_iter().filter(|package| !is_permissive(&package.licence));
    let bad: Vec<_> = bad.map(|package| format!("{} {}: {:?}", package.name, package.version, package.licence)).collect();
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
}

#[test]
fn licence_expressions_are_read() {
    for (expression, permissive) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("Apache-2.0 / MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("MIT AND (GPL-3.0 OR ISC)", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND AGPL-3.0", false),
        ("MIT OR GPL-3.0 AND LGPL-2.1", true),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ("GPL-2.0 WITH Classpath-exception-2.0", false),
        ("", false),
        ("MIT OR", false),
        ("(MIT", false),
        ("MIT)", false),
    ] {
        assert_eq!(is_permissive(expression), permissive, "{expression}");
    }
}

struct Package {
    name: String,
    version: String,
    licence: String,
}

/// What is linked into the gateway on this machine.
fn packages() -> Vec<Package> {
    // Not `--offline`: cargo looks into the manifests of a few crates that a build does not need, and fetches them when they are not
    // there. It asks the network for nothing else.
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: BTreeSet<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert!(lines.len() > 50, "cargo tree says too little: {lines:?}");
    lines
        .iter()
        .map(|line| {
            let (package, licence) = line.split_once('|').expect("the format has a bar");
            let mut words = package.split(' ');
            let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().trim_start_matches('v'));
            Package { name: name.to_owned(), version: version.to_owned(), licence: licence.to_owned() }
        })
        .collect()
}

/// An SPDX expression of names, AND, OR and parentheses; `/` is an old way to write OR.
fn is_permissive(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest) == Some(true) && rest.is_empty()
}

/// OR binds less than AND; `None` is an expression that cannot be read.
fn either(words: &mut &[&str]) -> Option<bool> {
    let mut permissive = both(words)?;
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        permissive |= both(words)?;
    }
    Some(permissive)
}

fn both(words: &mut &[&str]) -> Option<bool> {
    let mut permissive = one(words)?;
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        permissive &= one(words)?;
    }
    Some(permissive)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    if *first == "(" {
        let permissive = either(words)?;
        let (close, rest) = words.split_first()?;
        *words = rest;
        return (*close == ")").then_some(permissive);
    }
    if matches!(*first, ")" | "AND" | "OR" | "WITH") {
        return None;
    }
    let licence = match words {
        ["WITH", exception, rest @ ..] => {
            *words = rest;
            format!("{first} WITH {exception}")
        }
        _ => (*first).to_owned(),
    };
    Some(LICENCES.contains(&licence.as_str()))
}
