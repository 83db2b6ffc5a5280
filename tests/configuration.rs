//! The shipped deployment and the shapes of the documentation, through the same doors as `gateway run` and `gateway validate`.

use std::fs;
use std::path::{Path, PathBuf};

use gateway::config::{self, CheckError, Code, DeliveryMode, Domains, Format, Options};
use gateway::relay::{Auth, TlsMode};
use gateway::rules::Otherwise;
use gateway::secrets::SecretRef;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_shipped_deployment_has_no_mistakes_and_no_warnings() {
    let shipped = ["gateway.yaml", "policies", "rules"].map(|name| repository().join(name));
    let report = config::check(&shipped).unwrap();
    assert!(report.diagnostics.is_empty(), "{}", report.render(Format::Text, false));
    assert!(report.files_checked >= 12, "{}", report.files_checked);
    let strict = config::check_with(&shipped, &Options { strict: true, ..Options::default() }).unwrap();
    assert!(strict.diagnostics.is_empty(), "{}", strict.render(Format::Text, false));
}

#[test]
fn the_shipped_deployment_loads() {
    let (snapshot, report) = config::load(&repository().join("gateway.yaml")).map_err(|report| report.render(Format::Text, false)).unwrap();
    assert!(report.diagnostics.is_empty());
    assert_eq!(snapshot.domains, Domains::List(vec!["acme.example".into(), "acme.org".into()]));
    let mx = &snapshot.endpoints["mx"];
    assert_eq!(
        (&*mx.policy.name, &*mx.rules.name, mx.delivery, mx.rules.otherwise),
        ("edge", "inbound", DeliveryMode::Inline, Otherwise::Reject)
    );
    assert_eq!(mx.listen.len(), 2);
    let exchange = &snapshot.relays["RelayToMyExchangeServer"];
    assert_eq!(
        (exchange.port, exchange.tls, &exchange.auth),
        (587, TlsMode::Verify, &Some(Auth::Password(SecretRef::Environment("EXCHANGE_CREDENTIALS".into()))))
    );
    assert_eq!(snapshot.spool, repository().join("var/spool"));
    assert!(snapshot.files.contains(&repository().join("lists/drop.txt")));
    assert!(snapshot.hash.len() == 8 && snapshot.hash.bytes().all(|b| b.is_ascii_hexdigit()));
}

#[test]
fn what_the_shipped_files_suggest_in_comments_is_valid() {
    let read = |path: &str| fs::read_to_string(repository().join(path)).unwrap();
    let text = read("gateway.yaml");
    // Submission needs files that are not shipped; docs/submission.md has it whole. So does a certificate.
    let (before, rest) = text.split_once("  # submission:").unwrap();
    let text = before.to_owned() + rest.split_once("\n\n").unwrap().1;
    let text: String = text.lines().filter(|line| !line.contains("# tls:")).map(|line| format!("{line}\n")).collect();
    // Neither is the key.
    let folder = deployment(&uncommented(&text).replace("file: /etc/gateway/arc.pem", "secret: arc"));
    fs::write(folder.path().join("policies/edge.yaml"), uncommented(&read("policies/edge.yaml"))).unwrap();
    let (snapshot, _) = config::load(&folder.path().join("gateway.yaml")).map_err(|report| report.render(Format::Text, false)).unwrap();
    assert!(snapshot.resolver.servers.len() == 1 && snapshot.analyzers.len() == 2 && snapshot.endpoints["mx"].fields.arc_seal.is_some());
    assert_eq!(snapshot.endpoints["mx"].policy.deny.len(), 3);
}

/// The text with its comments as YAML, where they look like it.
fn uncommented(text: &str) -> String {
    let comment = regex::Regex::new(r"(?m)^( *)# ( *(?:- )?[a-z_]+:(?: .*)?)$").unwrap();
    comment.replace_all(text, "$1$2").into_owned()
}

#[test]
fn every_shipped_rule_set_can_be_pointed_at() {
    let text = fs::read_to_string(repository().join("gateway.yaml")).unwrap();
    for file in fs::read_dir(repository().join("rules")).unwrap().map(|entry| entry.unwrap().path()) {
        let Some(name) = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".yaml")) else { continue };
        let folder = deployment(&text.replace("rules: inbound", &format!("rules: {name}")));
        config::load(&folder.path().join("gateway.yaml")).map_err(|report| report.render(Format::Text, false)).unwrap();
    }
}

