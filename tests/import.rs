//! `gateway import`: what Mail Manager prints and templates hold becomes a deployment that is valid and fares as documented.
//!
//! `BLESS=1` writes the expected files anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use bytes::Bytes;
use gateway::config::{self, Code, ForeignFile, Format, Rulebook};
use gateway::mail_manager::{Import, Known, MadeFile, import};
use gateway::message::{
    DmarcPolicy, DmarcResult, DmarcVerdict, Envelope, Findings, Original, SessionFacts, SpfIdentity, SpfResult, SpfVerdict,
};
use gateway::rules::{Disposition, Judgement, Message, StepAction, evaluate};
use gateway::smtp::{Address, MailTerms, ReversePath};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn known() -> Known {
    Known { hostname: Some("mx1.acme.example".to_owned()), domains: vec!["acme.example".to_owned(), "example.com".to_owned()] }
}

/// The files of a folder, in the order of their names.
fn inputs(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn imported(files: &[PathBuf]) -> Import {
    import(files.iter().map(|path| ForeignFile::read(path)).collect(), &known())
}

fn of_text(name: &str, text: &str) -> Import {
    import(vec![ForeignFile::of_text(name.into(), text.to_owned())], &known())
}

/// Writes the files into a folder of their own.
fn laid_out(files: &[MadeFile]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &file.text).unwrap();
    }
    folder
}

/// What `gateway validate` says beyond what cannot be otherwise: actions of other versions, and certificates that are still to come.
fn mistakes(files: &[MadeFile]) -> Vec<String> {
    let folder = laid_out(files);
    let report = config::check(&[folder.path().to_owned()]).unwrap();
    let expected = |code: Code| matches!(code, Code::NotAvailable | Code::TlsFiles | Code::PlusTag);
    let unexpected = report.diagnostics.iter().filter(|diagnostic| !expected(diagnostic.code));
    unexpected.map(|found| format!("{}: {}", found.code.name(), found.message)).collect()
}

/// The files as one text, with what is to be looked at below.
fn shown(import: &Import) -> String {
    let mut text = String::new();
    for file in &import.files {
        text += &format!("# file: {}\n{}", file.path, file.text);
    }
    text + "# lost\n" + &import.lost.join("\n")
}

fn compare(import: &Import, expected: &str) {
    assert!(import.report.errors() == 0, "{}", import.report.render(Format::Text, false));
    let (path, made) = (repository().join(expected), shown(import));
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &made).unwrap();
    }
    assert_eq!(made, fs::read_to_string(&path).unwrap_or_default(), "{expected} differs (BLESS=1 writes it anew)");
    for file in &import.files {
        for (line, remark) in &file.remarks {
            let there = file.text.lines().nth(line - 1).unwrap();
            let first = remark.split(' ').next().unwrap();
            assert!(there.contains('#') || there.contains(first.trim_matches('`')), "{}:{line}: {there}", file.path);
        }
    }
}

#[test]
fn a_whole_deployment_is_carried_over_and_valid() {
    let import = imported(&inputs("tests/import/full"));
    compare(&import, "tests/import/expected/full.txt");
    assert_eq!((import.lost.len(), mistakes(&import.files)), (0, vec![]));
}

#[test]
fn templates_are_carried_over_and_valid() {
    for (file, others) in [("template.yaml", vec![]), ("intrinsics.json", vec!["there is no relay `TODO-prod-relay`"])] {
        let import = imported(&[repository().join("tests/import/template").join(file)]);
        compare(&import, &format!("tests/import/expected/{file}.txt"));
        let mistakes = mistakes(&import.files);
        assert!(mistakes.len() == others.len() && mistakes.iter().zip(&others).all(|(one, other)| one.contains(other)), "{mistakes:?}");
        assert!(!shown(&import).contains("do-not-show-me"));
    }
}

#[test]
fn what_is_not_known_is_asked_for() {
    let files = vec![ForeignFile::read(&repository().join("tests/import/full/rule-set.json"))];
    let import = import(files, &Known::default());
    let folder = laid_out(&import.files);
    let report = config::check(&[folder.path().to_owned()]).unwrap();
    let text = report.render(Format::Text, false);
    for missing in ["hostname", "domains", "endpoints", "no relay `r-0f1e2d3c4b5a`", "no address list `al-1234567890ab`"] {
        assert!(text.contains(missing), "{missing} is not in {text}");
    }
}

