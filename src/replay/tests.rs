//! Whole replays in small: deployments in folders, mail in files, old rules in a git repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::config;

const GATEWAY: &str = "hostname: mx1.acme.example\ndomains: [acme.example, acme.org]\nendpoints:\n  mx: { listen: [\"127.0.0.1:25\"], policy: edge, rules: inbound }\nrelays:\n  google: { host: g.example }\n  m365: { host: m.example }\naddress_lists: { moved: { file: LISTS/moved.csv } }\nspool: { path: spool }\n";
const OLD: &str = "rules:\n  - name: forged\n    when:\n      - dmarc_result: { equals: fail }\n    actions:\n      - Reject: { code: 550, status: 5.7.1, text: No }\n  - name: all\n    actions:\n      - SMTPRelay: { relay: google }\n";
const MOVED: &str = "rules:\n  - name: forged\n    when:\n      - dmarc_result: { equals: fail }\n    actions:\n      - Reject: { code: 550, status: 5.7.1, text: No }\n  - name: moved\n    when:\n      - recipient_domain: { equals: acme.org }\n    actions:\n      - SMTPRelay: { relay: m365 }\n      - Stop\n  - name: all\n    actions:\n      - SMTPRelay: { relay: google }\n";
const POLICY: &str = "default: allow\ndeny:\n  - name: bad\n    when:\n      - sender_ip: { cidr_matches: [203.0.113.0/24] }\n";

fn deploy(folder: &Path, lists: &str, rules: &str) -> PathBuf {
    for (name, text) in [
        ("gateway.yaml", GATEWAY.replace("LISTS", lists).as_str()),
        ("policies/edge.yaml", POLICY),
        ("rules/inbound.yaml", rules),
        ("lists/moved.csv", "address\ndora@acme.org\n"),
    ] {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder.join("gateway.yaml")
}

fn side(gateway_yaml: &Path) -> Side {
    let (rulebook, _) = config::rulebook(gateway_yaml).unwrap_or_else(|report| panic!("{}", report.render(config::Format::Text, false)));
    Side::new(gateway_yaml.display().to_string(), rulebook)
}

fn replay(old: &str, new: &str, defaults: Defaults) -> (TempDir, Replay) {
    let folder = tempfile::tempdir().expect("a folder");
    let [old, new] = [("old", old), ("new", new)].map(|(name, rules)| side(&deploy(&folder.path().join(name), "lists", rules)));
    (folder, Replay { old, new, defaults, asker: None, examples_max: 2, messages_max: None })
}

fn mail(folder: &Path, name: &str, header: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("{header}Subject: x\n\nbody\n")).expect("a file");
    path
}

fn run(replay: &Replay, source: &Path) -> Tally {
    replay.run(&[source.to_owned()], &mut |_| {}).expect("a source").1
}

/// As the gateway has left it in a mailbox.
fn through_us(to: &str, dmarc: &str) -> String {
    format!(
        "Return-Path: <a@partner.example>\nAuthentication-Results: mx1.acme.example;\n\tdmarc={dmarc} (p=reject dis=none x) header.from=partner.example\n\
         Received: from mail.partner.example (unknown [192.0.2.7])\n\tby mx1.acme.example (Gateway) with ESMTP id 06-1\n\tfor <{to}>;\n\tSun, 22 Nov 2026 07:00:00 +0000\n\
         Authentication-Results: mx1.acme.example; dmarc=fail header.from=partner.example\nFrom: a@partner.example\nTo: {to}\nMessage-ID: <1@partner.example>\n"
    )
}

#[test]
fn who_moves_is_told_with_rule_and_condition() {
    let (folder, replay) = replay(OLD, MOVED, Defaults::default());
    fs::create_dir(folder.path().join("mail")).expect("a folder");
    let archive = folder.path().join("mail");
    mail(&archive, "1.eml", &through_us("bob@acme.example", "pass"));
    mail(&archive, "2.eml", &through_us("dora@acme.org", "pass"));
    mail(&archive, "3.eml", &through_us("dora@acme.org", "fail"));
    let tally = run(&replay, &archive);
    assert_eq!((tally.messages, tally.same, tally.differ, tally.open, tally.passed_over), (3, 2, 1, 0, 0), "{tally:?}");
    assert_eq!((tally.assumed, tally.guessed), (0, [0, 0, 0]));
    let differences = tally.differences();
    let one = differences.first().expect("one");
    assert_eq!(one.difference.changes.iter().map(Change::in_brief).collect::<Vec<_>>(), ["relay google -> relay m365"]);
    assert_eq!((&*one.difference.old_by.join(","), &*one.difference.new_by.join(",")), ("rule `all`", "rule `moved`"));
    let example = one.group.examples.first().expect("one");
    assert!(example.place.ends_with("2.eml"), "{example:?}");
    assert_eq!((example.client_ip, example.mail_from.as_deref()), ("192.0.2.7".parse().ok(), Some("a@partner.example")));
    assert!(example.why.iter().any(|line| line.contains("`moved`") && line.contains("has no such rule")), "{example:?}");
    assert!(example.why.iter().any(|line| line.contains("`all`") && line.contains("has ended before it")), "{example:?}");
}