#[test]
fn the_hash_follows_the_contents_and_not_the_place() {
    let text = fs::read_to_string(repository().join("gateway.yaml")).unwrap();
    let hash = |folder: &tempfile::TempDir| config::load(&folder.path().join("gateway.yaml")).unwrap().0.hash;
    let (one, two) = (deployment(&text), deployment(&text));
    assert_eq!(hash(&one), hash(&two));
    fs::write(two.path().join("lists/drop.txt"), "203.0.113.0/24\n").unwrap();
    assert_ne!(hash(&one), hash(&two));
}

#[test]
fn certificate_and_key_make_a_server_and_must_belong_together() {
    let text = fs::read_to_string(repository().join("gateway.yaml")).unwrap();
    let text = text.replace(
        "# tls: { mode: optional, certificate: tls/fullchain.pem, key: tls/key.pem }",
        "tls: { mode: required, certificate: c.pem, key: k.pem }",
    );
    let folder = deployment(&text);
    let own = rcgen::generate_simple_self_signed(vec!["mx1.acme.example".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["mx1.acme.example".to_owned()]).unwrap();
    fs::write(folder.path().join("c.pem"), own.cert.pem()).unwrap();
    fs::write(folder.path().join("k.pem"), own.signing_key.serialize_pem()).unwrap();
    let (snapshot, _) = config::load(&folder.path().join("gateway.yaml")).unwrap();
    assert!(snapshot.endpoints["mx"].tls.as_ref().unwrap().required);
    assert!(snapshot.files.iter().any(|file| file.ends_with("k.pem")));

    fs::write(folder.path().join("k.pem"), other.signing_key.serialize_pem()).unwrap();
    let report = config::load(&folder.path().join("gateway.yaml")).unwrap_err();
    assert_eq!(report.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::TlsFiles]);
    assert!(report.diagnostics[0].message.contains("does not belong"), "{}", report.diagnostics[0].message);
}

#[test]
fn the_language_of_the_documentation_loads() {
    let folder = deployment(DEPLOYMENT);
    fs::write(folder.path().join("policies/edge.yaml"), POLICY).unwrap();
    fs::write(folder.path().join("rules/inbound.yaml"), RULES).unwrap();
    let (snapshot, report) =
        config::load(&folder.path().join("gateway.yaml")).map_err(|report| report.render(Format::Text, false)).unwrap();
    // A rule with a condition of every kind matches nothing.
    let expected = |code| matches!(code, Code::NotAvailable | Code::DeadRule);
    let unexpected: Vec<_> = report.diagnostics.iter().filter(|d| !expected(d.code)).collect();
    assert!(unexpected.is_empty(), "{}", report.render(Format::Text, false));
    let mx = &snapshot.endpoints["mx"];
    assert_eq!((mx.rules.rules.len(), mx.rules.rules[0].when.len(), mx.policy.deny.len(), mx.policy.allow.len()), (3, 40, 3, 2));
    assert_eq!(mx.policy.max_message_size, Some(40 << 20));
    assert_eq!(snapshot.relays["m365"].destination(), "acme-com.mail.protection.outlook.com");
    assert_eq!(snapshot.domains, Domains::Ses);
    let looked_up = mx.policy.deny.iter().find(|statement| &*statement.name == "looked-up").unwrap();
    let shown: Vec<String> = looked_up.when.iter().map(|condition| format!("{condition:?}")).collect();
    assert_eq!(shown[1], r#"SpfResult { negated: true, values: ["pass", "temperror"] }"#);
    let analysis = |analyzer, field, test, on_error| {
        format!("Analysis(AnalysisCondition {{ analyzer: {analyzer:?}, field: {field:?}, test: {test}, on_error: {on_error} }})")
    };
    assert_eq!(shown[2], analysis("zen", "is_listed", "Boolean { negated: false, values: [true] }", "Defer"));
    assert_eq!(shown[3], analysis("reputation", "verdict", "Verdict { negated: true, words: [Gray] }", "Skip"));
    let conditions: Vec<String> = mx.rules.rules[0].when.iter().map(|condition| format!("{condition:?}")).collect();
    for expected in [
        analysis("rspamd", "score", "Number(GreaterThanOrEqual, [6.5])", "Skip"),
        analysis("rspamd", "symbols", "Text(Matches([Regex(\"^R_SPF_(FAIL|SOFTFAIL)$\")]))", "Defer"),
        analysis("rspamd", "is_spam", "Exists(true)", "Defer"),
        analysis("zen", "score", "Number(Equals, [1.0, 2.5])", "Defer"),
    ] {
        assert!(conditions.contains(&expected), "{expected} is not one of {conditions:#?}");
    }
}

#[test]
fn a_deployment_that_is_not_there_is_reported_and_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let report = config::load(&folder.path().join("gateway.yaml")).unwrap_err();
    assert_eq!(report.diagnostics[0].code, Code::Unreadable);
    assert!(matches!(config::check(&[folder.path().join("no")]), Err(CheckError::Unreadable(..))));
    assert!(matches!(config::check(&[folder.path().to_owned()]), Err(CheckError::Nothing(_))));
}