#[test]
fn every_right_example_is_carried_over() {
    for path in inputs("tests/aws_examples/right") {
        let import = imported(std::slice::from_ref(&path));
        let text = import.report.render(Format::Text, false);
        let is_members = path.ends_with("list-members-of-address-list.json") || path.ends_with("address-list-import.json");
        assert!(import.report.errors() == 0 && !import.files.is_empty(), "{}:\n{text}", path.display());
        assert!(import.lost.is_empty() || is_members, "{}: {:?}", path.display(), import.lost);
        // Names that other files define are asked for; all else is right.
        let about_others = |mistake: &String| {
            ["unknown-name", "missing-key", "names-unchecked", "gateway-mistakes", "unused", "unreadable"]
                .iter()
                .any(|code| mistake.starts_with(code))
        };
        let doubtful = |mistake: &String| {
            ["contains-domain", "dead-rule", "deny-tls-min", "allow-empty", "cidr-host-bits", "doubtful-host"]
                .iter()
                .any(|code| mistake.starts_with(code))
        };
        let wrong: Vec<String> =
            mistakes(&import.files).into_iter().filter(|mistake| !about_others(mistake) && !doubtful(mistake)).collect();
        assert_eq!(wrong, Vec::<String>::new(), "{}:\n{}", path.display(), shown(&import));
    }
}

#[test]
fn every_wrong_example_is_diagnosed_where_it_stands() {
    let mut said = String::new();
    for path in inputs("tests/aws_examples/wrong") {
        let import = imported(std::slice::from_ref(&path));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!import.report.diagnostics.is_empty(), "{name} is taken for right:\n{}", shown(&import));
        let found = import.report.diagnostics.iter().map(|found| {
            let severity = if found.severity == config::Severity::Error { "error" } else { "warning" };
            let help: String = found.help.iter().map(|help| format!("\n    {help}")).collect();
            format!("  {}:{} {severity}[{}]: {}{help}\n", found.line, found.column, found.code.name(), found.message)
        });
        said += &format!("{name}\n{}", found.collect::<String>());
        assert!(!import.report.render(Format::Text, false).contains("hunter2"));
    }
    let path = repository().join("tests/import/expected/wrong.txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &said).unwrap();
    }
    assert_eq!(said, fs::read_to_string(path).unwrap_or_default());
}

/// A message that comes to the imported rule set: its plan in words.
fn fares(rulebook: &Rulebook, set: &str, mail_from: &str, recipients: &[&str], mail: &str, findings: &Findings) -> String {
    let session = SessionFacts {
        client_ip: "203.0.113.9".parse().unwrap(),
        client_host: None,
        helo: "mail.sender.example".into(),
        extended: true,
        tls: None,
        authenticated: false,
        login: None,
    };
    let address = |text: &str| Address::parse(text, true).unwrap();
    let recipients = recipients.iter().map(|text| address(text).into()).collect();
    let reverse_path = ReversePath::Address(address(mail_from));
    let envelope = Envelope { reverse_path, recipients, smtputf8: false, eight_bit: false, terms: MailTerms::default() };
    let original = Original::parse(Bytes::from(mail.replace('\n', "\r\n"))).unwrap();
    let message = Message { session: &session, envelope: &envelope, original: &original, findings };
    let plan = match evaluate(&rulebook.rule_sets[set], &message) {
        Judgement::Decided(plan) => plan,
        Judgement::Needs(needs) => panic!("{needs:?} is not given"),
    };
    let rules: Vec<&str> = plan.matches.iter().map(|found| &*found.rule).collect();
    let steps: Vec<String> = plan
        .steps
        .iter()
        .map(|step| {
            let StepAction::SmtpRelay { relay, .. } = &step.action;
            let added: String = step.edits.added.iter().map(|field| String::from_utf8_lossy(field).trim_end().to_owned()).collect();
            let to: Vec<String> = step.recipients.iter().map(|recipient| recipient.address.to_string()).collect();
            format!("{relay}({}){}{added}", to.join(" "), if added.is_empty() { "" } else { "+" })
        })
        .collect();
    let ends: Vec<&str> = plan
        .recipients
        .iter()
        .map(|recipient| match recipient.disposition {
            Disposition::Planned => "planned",
            Disposition::Dropped { .. } => "dropped",
            Disposition::Rejected { .. } => "rejected",
            Disposition::Deferred { .. } => "deferred",
        })
        .collect();
    format!("{} | {} | {}", rules.join(" "), steps.join(" "), ends.join(" "))
}

