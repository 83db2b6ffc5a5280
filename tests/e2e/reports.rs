//! DMARC reports: counted over SMTP, written down when the gateway stops, sent by the relay that is named after a restart.

use std::path::Path;

use serde_json::Value;

use crate::common::dns::StubDns;
use crate::common::tool;
use crate::harness::sink::Taken;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";
const RULES: &str = "rules:\n  - name: forged\n    when: [{ dmarc_result: { equals: fail } }, { recipient: { equals: strict@acme.example } }]\n    \
                     actions: [{ Reject: { text: forged } }]\n  - name: later\n    when: [{ subject: { equals: later } }]\n    \
                     actions: [{ Defer: { text: later } }]\n  - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";

fn send(gateway: &Gateway, client: &str, to: &str, author: &str, subject: &str) -> u16 {
    let message = mail::text(&mail::small(subject)).replace("alice@example.org", author);
    Client::behind(gateway.address(), 2, client, "mail.example.org").send(author, &[to], message.as_bytes()).code
}

/// The attachment of a report as Python's mail and XML libraries read it.
fn read(message: &[u8], folder: &Path) -> Value {
    let program = r#"
import email, email.policy, gzip, json, sys
import xml.etree.ElementTree as tree
message = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
part, = message.iter_attachments()
root = tree.fromstring(gzip.decompress(part.get_content()))
for element in root.iter():
    element.tag = element.tag.split("}")[-1]
def text(at, path): return (at.findtext(path) or "").strip()
rows = [[text(row, path) for path in ("row/source_ip", "row/count", "row/policy_evaluated/disposition", "row/policy_evaluated/dkim",
    "row/policy_evaluated/spf", "identifiers/header_from", "auth_results/spf/result")] for row in root.iter("record")]
print(json.dumps({"subject": message["Subject"], "to": message["To"], "from": message["From"].addresses[0].addr_spec,
    "type": part.get_content_type(), "file": part.get_filename(), "org": text(root, "report_metadata/org_name"),
    "begin": text(root, "report_metadata/date_range/begin"), "end": text(root, "report_metadata/date_range/end"),
    "domain": text(root, "policy_published/domain"), "p": text(root, "policy_published/p"), "rows": sorted(rows)}))
"#;
    let path = folder.join("report.eml");
    std::fs::write(&path, message).unwrap();
    let output = tool("python").args(["-c", program]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}\n{}", mail::text(&output.stderr), mail::text(message));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_was_counted_is_sent_after_a_restart() {
    let dns = StubDns::launch();
    dns.load(&[
        ("example.org", "TXT", "v=spf1 ip4:203.0.113.0/24 ip6:2001:db8:1::/48 -all"),
        (
            "_dmarc.example.org",
            "TXT",
            "v=DMARC1; p=reject; rua=mailto:dmarc@example.org,mailto:x@stranger.example,mailto:y@collector.example",
        ),
        ("example.org._report._dmarc.collector.example", "TXT", "v=DMARC1"),
        ("quiet.example", "TXT", "v=spf1 -all"),
        ("_dmarc.quiet.example", "TXT", "v=DMARC1; p=none"),
    ]);
    let (sink, outward) = (Sink::accepting(), Sink::accepting());
    let top =
        "domains: [acme.example]\ndmarc_reports: { relay: outward, from: dmarc-reports@acme.example, organization: Acme, path: figures }";
    let deployment = Deployment::new("inline").names(&dns).top(top).relay("next", sink.address()).relay("outward", outward.address());
    let deployment = deployment.rules(RULES).endpoint("proxy_protocol: { trusted: [127.0.0.0/8] }, authentication_results: false");
    let gateway = deployment.start();
    for (client, to, author, subject, code) in [
        ("203.0.113.9", BOB, "a@example.org", "pass", 250),
        ("203.0.113.9", BOB, "b@example.org", "pass again", 250),
        ("2001:db8:1::9", BOB, "a@example.org", "pass over IPv6", 250),
        ("198.51.100.9", BOB, "a@example.org", "fail", 250),
        ("198.51.100.9", "strict@acme.example", "a@example.org", "refused", 550),
        // It comes again.
        ("198.51.100.9", BOB, "a@example.org", "later", 450),
        // Nobody asks for reports.
        ("198.51.100.9", BOB, "a@quiet.example", "quiet", 250),
    ] {
        assert_eq!(send(&gateway, client, to, author, subject), code, "{subject}");
    }
    gateway.stop();
    let figures = deployment.path("figures");
    let files: Vec<_> = std::fs::read_dir(&figures).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let lines = std::fs::read_to_string(file).unwrap().lines().filter(|line| !line.is_empty()).count();
    assert_eq!(lines, 4);
    assert!(outward.taken().is_empty());

    // Two days have gone by.
    let ended = time::OffsetDateTime::now_utc().date() - time::Duration::days(2);
    std::fs::rename(file, figures.join(format!("{ended}.rows"))).unwrap();
    let gateway = deployment.start();
    let taken = outward.wait_taken(2);
    gateway.wait_events(2, |event| event["event"] == "dmarc_report" && event["outcome"] == "queued");
    gateway.wait_for(|event| event["event"] == "dmarc_report" && event["outcome"] == "not_wanted" && event["to"] == "x@stranger.example");
    let mut recipients: Vec<_> = taken.iter().flat_map(|taken| taken.recipients.clone()).collect();
    recipients.sort_unstable();
    assert_eq!(recipients, ["dmarc@example.org", "y@collector.example"]);
    assert!(taken.iter().all(|taken| taken.mail_from == "dmarc-reports@acme.example"), "{taken:?}");
    let begin = ended.midnight().assume_utc().unix_timestamp();
    for Taken { data, recipients, .. } in &taken {
        let report = read(data, deployment.folder());
        let file = format!("acme.example!example.org!{begin}!{}!", begin + 86_399);
        assert!(report["file"].as_str().unwrap().starts_with(&file) && report["type"] == "application/gzip", "{report}");
        assert!(
            report["subject"].as_str().unwrap().starts_with("Report Domain: example.org Submitter: acme.example Report-ID: <"),
            "{report}"
        );
        assert_eq!(
            (&report["to"], &report["from"], &report["org"]),
            (&recipients[0].as_str().into(), &"dmarc-reports@acme.example".into(), &"Acme".into())
        );
        assert_eq!((&report["begin"], &report["end"]), (&begin.to_string().into(), &(begin + 86_399).to_string().into()));
        assert_eq!((&report["domain"], &report["p"]), (&"example.org".into(), &"reject".into()));
        let expected = [
            ["198.51.100.9", "1", "none", "fail", "fail", "example.org", "fail"],
            ["198.51.100.9", "1", "reject", "fail", "fail", "example.org", "fail"],
            ["2001:db8:1::9", "1", "pass", "fail", "pass", "example.org", "pass"],
            ["203.0.113.9", "2", "pass", "fail", "pass", "example.org", "pass"],
        ];
        assert_eq!(report["rows"], serde_json::json!(expected), "{report}");
    }
    // Sent once: nothing is left for another start.
    crate::harness::until("the day to be forgotten", || std::fs::read_dir(&figures).unwrap().next().is_none().then_some(()));
    gateway.stop();
    let gateway = deployment.start();
    assert_eq!(send(&gateway, "203.0.113.9", BOB, "a@example.org", "next day"), 250);
    gateway.stop();
    assert_eq!(outward.taken().len(), 2);
}
