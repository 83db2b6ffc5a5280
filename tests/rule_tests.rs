//! `gateway test` through the real program: the shipped tests pass, and nothing that is expected in vain passes.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What the program said.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_gateway")).arg("test").args(arguments).current_dir(folder).output().unwrap();
    Ran { code: output.status.code(), out: String::from_utf8(output.stdout).unwrap(), err: String::from_utf8(output.stderr).unwrap() }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const GATEWAY: &str = r#"
hostname: mx1.acme.example
domains: [acme.example]
endpoints:
  mx: { listen: "127.0.0.1:2525", policy: edge, rules: inbound }
relays:
  google: { host: aspmx.l.google.com }
  archive: { host: archive.acme.example }
analyzers:
  zen: { type: dnsbl, zone: zen.dnsbl.example }
  rspamd: { type: rspamd, url: "http://127.0.0.1:9" }
"#;

const POLICY: &str = r#"
default: deny
deny:
  - name: listed
    when:
      - analysis: { analyzer: zen, field: is_listed, equals: true }
      - sender_ip: { cidr_matches: 203.0.113.0/24 }
allow:
  - name: our-domain
    when:
      - recipient: { ends_with: "@acme.example" }
"#;

const RULES: &str = r#"
rules:
  - name: spam
    when:
      - analysis: { analyzer: rspamd, field: score, greater_than: 15, on_error: skip }
    actions: [Drop]
  - name: watched
    mode: audit
    when:
      - subject: { contains: [invoice, payment] }
    actions: [Drop]
  - name: forged
    when:
      - dmarc_result: { equals: fail }
    actions:
      - Reject: { code: 550, status: 5.7.1, text: Forged }
  - name: copied
    when:
      - any:
          - from: { ends_with: "@legal.example" }
          - not: { recipient: { starts_with: b } }
    actions:
      - AddHeader: { name: X-Copied, value: "for {{ recipient }}" }
      - SMTPRelay: { relay: archive, mail_from: replace, on_failure: continue }
      - ReplaceRecipient: { map: { carol@acme.example: carola@acme.example } }
  - name: everyone
    actions:
      - SMTPRelay: { relay: google }
"#;