/// Mail Manager's documented semantics: all rules run, in order; only `Drop` ends, for the recipients that matched; several values are "or",
/// conditions "and", exceptions "none"; `NOT_EQUALS` is "none of them"; actions are for the recipients that matched.
const RULES: &str = r#"{"RuleSetName": "s", "Rules": [
  {"Name": "leavers", "Conditions": [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "EQUALS", "Values": ["gone@acme.example", "left@acme.example"]}}], "Actions": [{"Drop": {}}]},
  {"Name": "big", "Conditions": [{"NumberExpression": {"Evaluate": {"Attribute": "MESSAGE_SIZE"}, "Operator": "GREATER_THAN", "Value": 1024}}], "Actions": [{"AddHeader": {"HeaderName": "X-Big", "HeaderValue": "yes"}}]},
  {"Name": "spam", "Conditions": [
     {"VerdictExpression": {"Evaluate": {"Attribute": "SPF"}, "Operator": "NOT_EQUALS", "Values": ["PASS", "GRAY"]}},
     {"StringExpression": {"Evaluate": {"Attribute": "SUBJECT"}, "Operator": "CONTAINS", "Values": ["WIN", "prize"]}}],
   "Unless": [{"StringExpression": {"Evaluate": {"MimeHeaderAttribute": "X-Known"}, "Operator": "EQUALS", "Values": ["yes"]}}],
   "Actions": [{"Drop": {}}]},
  {"Name": "outside", "Conditions": [{"StringExpression": {"Evaluate": {"Attribute": "MAIL_FROM"}, "Operator": "NOT_EQUALS", "Values": ["boss@acme.example", "chief@acme.example"]}},
     {"BooleanExpression": {"Evaluate": {"Attribute": "TLS"}, "Operator": "IS_FALSE"}},
     {"IpExpression": {"Evaluate": {"Attribute": "SOURCE_IP"}, "Operator": "NOT_CIDR_MATCHES", "Values": ["192.0.2.0/24", "2001:db8::/32"]}}],
   "Actions": [{"AddHeader": {"HeaderName": "X-Outside", "HeaderValue": "1"}}]},
  {"Name": "moved", "Conditions": [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "STARTS_WITH", "Values": ["old"]}}], "Actions": [{"ReplaceRecipient": {"ReplaceWith": ["new@acme.example"]}}]},
  {"Name": "deliver", "Conditions": [{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "ENDS_WITH", "Values": ["@acme.example"]}}], "Actions": [{"Relay": {"Relay": "r-1", "MailFrom": "PRESERVE"}}]},
  {"Name": "copy", "Conditions": [{"DmarcExpression": {"Operator": "EQUALS", "Values": ["REJECT"]}}], "Actions": [{"Relay": {"Relay": "r-1", "MailFrom": "PRESERVE"}}]}
]}
{"RelayId": "r-1", "RelayName": "inside", "ServerName": "mail.acme.example", "ServerPort": 25, "Authentication": {"NoAuthentication": {}}}
{"TrafficPolicyName": "open", "DefaultAction": "ALLOW"}
{"IngressPointName": "mx1", "Type": "OPEN", "RuleSetId": "s", "TrafficPolicyId": "open", "TlsPolicy": "OPTIONAL"}
"#;