#[test]
fn the_command_says_by_its_exit_code_how_it_went() {
    let examples = repository().join("tests/diagnostics");
    let run = |arguments: &[&str], path: &Path| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_gateway")).arg("validate").args(arguments).arg(path).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, out, err) = run(&[], &repository().join("rules"));
    assert_eq!((code, out.as_str(), err.ends_with("files checked: no mistakes\n")), (Some(0), "", true), "{err}");
    let (code, out, err) = run(&[], &examples.join("cidr"));
    assert_eq!((code, err.as_str()), (Some(1), "3 errors in 1 file\n"));
    assert!(out.contains("error[cidr]") && !out.contains('\u{1b}'), "{out}");
    assert_eq!(run(&[], &examples.join("contains-domain")).0, Some(0));
    assert_eq!(run(&["--strict"], &examples.join("contains-domain")).0, Some(1));
    assert_eq!(run(&[], &examples.join("is-not-there")).0, Some(2));
    let (code, out, _) = run(&["--compat", "mail-manager"], &examples.join("limit-aws/policies"));
    assert!(code == Some(0) && out.contains("warning[limit-aws]"), "{out}");
    let (code, out, _) = run(&["--strict"], &examples.join("limit-aws/policies"));
    assert!(code == Some(0) && out.is_empty(), "{out}");
}

#[test]
fn tests_of_rules_are_no_rule_sets() {
    let text = fs::read_to_string(repository().join("gateway.yaml")).unwrap();
    let folder = deployment(&text);
    fs::create_dir_all(folder.path().join("rules/tests")).unwrap();
    let test = "  - { name: a, given: { recipients: [a@acme.org] }, expect: { \"*\": { outcome: Drop } } }";
    fs::write(folder.path().join("rules/tests/inbound.yaml"), format!("endpoint: mx\ntests:\n{test}\n")).unwrap();
    for path in ["", "rules"] {
        let report = config::check(&[folder.path().join(path)]).unwrap();
        assert!(report.diagnostics.is_empty(), "{}", report.render(Format::Text, false));
    }
}

#[test]
fn a_million_networks_load() {
    let text = fs::read_to_string(repository().join("gateway.yaml")).unwrap();
    let folder = deployment(&text);
    let list: String = (0..1_000_000u32).map(|n| format!("{}\n", std::net::Ipv4Addr::from(n.wrapping_mul(4099)))).collect();
    fs::write(folder.path().join("lists/drop.txt"), list).unwrap();
    config::load(&folder.path().join("gateway.yaml")).unwrap();
}

/// A copy of the shipped deployment with another `gateway.yaml`.
fn deployment(gateway_yaml: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["policies", "rules", "lists"] {
        let target = folder.path().join(name);
        fs::create_dir_all(&target).unwrap();
        let files = fs::read_dir(repository().join(name)).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        for file in files.collect::<Vec<PathBuf>>() {
            fs::copy(&file, target.join(file.file_name().unwrap())).unwrap();
        }
    }
    fs::write(folder.path().join("gateway.yaml"), gateway_yaml).unwrap();
    folder
}

const DEPLOYMENT: &str = r#"
hostname: mx1.acme.example
domains: { ses: true }
endpoints:
  mx: { type: open, listen: "0.0.0.0:25", policy: edge, rules: inbound, delivery: queue }
