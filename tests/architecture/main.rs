//! The house keeps its shape: what a room may not know, which way the arrows go, and what no file may contain.
//!
//! The rules are tables; a change of the architecture is a change of a row, with its reason beside it. See `docs/architecture.md`.

mod source;

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use source::SourceFile;

/// The rooms that a room may use. Arrows go to the right (towards the next hop) or down (to types and limits).
const ARROWS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("smtp", &["limits"]),
    ("failure", &["smtp", "limits"]),
    ("message", &["smtp", "limits"]),
    // Octets before the first one of SMTP; whoever reads it needs nothing else.
    ("proxy", &["limits"]),
    ("rules", &["message", "smtp", "limits"]),
    ("policy", &["rules", "message", "smtp", "limits"]),
    // Proofs about rule sets and policies; places in files are the business of `config`.
    ("analysis", &["policy", "rules", "message", "smtp", "limits"]),
    ("telemetry", &["policy", "rules", "failure", "message", "smtp", "limits"]),
    // Parsed material in, rustls' traits out.
    ("certificates", &["message", "limits"]),
    ("socket", &["limits"]),
    ("acme", &["http", "socket", "telemetry", "message", "limits"]),
    ("refreshed", &["limits"]),
    // An error's words are made fit for the log where all of a stranger's are.
    ("aws", &["message", "limits"]),
    ("http", &["limits"]),
    // What orders mean is not its business.
    ("control", &["limits"]),
    // Stored contents are read on threads for such work, whoever sends them.
    ("blocks", &["message", "smtp", "limits"]),
    // What goes out may be a message, of which most is stored.
    ("http_client", &["blocks", "message", "limits"]),
    ("secrets", &["aws", "refreshed", "telemetry", "limits"]),
    // One resolver for all; what was asked is told in a type of `message`.
    ("dns", &["message", "limits"]),
    ("relay", &["blocks", "dns", "http_client", "secrets", "telemetry", "failure", "message", "smtp", "limits"]),
    ("spool", &["telemetry", "message", "limits"]),
    ("authentication", &["dns", "message", "smtp", "limits"]),
    ("analyzers", &["blocks", "dns", "http_client", "message", "smtp", "limits"]),
    // Destinations are asked for in DNS; the dispatcher sends, behind a trait.
    ("daily_reports", &["dns", "telemetry", "smtp", "limits"]),
    ("dmarc_reports", &["daily_reports", "dns", "telemetry", "message", "smtp", "limits"]),
    // What is reported is a session of `relay`.
    ("tls_reports", &["daily_reports", "http_client", "relay", "telemetry", "message", "smtp", "limits"]),
    // The typed snapshot holds what the rooms are configured by; it starts nothing.
    (
        "config",
        &[
            "acme",
            "analysis",
            "analyzers",
            "certificates",
            "daily_reports",
            "dns",
            "policy",
            "relay",
            "rules",
            "secrets",
            "message",
            "smtp",
            "limits",
        ],
    ),
    // Another system's files are read, checked and reported as ours are, and become ours.
    ("mail_manager", &["config", "rules", "limits"]),
    // Asks for what is needed, and tells the log what came of it.
    ("examination", &["analyzers", "authentication", "config", "dns", "secrets", "telemetry", "message", "smtp", "limits"]),
    ("domains", &["config", "aws", "refreshed", "telemetry", "limits"]),
    ("actions", &["config", "relay", "rules", "telemetry", "failure", "message", "smtp", "limits"]),
    (
        "dispatch",
        &[
            "actions",
            "blocks",
            // Orders about the queue, behind a trait.
            "control",
            "daily_reports",
            "dmarc_reports",
            "examination",
            "spool",
            "relay",
            "config",
            "rules",
            "telemetry",
            "failure",
            "message",
            "smtp",
            "limits",
        ],
    ),
    // Relays are asked for recipients; who may not know relays asks behind a trait.
    ("call_ahead", &["config", "relay", "telemetry", "failure", "message", "smtp", "limits"]),
    (
        "ingress",
        &[
            "call_ahead",
            "dispatch",
            "domains",
            "examination",
            "certificates",
            "config",
            "policy",
            "rules",
            // Who may log in at an endpoint.
            "secrets",
            "telemetry",
            "failure",
            "message",
            "proxy",
            "smtp",
            "socket",
            "limits",
        ],
    ),
    // One message judged without a client and a next hop: the pure parts of those who serve, and those who are asked.
    (
        "trial",
        &["ingress", "dispatch", "domains", "examination", "config", "dns", "telemetry", "policy", "rules", "message", "smtp", "limits"],
    ),
    // Past mail, judged as `trial` judges; git is asked for old rules.
    ("replay", &["trial", "ingress", "dispatch", "examination", "config", "policy", "rules", "message", "smtp", "limits"]),
    ("admin", &["http", "dispatch", "spool", "config", "telemetry", "message", "smtp", "limits"]),
    // The one place that knows every room.
    (
        "service",
        &[
            "acme",
            "actions",
            "admin",
            "aws",
            "call_ahead",
            "certificates",
            "config",
            "control",
            "daily_reports",
            "dispatch",
            "dmarc_reports",
            "dns",
            "domains",
            "examination",
            "ingress",
            "limits",
            "message",
            "refreshed",
            "relay",
            "secrets",
            "socket",
            "spool",
            "telemetry",
            "tls_reports",
        ],
    ),
    // The demonstration has a DNS server of its own.
    // The explanation shows what was judged.
    // Tests of rules judge with answers of their own, and say which condition decided.
    (
        "cli",
        &[
            "mail_manager",
            "replay",
            "trial",
            "service",
            "examination",
            "config",
            "analysis",
            "analyzers",
            "control",
            "dns",
            "relay",
            "policy",
            "rules",
            "secrets",
            "telemetry",
            "message",
            "smtp",
            "limits",
        ],
    ),
];