#[test]
fn an_imported_rule_set_judges_as_the_service_is_documented() {
    let import = of_text("x.json", RULES);
    assert_eq!((import.report.errors(), import.lost.len()), (0, 0), "{}", import.report.render(Format::Text, false));
    let folder = laid_out(&import.files);
    let rulebook = config::rulebook(&folder.path().join("gateway.yaml")).map_err(|report| report.render(Format::Text, false)).unwrap().0;
    let big = format!("Subject: hello\n\n{}\n", "x".repeat(2000));
    for (mail_from, recipients, mail, found, expected) in [
        (
            "a@b.example",
            &["bob@acme.example"][..],
            "Subject: hi\n\n",
            findings("pass", "none"),
            "outside deliver | inside(bob@acme.example)+X-Outside: 1 | planned",
        ),
        (
            "BOSS@acme.example",
            &["bob@acme.example"],
            "Subject: hi\n\n",
            findings("pass", "none"),
            "deliver | inside(bob@acme.example) | planned",
        ),
        (
            "boss@acme.example",
            &["gone@acme.example", "bob@acme.example"],
            "Subject: hi\n\n",
            findings("pass", "none"),
            "leavers deliver | inside(bob@acme.example) | dropped planned",
        ),
        (
            "boss@acme.example",
            &["bob@acme.example"],
            &big,
            findings("pass", "none"),
            "big deliver | inside(bob@acme.example)+X-Big: yes | planned",
        ),
        ("boss@acme.example", &["bob@acme.example"], "Subject: a Prize\n\n", findings("fail", "none"), "spam |  | dropped"),
        (
            "boss@acme.example",
            &["bob@acme.example"],
            "Subject: a Prize\n\n",
            findings("softfail", "none"),
            "deliver | inside(bob@acme.example) | planned",
        ),
        (
            "boss@acme.example",
            &["bob@acme.example"],
            "Subject: a Prize\nX-Known: yes\n\n",
            findings("fail", "none"),
            "deliver | inside(bob@acme.example) | planned",
        ),
        (
            "boss@acme.example",
            &["old.bob@acme.example"],
            "Subject: hi\n\n",
            findings("pass", "none"),
            "moved deliver | inside(new@acme.example) | planned",
        ),
        // No rule disposes of it: lost there, refused here.
        ("boss@acme.example", &["x@else.example"], "Subject: hi\n\n", findings("pass", "none"), " |  | rejected"),
        // Rules go on after a relay: it is delivered twice, as there.
        (
            "boss@acme.example",
            &["bob@acme.example"],
            "Subject: hi\n\n",
            findings("pass", "reject"),
            "deliver copy | inside(bob@acme.example) inside(bob@acme.example) | planned",
        ),
    ] {
        assert_eq!(fares(&rulebook, "s", mail_from, recipients, mail, &found), expected, "{mail_from} {recipients:?} {mail:.30}");
    }
}

#[test]
fn a_policy_that_asks_who_is_not_in_a_list_is_turned_round() {
    let outside = |action: &str, more: &str| {
        format!(
            r#"{{"TrafficPolicyName": "p", "DefaultAction": "ALLOW", "PolicyStatements": [{{"Action": "{action}", "Conditions": [{more}
            {{"BooleanExpression": {{"Evaluate": {{"IsInAddressList": {{"Attribute": "RECIPIENT", "AddressLists": ["arn:aws:ses:eu-west-1:111122223333:mailmanager-address-list/al-1"]}}}}, "Operator": "IS_FALSE"}}}}]}}]}}"#
        )
    };
    let turned = of_text("x.json", &outside("DENY", ""));
    let policy = &turned.files.iter().find(|file| file.path == "policies/p.yaml").unwrap().text;
    assert!(turned.lost.is_empty() && policy.contains("default: deny") && policy.contains("- recipient: { in_list: al-1 }"), "{policy}");
    let net = r#"{"IpExpression": {"Evaluate": {"Attribute": "SENDER_IP"}, "Operator": "CIDR_MATCHES", "Values": ["192.0.2.0/24"]}},"#;
    for (action, expected) in [("ALLOW", "Statement 1 is left out"), ("DENY", "denies more than there")] {
        let import = of_text("x.json", &outside(action, net));
        let policy = &import.files.iter().find(|file| file.path == "policies/p.yaml").unwrap().text;
        assert!(import.lost.len() == 1 && policy.contains(expected), "{policy}");
    }
}

#[test]
fn half_a_rule_is_off() {
    let import = of_text(
        "x.json",
        r#"{"RuleSetName": "s", "Rules": [{"Actions": [{"ReplaceRecipient": {}}]}, {"Name": "rule-1", "Actions": [{"Drop": {}}]}]}"#,
    );
    let rules = &import.files.iter().find(|file| file.path == "rules/s.yaml").unwrap().text;
    assert!(import.lost.len() == 1 && rules.contains("mode: off") && rules.contains("name: rule-1-2"), "{rules}");
}