relays:
  google: { host: aspmx.l.google.com }
  m365: { preset: microsoft-365, domain: acme.com }
  RelayToMyExchangeServer:
    hosts: [exchange.acme.example, 192.0.2.9]
    port: 587
    tls: verify
    auth: { secret: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:exchange" }
    source_ip: 192.0.2.25
    limits: { connections: 20, recipients_per_message: 100 }
    retry: { first: 1m, factor: 2, longest: 1h, give_up: 4d }
  submissions: { host: smtp.acme.example, implicit: true }
address_lists: { denylist: { file: lists/denylist.csv } }
ip_lists: { drop: { file: lists/drop.txt } }
analyzers:
  rspamd: { type: rspamd, url: "http://127.0.0.1:11333" }
  zen: { type: dnsbl, zone: zen.dnsbl.example }
  reputation: { type: http, url: "http://127.0.0.1:9000/", fields: { verdict: verdict } }
archives: { legal: { retention: seven_years } }
mailboxes: { local: { lmtp: "unix:/run/dovecot/lmtp" } }
spool: { path: /var/spool/gateway }
resolver: { servers: ["127.0.0.1:53"], timeout: 3s }
admin: { listen: "127.0.0.1:8025" }
"#;

const POLICY: &str = r#"
default: deny
max_message_size: 40MiB
deny:
  - name: listed-networks
    when:
      - sender_ip: { cidr_matches: [198.51.100.0/24, "2001:db8:bad::/48"] }
  - name: listed
    when:
      - sender_ip: { in_list: drop }
      - helo: { starts_with: "[" }
      - mail_from: { in_list: denylist }
  - name: looked-up
    when:
      - client_host: { exists: false }
      - spf_result: { not_equals: [pass, temperror] }
      - analysis: { analyzer: zen, field: is_listed, equals: true }
      - analysis: { analyzer: reputation, field: verdict, not_equals: gray, on_error: skip }
allow:
  - name: our-people-over-tls
    when:
      - recipient: { ends_with: "@acme.example" }
      - tls_protocol: { minimum_tls_version: tls1_2 }
  - name: exactly
    when:
      - tls_protocol: { is: [tls1_2, tls1_3] }
      - sender_ip: { not_cidr_matches: 10.0.0.0/8 }
"#;

const RULES: &str = r#"
otherwise: defer
rules:
  - name: every-attribute
    description: one of each
    mode: audit
    when:
      - mail_from: { in_list: denylist }
      - mail_from_domain: { equals: [a.example, b.example] }
      - helo: { matches: '^mail\d+\.' }
      - recipient: { not_equals: bob@acme.example }
      - recipient_base: { starts_with: bob }
      - recipient_domain: { equals: acme.example }
      - sender: { exists: false }
      - from: { contains: boss }
      - from_domain: { not_equals: acme.example }
      - to: { contains: everyone }
      - cc: { exists: true }
      - subject: { contains: [invoice, Rechnung] }
      - client_host: { ends_with: .example }
      - message_id: { exists: true }
      - header: { name: X-Anything, contains: x }
      - attachment: { extension: { equals: exe } }
      - attachment: { type: { starts_with: application/ } }
      - client_certificate: { attribute: san_dns_name, ends_with: .partner.example }
      - message_size: { greater_than: 5MiB }
      - recipient_count: { less_than_or_equal: 10 }
      - source_ip: { not_cidr_matches: [10.0.0.0/8, "fd00::/8", "::1"] }
      - tls: true
      - tls_wrapped: false
      - read_receipt_requested: true
      - has_attachments: true
      - authenticated: false
      - spf: { equals: [fail, gray] }
      - dkim: { not_equals: pass }
      - spf_result: { equals: softfail }
      - dkim_result: { equals: none }
      - dmarc_result: { equals: temperror }
      - arc_result: { equals: pass }
      - dmarc_policy: { equals: [reject, quarantine] }
      - analysis: { analyzer: rspamd, field: score, greater_than_or_equal: 6.5, on_error: skip }
      - analysis: { analyzer: rspamd, field: symbols, matches: '^R_SPF_(FAIL|SOFTFAIL)$' }
      - analysis: { analyzer: rspamd, field: is_spam, exists: true, on_error: defer }
      - analysis: { analyzer: zen, field: score, equals: [1, 2.5] }
      - any:
          - all: [{ subject: { contains: a } }, { tls: true }]
          - not: { subject: { contains: b } }
      - all: [{ tls: true }]
      - not: { any: [{ tls: true }] }
    unless:
      - source_ip: { in_list: drop }
    actions:
      - AddHeader: { name: X-Route, value: "{{ recipient }} {{subject}}" }
      - RemoveHeader: { name: X-Spam }
      - PrefixSubject: { text: "[x] " }
      - ReplaceRecipient: { with: [bob@acme.example] }
      - ReplaceRecipient: { map: { old@acme.example: new@acme.example, "*@old.example": "*@new.example" } }
      - SMTPRelay: { relay: RelayToMyExchangeServer, mail_from: replace, on_failure: continue }
      - Stop
  - name: rejected
    when: [{ subject: { equals: no } }]
    actions:
      - Reject: { code: 554, status: 5.7.1, text: "No" }
  - name: deferred
    mode: off
    actions:
      - Defer: {}
"#;