#[test]
fn the_condition_that_keeps_a_rule_from_matching_is_named() {
    let narrower = MOVED.replace("equals: acme.org", "equals: acme.net");
    let (folder, replay) = replay(MOVED, &narrower, Defaults::default());
    let source = mail(folder.path(), "1.eml", &through_us("dora@acme.org", "pass"));
    let tally = run(&replay, &source);
    let why = tally.differences().first().and_then(|one| one.group.examples.first().map(|one| one.why.join("\n"))).expect("one");
    assert!(why.contains("`moved` matched only by the old rules"), "{why}");
    assert!(why.contains("recipient_domain: { equals: \"acme.net\" }` saw \"acme.org\""), "{why}");
}

#[test]
fn what_is_not_known_is_tried_both_ways_and_never_made_up() {
    // Neither the client nor DMARC is known. What was delivered was not refused then; what is new is open.
    let (folder, replay) = replay(OLD, MOVED, Defaults::default());
    let source = mail(folder.path(), "1.eml", "From: a@partner.example\nTo: dora@acme.org\n");
    let tally = run(&replay, &source);
    assert_eq!((tally.differ, tally.open, tally.assumed, tally.guessed), (1, 0, 1, [0, 1, 1]), "{tally:?}");
    let stricter = OLD.replace("equals: fail", "equals: [fail, none]");
    let (folder, replay) = self::replay(OLD, &stricter, Defaults::default());
    let source = mail(folder.path(), "1.eml", "From: a@partner.example\nTo: dora@acme.org\n");
    let tally = run(&replay, &source);
    assert_eq!((tally.differ, tally.open), (0, 1), "{tally:?}");
    let untold = tally.untold();
    let untold = untold.first().expect("one");
    assert!(untold.questions.contains("dmarc_result equals: [fail, none]"), "{untold:?}");
    assert_eq!(untold.possible, ["the same", "relay google -> rejected by rule `forged`"]);
    // With the same unknown on both sides nothing is open.
    let (_folder, replay) = self::replay(OLD, OLD, Defaults::default());
    let tally = run(&replay, &source);
    assert_eq!((tally.same, tally.open), (1, 0), "{tally:?}");
}

#[test]
fn a_log_without_content_is_judged_by_what_it_tells() {
    let subject = |rest: &str| {
        format!(
            "rules:\n  - name: tagged\n    when:\n      - subject: {{ contains: invoice }}\n    actions:\n      - SMTPRelay: {{ relay: {rest} }}\n      - Stop\n  - name: all\n    actions:\n      - SMTPRelay: {{ relay: google }}\n"
        )
    };
    let (folder, replay) = replay(&subject("google"), &subject("m365"), Defaults::default());
    let line = |id: &str, rule: &str| {
        format!(
            "{{\"event\":\"message\",\"session\":\"s\",\"message\":\"s-{id}\",\"endpoint\":\"mx\",\"client\":\"192.0.2.7\",\"helo\":\"h\",\"mail_from\":\"a@b.example\",\"recipients\":[\"bob@acme.example\"],\"size\":90,\"tls\":null,\"message_id\":null}}\n{}{{\"event\":\"replied\",\"session\":\"s\",\"message\":\"s-{id}\"}}\n",
            if rule.is_empty() {
                String::new()
            } else {
                format!(
                    "{{\"event\":\"rule\",\"session\":\"s\",\"message\":\"s-{id}\",\"rule\":\"{rule}\",\"recipients\":[\"bob@acme.example\"]}}\n"
                )
            }
        )
    };
    let log = folder.path().join("events");
    // Which rule matched then says what the subject was like; where neither explains it, nothing is known of it.
    fs::write(&log, line("1", "tagged") + &line("2", "all") + &line("3", "another")).expect("a file");
    let tally = run(&replay, &log);
    assert_eq!((tally.messages, tally.differ, tally.same, tally.open, tally.logged), (3, 1, 1, 1, [3, 2]), "{tally:?}");
    let open = tally.untold();
    assert_eq!(open.first().map(|one| one.questions.len()), Some(1), "{open:?}");
}

#[test]
fn a_client_who_is_refused_now_is_told() {
    let (folder, mut replay) = replay(OLD, OLD, Defaults::default());
    let new = folder.path().join("new");
    fs::write(new.join("policies/edge.yaml"), POLICY.replace("203.0.113.0/24", "192.0.2.0/24")).expect("a file");
    replay.new = side(&new.join("gateway.yaml"));
    let source = mail(folder.path(), "1.eml", &through_us("bob@acme.example", "pass"));
    let tally = run(&replay, &source);
    let differences = tally.differences();
    let one = differences.first().expect("one").difference;
    assert_eq!(one.changes.first().map(Change::in_brief).as_deref(), Some("relay google -> refused by the policy at connect"));
    assert_eq!(one.new_by, ["statement `bad`"]);
}