/// Arrows against the order, each for the one type that it names.
const TYPES_ONLY: &[(&str, &str, &str)] = &[
    // What DATA carries: a list of shared bytes that knows nothing of messages, and why such bytes could not be read.
    ("smtp", "message", "Content"),
    ("smtp", "message", "StoredError"),
];

/// Rooms whose answers depend on their arguments alone.
const PURE_ROOMS: &[&str] = &["smtp", "message", "proxy", "policy", "rules", "analysis", "mail_manager"];

/// What a pure room may not name: a runtime, a socket, a file, the process, a clock.
const IMPURE: &[&str] = &[
    "tokio",
    "rustix",
    "socket2",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "now_utc",
    "now_local",
    ".elapsed()",
];

/// What only some rooms may name.
const RESERVED: &[(&str, &[&str], &str)] = &[
    ("serde_yaml", &["config"], "YAML is read in one place"),
    ("granit_parser", &["config"], "YAML is read in one place"),
    ("aws_config", &["aws"], "there is one way to AWS"),
    ("println!", &["cli"], "rooms emit events; only commands print"),
    ("eprintln!", &["cli", "telemetry"], "rooms emit events; only commands print"),
    ("std::env::var", &["cli", "secrets", "telemetry"], "what is configured stands in the configuration"),
];

/// What ends the process or hides a hole. An `expect` whose reason stands beside it as `// invariant:` is allowed.
const ENDS_THE_PROCESS: &str = r#"\.unwrap\(\)|\.unwrap_err\(\)|\.expect\((?:"|&?format!|$)|\b(?:panic|todo|unimplemented|unreachable|dbg)!|\bprocess::(?:exit|abort)\b"#;

/// Lines of one file, its tests apart. One subject a file; most have 100 to 300.
const LINES_MAX: usize = 600;