#[test]
fn bad_input_is_refused_in_bounded_time() {
    let started = std::time::Instant::now();
    let nested = format!("{}1{}", "{\"a\":".repeat(1_000_000), "}".repeat(1_000_000));
    let many = format!("[{}1]", "1,".repeat(20_000_000));
    let bomb = format!(
        "Resources:\n  R:\n    Type: AWS::SES::MailManagerRelay\n    Properties:\n      ServerName: !Sub '{}'\n      ServerPort: 25\n      \
         Authentication: {{ NoAuthentication: {{}} }}\nParameters:\n  P: {{ Type: String, Default: {} }}\n",
        "${P}".repeat(100_000),
        "x".repeat(100_000)
    );
    let circle: String =
        (0..60).map(|n| format!("  C{n}: {{ Fn::And: [{{ Condition: C{m} }}, {{ Condition: C{m} }}] }}\n", m = n + 1)).collect();
    let circle =
        format!("Conditions:\n{circle}Resources:\n  R:\n    Type: AWS::SES::MailManagerArchive\n    Condition: C0\n    Properties: {{}}\n");
    for (name, text) in [
        ("x.json", nested),
        ("x.json", many),
        ("x.json", "{\"a\": ".to_owned()),
        ("x.yaml", bomb),
        ("x.yaml", "\u{0}\u{1}".to_owned()),
        ("x.json", String::new()),
    ] {
        let import = of_text(name, &text);
        assert!(import.report.errors() > 0 && import.report.render(Format::Text, false).len() < 10_000_000, "{name} {text:.60}");
    }
    assert!(of_text("x.yaml", &circle).report.errors() == 0);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

fn gateway(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gateway")).arg("import").args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn the_command_writes_once_and_says_by_its_exit_code_how_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let full: Vec<String> = inputs("tests/import/full").iter().map(|path| path.display().to_string()).collect();
    let mut arguments: Vec<&str> = full.iter().map(String::as_str).collect();
    let printed = gateway(&arguments, folder.path());
    let out = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed.status.code(), Some(0), "{}", String::from_utf8_lossy(&printed.stderr));
    assert!(out.starts_with("# file: gateway.yaml\n") && out.contains("\n# file: rules/inbound-main.yaml\n"), "{out}");

    arguments.extend(["--output", "mail", "--hostname", "mx1.acme.example", "--domain", "acme.example"]);
    let written = gateway(&arguments, folder.path());
    let said = String::from_utf8(written.stderr).unwrap();
    assert!(written.status.code() == Some(0) && written.stdout.is_empty() && said.contains("mail/rules/inbound-main.yaml:"), "{said}");
    assert!(folder.path().join("mail/lists/denylist.csv").is_file());
    let again = gateway(&arguments, folder.path());
    assert_eq!(again.status.code(), Some(2), "it wrote over what was there");
    arguments.push("--force");
    assert_eq!(gateway(&arguments, folder.path()).status.code(), Some(0));

    fs::write(folder.path().join("binary"), [0xff, 0xfe, 0, 1]).unwrap();
    fs::write(folder.path().join("half.json"), r#"{"RuleSetName": "s", "Rules": [{"Actions": [{"ReplaceRecipient": {}}]}]}"#).unwrap();
    for (arguments, expected) in [(&["binary"][..], 1), (&["half.json"], 1), (&["is-not-there"], 2), (&["."], 2), (&[], 2)] {
        assert_eq!(gateway(arguments, folder.path()).status.code(), Some(expected), "{arguments:?}");
    }
}

fn findings(spf: &str, dmarc: &str) -> Findings {
    let result = match spf {
        "pass" => SpfResult::Pass,
        "softfail" => SpfResult::Softfail,
        _ => SpfResult::Fail,
    };
    let policy = if dmarc == "reject" { DmarcPolicy::Reject } else { DmarcPolicy::None };
    let nothing = || Box::from("");
    let spf = SpfVerdict {
        result,
        identity: SpfIdentity::MailFrom,
        domain: nothing(),
        mechanism: None,
        reason: nothing(),
        explanation: None,
        asked: Box::default(),
    };
    let dmarc = DmarcVerdict {
        result: DmarcResult::Pass,
        policy,
        effective: DmarcPolicy::None,
        from_domain: nothing(),
        policy_domain: nothing(),
        record: nothing(),
        spf_aligned: true,
        dkim_aligned: false,
        reason: nothing(),
        asked: Box::default(),
    };
    Findings { spf: Some(Arc::new(spf)), dmarc: Some(Arc::new(dmarc)), ..Findings::default() }
}