#[test]
fn a_huge_message_takes_bounded_memory_and_is_refused_for_its_size() {
    let (folder, mut replay) =
        replay(OLD, OLD, Defaults { recipients: vec![Address::parse("bob@acme.example", false).expect("one")], ..Defaults::default() });
    let new = folder.path().join("new");
    fs::write(new.join("policies/edge.yaml"), format!("{POLICY}max_message_size: 1KiB\n")).expect("a file");
    replay.new = side(&new.join("gateway.yaml"));
    let path = folder.path().join("x.eml");
    fs::write(&path, format!("From: a@b.example\n\n{}", "x".repeat(5000))).expect("a file");
    let tally = run(&replay, &path);
    let brief = tally.differences().first().and_then(|one| one.difference.changes.first().map(Change::in_brief));
    assert_eq!(brief.as_deref(), Some("relay google -> refused by the session"), "{tally:?}");
    // Beyond what either would take, only its begin is kept.
    fs::File::create(&path).and_then(|file| file.set_len(MESSAGE_BYTES_DEFAULT + 10_000_000)).expect("a file");
    assert_eq!(run(&replay, &path).same, 1);
}

#[test]
fn an_mbox_of_python_is_read_as_python_wrote_it() {
    let (folder, replay) = replay(OLD, OLD, Defaults::default());
    let path = folder.path().join("python.mbox");
    fs::write(&path, include_bytes!("sources/python.mbox")).expect("a file");
    let tally = run(&replay, &path);
    assert_eq!((tally.messages, tally.same, tally.passed_over), (3, 3, 0), "{tally:?}");
    // The separator tells the sender.
    assert_eq!(tally.guessed, [0, 0, 3]);
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").current_dir(folder).args(identity).args(arguments).output().expect("git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn old_rules_are_read_from_a_git_revision_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mail_folder = folder.path().join("mail");
    let gateway_yaml = deploy(&mail_folder, "../lists", OLD);
    fs::create_dir(folder.path().join("lists")).expect("a folder");
    fs::write(folder.path().join("lists/moved.csv"), "address\n").expect("a file");
    git(folder.path(), &["init", "-q"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-qm", "one"]);
    // Uncommitted: the new side.
    fs::write(mail_folder.join("rules/inbound.yaml"), MOVED).expect("a file");
    let old = Revision::read(&gateway_yaml, "HEAD").expect("a revision");
    let place = old.gateway_yaml.clone();
    assert_eq!((place.is_file(), old.left_out.len()), (true, 0));
    let replay = Replay {
        old: side(&old.gateway_yaml),
        new: side(&gateway_yaml),
        defaults: Defaults::default(),
        asker: None,
        examples_max: 1,
        messages_max: None,
    };
    let source = mail(folder.path(), "1.eml", &through_us("dora@acme.org", "pass"));
    assert_eq!(run(&replay, &source).differ, 1);
    assert_eq!(old.as_named(&format!("{}:1:1", place.display()), "HEAD"), "HEAD:mail/gateway.yaml:1:1");
    drop(old);
    assert!(!place.exists());
    git(folder.path(), &["mv", "mail/gateway.yaml", "mail/other.yaml"]);
    git(folder.path(), &["commit", "-qm", "two"]);
    for (revision, expected) in [
        ("--output=/tmp/x", "is no git revision"),
        ("", "is no git revision"),
        ("HEAD:mail", "is no git revision"),
        ("nowhere", "has no revision `nowhere`"),
        ("HEAD", "has no mail/gateway.yaml"),
    ] {
        let error = Revision::read(&gateway_yaml, revision).expect_err("no revision").to_string();
        assert!(error.contains(expected), "{revision}: {error}");
    }
    let elsewhere = tempfile::tempdir().expect("a folder");
    let error = Revision::read(&elsewhere.path().join("gateway.yaml"), "HEAD").expect_err("no repository").to_string();
    assert!(error.contains("no git repository"), "{error}");
}

#[test]
fn an_endpoint_must_be_clear_and_a_source_readable() {
    let (folder, mut replay) = replay(OLD, OLD, Defaults { endpoint: Some("nowhere".to_owned()), ..Defaults::default() });
    let source = mail(folder.path(), "1.eml", "From: a@b.example\n");
    assert!(matches!(replay.run(std::slice::from_ref(&source), &mut |_| {}), Err(ReplayError::Endpoint(_))));
    replay.defaults.endpoint = None;
    let missing = folder.path().join("missing");
    assert!(matches!(replay.run(&[missing], &mut |_| {}), Err(ReplayError::Unreadable(..))));
    let tally = run(&replay, &source);
    assert_eq!((tally.messages, tally.passed_over), (0, 1));
    assert!(tally.passed_over_shown.first().is_some_and(|passed| passed.why.contains("--rcpt")), "{tally:?}");
}