#[test]
fn arrows_between_rooms_go_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut mistakes = Vec::new();
    for file in source::files() {
        let room = file.room();
        let Some(row) = allowed.get(room) else {
            mistakes.push(format!("{}: the room {room} has no row in ARROWS", file.path));
            continue;
        };
        for (line, other, item) in uses(&file) {
            let by_type = TYPES_ONLY.iter().any(|(from, to, kind)| *from == room && *to == other && *kind == item);
            if other != room && !row.contains(&other.as_str()) && !by_type {
                mistakes.push(format!("{}:{line}: {room} may not use {other}::{item}", file.path));
            }
        }
    }
    report(&mistakes);
}

#[test]
fn the_table_of_arrows_has_no_circle() {
    // Rooms are taken away whose arrows all lead to rooms taken away before; what is left turns in a circle.
    let mut left: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    assert_eq!(left.len(), ARROWS.len(), "a room has two rows");
    for others in left.values() {
        assert!(others.iter().all(|other| left.contains_key(other)), "an arrow leads to a room without a row: {others:?}");
    }
    while let Some(done) = left.iter().find(|(_, others)| others.iter().all(|other| !left.contains_key(other))).map(|(room, _)| *room) {
        left.remove(done);
    }
    assert!(left.is_empty(), "a circle: {left:?}");
}

#[test]
fn pure_rooms_know_no_runtime_no_socket_no_file_and_no_clock() {
    let mut mistakes = Vec::new();
    for file in source::files().iter().filter(|file| PURE_ROOMS.contains(&file.room())) {
        for (line, text) in file.code() {
            for word in IMPURE.iter().filter(|word| names(text, word)) {
                mistakes.push(format!("{}:{line}: {} is pure and may not name {word}", file.path, file.room()));
            }
        }
    }
    report(&mistakes);
}

#[test]
fn what_belongs_to_one_room_stays_there() {
    let mut mistakes = Vec::new();
    for file in source::files() {
        for (line, text) in file.code() {
            for (word, rooms, why) in RESERVED {
                if names(text, word) && !rooms.contains(&file.room()) {
                    mistakes.push(format!("{}:{line}: {word} belongs to {rooms:?}: {why}", file.path));
                }
            }
        }
    }
    report(&mistakes);
}

#[test]
fn nothing_ends_the_process() {
    let ends = Regex::new(ENDS_THE_PROCESS).unwrap();
    let mut mistakes = Vec::new();
    for file in source::files() {
        for (line, text) in file.code() {
            if let Some(found) = ends.find(text).filter(|found| !(found.as_str().starts_with(".expect") && file.says_invariant(line))) {
                mistakes.push(format!("{}:{line}: {} outside tests", file.path, found.as_str()));
            }
        }
    }
    report(&mistakes);
}

/// The highest detail of each subject in the registry of RFC 5248; those below it are registered too.
const STATUS_DETAIL_MAX: [u16; 8] = [0, 10, 4, 6, 7, 6, 10, 30];

#[test]
fn every_status_is_registered_and_of_the_class_of_its_code() {
    let status = Regex::new(STATUS).unwrap();
    let (mut mistakes, mut count) = (Vec::new(), 0);
    for file in source::files() {
        for (line, text) in file.code() {
            for found in status.captures_iter(text) {
                count += 1;
                if let Some(why) = wrong_status(&found) {
                    mistakes.push(format!("{}:{line}: {}: {why}", file.path, &found[0]));
                }
            }
        }
    }
    report(&mistakes);
    assert!(count > 50, "only {count} were found");
}

/// A status with numbers in the source, and the code before it.
const STATUS: &str = r"(?:(\d{3}), (?:Some\()?)?Status\((\d), (\d+), (\d+)\)";