/// A deployment with these tests.
fn deployment(tests: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("gateway.yaml", GATEWAY), ("policies/edge.yaml", POLICY), ("rules/inbound.yaml", RULES), ("rules/tests/inbound.yaml", tests)]
    {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// What holds of a message to two people of whom one has another address behind the gateway.
const GIVEN: &str = r#"
endpoint: mx
given:
  mail_from: a@legal.example
  recipients: [bob@acme.example, carol@acme.example]
  message: { from: a@legal.example, subject: An invoice }
  dmarc_result: none
  analysis: { zen: { is_listed: false }, rspamd: { score: 1.5 } }
tests:
"#;

#[test]
fn the_shipped_rules_are_tested_whole() {
    let ran = run(repository(), &["--coverage-min", "100"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(!ran.out.contains("FAILED") && !ran.out.contains('\u{1b}'), "{}", ran.out);
    assert!(ran.err.contains(": all as expected"), "{}", ran.err);
}

#[test]
fn what_is_so_passes() {
    let folder = deployment(&format!(
        r#"{GIVEN}
  - name: all of it
    expect:
      bob@acme.example:
        policy: allow
        statement: our-domain
        rules: [copied, everyone]
        audit: [watched]
        outcome:
          - SMTPRelay: {{ relay: archive, to: bob@acme.example, mail_from: replace, on_failure: continue, headers: {{ X-Copied: for bob@acme.example }} }}
          - SMTPRelay: {{ relay: google, to: bob@acme.example, mail_from: preserve, on_failure: bounce }}
        headers: {{ Subject: An invoice, x-copied: [for bob@acme.example], Received: absent }}
      carol@acme.example:
        outcome: [{{ SMTPRelay: archive }}, {{ SMTPRelay: {{ to: carola@acme.example }} }}]
        headers: {{ X-Copied: for carol@acme.example }}
    reply: {{ code: 250, of: spool }}
  - name: what a rule refuses
    given: {{ dmarc_result: fail }}
    expect:
      "*": {{ rules: [forged], by: forged, outcome: Reject, refused_at: data, reply: {{ code: 550, status: 5.7.1, text: Forged }} }}
    reply: {{ code: 550, contains: org, of: gateway }}
  - name: what has no answer
    given: {{ analysis: {{ zen: {{ error: timeout }} }}, client_ip: 203.0.113.5 }}
    expect:
      "*": {{ policy: defer, statement: listed, refused_at: rcpt, reply: {{ code: 451 }} }}
  - name: what is skipped
    given: {{ analysis: {{ rspamd: {{ error: no answer }} }} }}
    expect:
      "*": {{ rules: [copied, everyone] }}
"#
    ));
    let ran = run(folder.path(), &[]);
    assert_eq!((ran.code, ran.err.contains("4 tests in 1 file: all as expected")), (Some(0), true), "{}{}", ran.out, ran.err);
}

#[test]
fn what_is_not_so_fails_and_says_what_is() {
    // What is expected in vain of bob; under which key the report shows it, and what it says of the truth.
    let cases = [
        ("policy: deny", "policy", "allow"),
        ("statement: default", "statement", "our-domain"),
        ("refused_at: rcpt", "refused_at", "not refused"),
        ("rules: [everyone]", "rules", "[copied, everyone]"),
        ("rules: [everyone, copied]", "rules", "[copied, everyone]"),
        ("rules: []", "rules", "[copied, everyone]"),
        ("audit: []", "audit", "[watched]"),
        ("outcome: Drop", "outcome", "SMTPRelay archive"),
        ("outcome: { SMTPRelay: google }", "outcome", "SMTPRelay archive"),
        ("outcome: [{ SMTPRelay: google }, { SMTPRelay: archive }]", "outcome", "SMTPRelay archive"),
        ("outcome: [{ SMTPRelay: { mail_from: preserve } }, { SMTPRelay: google }]", "outcome", "mail_from: replace"),
        ("outcome: [{ SMTPRelay: { on_failure: bounce } }, { SMTPRelay: google }]", "outcome", "on_failure: continue"),
        ("outcome: [{ SMTPRelay: { to: x@acme.example } }, { SMTPRelay: google }]", "outcome", "to: bob@acme.example"),
        ("outcome: [{ SMTPRelay: { headers: { X-Copied: x } } }, { SMTPRelay: google }]", "headers", "X-Copied: for bob@acme.example"),
        ("outcome: [{ SMTPRelay: archive }, { SMTPRelay: google }, Drop]", "outcome", "SMTPRelay archive"),
        ("by: otherwise", "by", "no rule"),
        ("headers: { X-Copied: absent }", "headers", "X-Copied: for bob@acme.example"),
        ("headers: { X-Copied: [for bob@acme.example, again] }", "headers", "X-Copied: for bob@acme.example"),
        ("headers: { X-Other: x }", "headers", "no X-Other"),
        ("reply: { code: 550 }", "reply", "not refused"),
    ];
    let mut tests = GIVEN.to_owned();
    for (expected, ..) in cases {
        tests.push_str(&format!("  - name: '{expected}'\n    expect: {{ bob@acme.example: {{ {expected} }}, \"*\": {{}} }}\n"));
    }
    for (number, expected) in
        ["of: gateway", "of: relay", "code: 251", "text: Hello", "contains: Hello", "status: 2.0.0"].iter().enumerate()
    {
        tests.push_str(&format!("  - name: reply {number}\n    expect: {{ \"*\": {{}} }}\n    reply: {{ {expected} }}\n"));
    }
    let folder = deployment(&tests);
    let ran = run(folder.path(), &["--format", "json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&json["tests"], &json["failed"]), (&(cases.len() + 6).into(), &(cases.len() + 6).into()), "{}", ran.out);
    let of = |name: &str| json["files"][0]["tests"].as_array().unwrap().iter().find(|test| test["name"] == name).unwrap();
    for (expected, what, actual) in cases {
        let differences = of(expected)["differences"].as_array().unwrap();
        let found = differences.iter().any(|one| one["what"] == what && one["actual"].as_str().unwrap().contains(actual));
        assert!(found && differences.iter().all(|one| one["recipient"] == "bob@acme.example"), "{expected}: {differences:#?}");
    }
}

#[test]
fn a_failure_names_the_condition_that_decided() {
    let folder = deployment(&format!(
        r#"{GIVEN}
  - name: a rule that does not match
    given: {{ message: {{ from: a@legal.example.evil.example }} }}
    expect: {{ bob@acme.example: {{ rules: [spam, copied, everyone] }}, "*": {{}} }}
  - name: a rule that is not reached
    given: {{ dmarc_result: fail }}
    expect: {{ "*": {{ rules: [everyone] }} }}
  - name: a statement that does not match
    expect: {{ "*": {{ policy: deny, statement: listed }} }}
"#
    ));
    let ran = run(folder.path(), &[]);
    assert_eq!(ran.code, Some(1));
    for expected in [
        "`spam` does not match: `analysis rspamd.score greater_than: 15, on_error: skip` does not hold, it saw 1.5  rules/inbound.yaml:5",
        "`copied` does not match: `any` does not hold: `from ends_with: \"@legal.example\"` does not hold, it saw \"a@legal.example.evil.example\", and `not` does not hold: `recipient starts_with: \"b\"` holds, it saw \"bob@acme.example\"  rules/inbound.yaml:19",
        "`everyone` is not reached: `forged` ends the rule set  rules/inbound.yaml:12",
        "`forged` matches: `dmarc_result equals: fail` holds, it saw fail  rules/inbound.yaml:12",
        "`listed` does not match: `sender_ip cidr_matches: 203.0.113.0/24` does not hold, it saw 192.0.2.1  policies/edge.yaml:7",
        "`our-domain` matches: `recipient ends_with: \"@acme.example\"` holds, it saw \"bob@acme.example\"  policies/edge.yaml:9",
    ] {
        assert!(ran.out.contains(expected), "{expected}\nis not in\n{}", ran.out);
    }
}

#[test]
fn what_matters_and_is_not_given_fails_the_test() {
    let folder = deployment(
        r#"
endpoint: mx
given: { recipients: [bob@acme.example], message: { from: a@b.example } }
tests:
  - name: nothing is known
    given: { analysis: { zen: { is_listed: false } } }
    expect: { "*": {} }
  - name: DNS is asked, and a scanner is not
    given: { client_ip: 203.0.113.5, dns: { 5.113.0.203.zen.dnsbl.example A: nxdomain } }
    expect: { "*": {} }
  - name: a question without an answer
    given: { client_ip: 203.0.113.5, analysis: { rspamd: { score: 1 } }, dns: { client.example TXT: nxdomain } }
    expect: { "*": {} }
  - name: all is known
    given: { client_ip: 203.0.113.5, analysis: { rspamd: { score: 1 } }, dns: { 5.113.0.203.zen.dnsbl.example A: 127.0.0.2 } }
    expect: { "*": { policy: deny, statement: listed, refused_at: rcpt } }
"#,
    );
    let ran = run(folder.path(), &[]);
    assert!(ran.code == Some(1) && ran.err.contains("1 as expected, 3 failed"), "{}{}", ran.out, ran.err);
    for expected in [
        "not given: `dmarc_result`, or `dns` to compute it; `analysis: { rspamd: … }`",
        "`spam` asks for it: `analysis rspamd.score greater_than: 15, on_error: skip` is not known",
        "`dns` has no answer to `_dmarc.b.example TXT`",
        "`dns` has no answer to `5.113.0.203.zen.dnsbl.example A`",
    ] {
        assert!(ran.out.contains(expected), "{expected}\nis not in\n{}", ran.out);
    }
}

#[test]
fn a_mistake_in_one_file_does_not_stop_the_others() {
    let folder = deployment(&format!("{GIVEN}\n  - name: one\n    expect: {{ \"*\": {{ rules: [copied, everyone] }} }}\n"));
    fs::write(folder.path().join("rules/tests/broken.yaml"), "endpoint: mx\ntests:\n  - name: x\n    expct: {}\n").unwrap();
    let ran = run(folder.path(), &[]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.out.contains("ok      one") && ran.out.contains("error[unknown-key]"), "{}", ran.out);
    let ran = run(folder.path(), &["rules/tests/inbound.yaml"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    fs::write(folder.path().join("rules/other.yaml"), "rules: 7\n").unwrap();
    let ran = run(folder.path(), &["--coverage"]);
    assert!(ran.code == Some(2) && ran.out.contains("rules/other.yaml") && !ran.out.contains("covered"), "{}{}", ran.out, ran.err);
}

#[test]
fn the_exit_code_says_how_it_went() {
    let folder = deployment(&format!("{GIVEN}\n  - name: one\n    expect: {{ \"*\": {{ rules: [copied, everyone] }} }}\n"));
    let code = |arguments: &[&str]| run(folder.path(), arguments).code;
    assert_eq!(
        (code(&[]), code(&["--filter", "one"]), code(&["--filter", "two"]), code(&["nowhere"])),
        (Some(0), Some(0), Some(2), Some(2))
    );
    assert_eq!((code(&["policies"]), code(&["--coverage-min", "30"]), code(&["--coverage-min", "90"])), (Some(2), Some(0), Some(1)));
    let ran = run(folder.path(), &["--coverage"]);
    for expected in [
        "rules/inbound.yaml:3: rule `spam` has never matched",
        "policies/edge.yaml:7: condition `sender_ip cidr_matches: 203.0.113.0/24` has never held",
    ] {
        assert!(ran.out.contains(expected), "{expected}\nis not in\n{}", ran.out);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("x.yaml"), "tests: []\n").unwrap();
    assert_eq!(run(elsewhere.path(), &["x.yaml"]).code, Some(2));
}

#[test]
fn reports_for_machines_hold_what_they_are_read_for() {
    let folder = deployment(&format!(
        "{GIVEN}\n  - name: 'a <b> & \"c\"'\n    expect: {{ \"*\": {{ rules: [copied, everyone] }} }}\n  - name: two\n    expect: {{ \"*\": {{ rules: [] }} }}\n"
    ));
    let ran = run(folder.path(), &["--format", "junit", "--output", "report.xml"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    let xml = fs::read_to_string(folder.path().join("report.xml")).unwrap();
    for expected in [
        "<testsuites name=\"gateway test\" tests=\"2\" failures=\"1\" errors=\"0\"",
        "<testsuite name=\"rules/tests/inbound.yaml\" tests=\"2\" failures=\"1\"",
        "<testcase name=\"a &lt;b&gt; &amp; &quot;c&quot;\" classname=\"rules.tests.inbound\" file=\"rules/tests/inbound.yaml\" line=\"11\" time=\"0.",
        "<failure message=\"bob@acme.example: rules: expected [], actual [copied, everyone]\" type=\"rules\">",
    ] {
        assert!(xml.contains(expected), "{expected}\nis not in\n{xml}");
    }
    let count = |pattern: &str| regex::Regex::new(pattern).unwrap().find_iter(&xml).count();
    assert_eq!(count("<[a-z]+[^>]*[^/]>"), count("</[a-z]+>"), "{xml}");
}

#[test]
fn hostile_messages_are_judged_like_any_other() {
    let tests = r#"
rules: inbound
given: { recipients: [bob@acme.example], dmarc_result: none, analysis: { rspamd: { score: 1 } } }
tests:
  - { name: nothing, given: { message: nothing.eml }, expect: { "*": { rules: [everyone] } } }
  - { name: octets, given: { message: octets.eml }, expect: { "*": { rules: [everyone] } } }
  - { name: no header, given: { message: body.eml }, expect: { "*": { rules: [everyone] } } }
  - { name: many fields, given: { message: fields.eml }, expect: { "*": { refused_at: data, reply: { code: 554 } } } }
  - { name: dots, given: { message: dots.eml }, expect: { "*": { rules: [everyone], headers: { Subject: dots } } } }
  - { name: a loop, given: { message: loop.eml }, expect: { "*": { refused_at: data, reply: { status: 5.4.6 } } } }
"#;
    let folder = deployment(tests);
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join("rules/tests").join(name), bytes).unwrap();
    write("nothing.eml", b"");
    let octets: Vec<u8> =
        (0..1_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).filter(|byte| *byte != b'\r').collect();
    write("octets.eml", &octets);
    write("body.eml", b"\n\n\n");
    write("fields.eml", "X: y\n".repeat(200_000).as_bytes());
    write("dots.eml", b"Subject: dots\n\n.\n..\n.QUIT\n");
    write("loop.eml", b"Received: from x by mx1.acme.example; Sat, 21 Nov 2026 08:00:00 +0000\n\n");
    let ran = run(folder.path(), &[]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}