fn wrong_status(found: &regex::Captures<'_>) -> Option<&'static str> {
    let number = |group: usize| found[group].parse::<u16>().unwrap();
    if found.get(1).is_some_and(|code| code.as_str()[..1] != found[2]) {
        return Some("the code is of another class");
    }
    let registered = STATUS_DETAIL_MAX.get(usize::from(number(3))).is_some_and(|max| number(4) <= *max);
    (!registered || ![2, 4, 5].contains(&number(2))).then_some("not in the registry of RFC 5248")
}

#[test]
fn a_file_has_one_subject() {
    let mistakes: Vec<_> = source::files()
        .iter()
        .map(|file| (file, file.lines_without_tests()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(file, lines)| format!("{}: {lines} lines without tests, at most {LINES_MAX}", file.path))
        .collect();
    report(&mistakes);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = source::files().into_iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.path);
    report(&silent.map(|path| format!("{path}: no `//!` at its beginning")).collect::<Vec<_>>());
}

#[test]
fn the_checks_see_what_they_look_for() {
    let file = SourceFile::new(
        "rules/example.rs",
        "//! crate::spool is only spoken of.\nuse crate::message::{Edits, Envelope};\nuse crate::spool::Spool;\nfn f() {\n    x.expect(\"y\"); // panic!\n}\n\
         #[cfg(test)]\nmod tests {\n    use crate::relay::Relay;\n}\n",
    );
    assert_eq!(file.room(), "rules");
    let found: BTreeSet<_> = uses(&file).into_iter().collect();
    let expected = [(2, "message", "Edits"), (2, "message", "Envelope"), (3, "spool", "Spool")];
    assert_eq!(found, expected.map(|(line, room, item)| (line, room.to_owned(), item.to_owned())).into());

    let ends = Regex::new(ENDS_THE_PROCESS).unwrap();
    let lines: Vec<_> = file.code().into_iter().filter(|(_, text)| ends.is_match(text)).map(|(line, _)| line).collect();
    assert_eq!(lines, [5]);
    for (text, is_end) in [
        ("x.unwrap();", true),
        ("x.unwrap_or_default();", false),
        ("parser.expect(b':')?;", false),
        ("todo!()", true),
        ("x.expect(", true),
        ("std::process::exit(1)", true),
    ] {
        assert_eq!(ends.is_match(text), is_end, "{text}");
    }
    let status = Regex::new(STATUS).unwrap();
    for (text, is_wrong) in [
        ("Reply::fixed(550, Status(5, 7, 1), TEXT)", false),
        ("Reply::new(250, Some(Status(2, 0, 0)), text)", false),
        ("Status(4, 7, 0)", false),
        ("Reply::fixed(550, Status(5, 6, 11), TEXT)", true),
        ("Reply::fixed(550, Status(4, 7, 1), TEXT)", true),
        ("Status(3, 0, 0)", true),
        ("Status(5, 8, 0)", true),
    ] {
        assert_eq!(wrong_status(&status.captures(text).unwrap()).is_some(), is_wrong, "{text}");
    }
    assert!(names("use std::fs::File;", "std::fs") && names("let now = Instant::now();", "Instant::now"));
    assert!(!names("use crate::tokio_free;", "tokio") && !names("my_println!()", "println!"));
}

/// The rooms and items that a file's code names as `crate::room::Item` or `crate::room::{Item, Item}`, each with its line.
fn uses(file: &SourceFile) -> Vec<(usize, String, String)> {
    let pattern = Regex::new(r"\bcrate::(\{|\w+)(?:::(\{[^;]*?\}|\w+))?").unwrap();
    let code = file.code();
    let text: String = code.iter().flat_map(|(_, text)| [*text, "\n"]).collect();
    let mut uses = Vec::new();
    for found in pattern.captures_iter(&text) {
        let line = code[text[..found.get(0).unwrap().start()].matches('\n').count()].0;
        assert!(&found[1] != "{", "{}:{line}: name each room in a `use` of its own", file.path);
        let items = found.get(2).map_or("", |items| items.as_str()).trim_matches(['{', '}']);
        for item in items.split(',').map(str::trim).filter(|item| !item.is_empty() || items.is_empty()) {
            uses.push((line, found[1].to_owned(), item.to_owned()));
        }
    }
    uses
}

/// Whether the code names the word, as a word.
fn names(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(is_word) && word.starts_with(is_word);
        let after = text[at + word.len()..].chars().next().is_some_and(is_word) && word.ends_with(is_word);
        !before && !after
    })
}

/// All mistakes at once.
fn report(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
}
