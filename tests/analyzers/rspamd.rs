//! The real rspamd.

use gateway::message::{Analysis, FieldValue};

use crate::{Mail, PLAIN, analyzers, daemons, no_dns, shown};

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

fn symbols(analysis: &Analysis) -> Vec<&str> {
    match &analysis.fields["symbols"] {
        FieldValue::Texts(texts) => texts.iter().map(gateway::message::Text::plain).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rspamd_judges_messages_by_what_it_is_told() {
    let rspamd = daemons::rspamd();
    let (scanner, dns) = (analyzers(&format!("  a: {{ type: rspamd, url: \"http://{}\", timeout: 60s }}", rspamd.address)), no_dns());
    let spam = Mail::with_message(format!("{PLAIN}{GTUBE}\r\n")).ask(&scanner, &dns).await.unwrap();
    assert_eq!(shown(&spam), "action=[\"reject\"] is_spam=true required_score=15 score=15 symbols=[\"GTUBE\"]");
    for (score, action, is_spam) in [
        ("0", "no action", false),
        ("5", "greylist", false),
        ("6.5", "add header", true),
        ("9", "rewrite subject", true),
        ("20", "reject", true),
    ] {
        let found = Mail::with_message(format!("X-Test-Score: {score}\r\n{PLAIN}")).ask(&scanner, &dns).await.unwrap();
        assert!(
            shown(&found).starts_with(&format!("action=[\"{action}\"] is_spam={is_spam} required_score=15 ")),
            "{score}: {}",
            shown(&found)
        );
    }
    let mut mail = Mail::with_message(PLAIN);
    mail.session.login = Some("carol".into());
    let found = mail.ask(&scanner, &dns).await.unwrap();
    let told: Vec<_> = symbols(&found).into_iter().filter_map(|symbol| symbol.strip_prefix("TEST_FACT_")).collect();
    let size = PLAIN.len().to_string();
    let id = mail.subject().id.to_string();
    for fact in ["192.0.2.7", "mail.sender.example", "carol", "alice@sender.example", "2", &id, "mx1.acme.example", "TLSv1.3", &size] {
        assert!(told.contains(&fact), "{fact} is not among {told:?}");
    }
    // What cannot be said in a header is not said, and harms nobody.
    let odd = Mail::with_message(PLAIN).helo("a\r\nUser: root").from("");
    let found = odd.ask(&scanner, &dns).await.unwrap();
    assert!(!shown(&found).contains("root"), "{}", shown(&found));
}

#[tokio::test]
async fn large_messages_go_through_whole_or_are_unknown() {
    let rspamd = daemons::rspamd();
    let section = format!("  a: {{ type: rspamd, url: \"http://{}\", timeout: 60s, max_message_size: 4MiB }}", rspamd.address);
    let (scanner, dns) = (analyzers(&section), no_dns());
    let filled = |length: usize| format!("X-Test-Score: 7\r\n{PLAIN}{}", "\r\n".repeat(length / 2));
    let large = filled(3 << 20);
    let found = Mail::with_message(large.as_str()).ask(&scanner, &dns).await.unwrap();
    // A message that is rejected is not looked at by all rules.
    assert!(shown(&found).starts_with("action=[\"add header\"]"), "{}", shown(&found));
    assert!(symbols(&found).contains(&format!("TEST_FACT_{}", large.len()).as_str()), "{}", shown(&found));
    let why = Mail::with_message(filled(4 << 20)).ask(&scanner, &dns).await.unwrap_err();
    assert!(why.ends_with("`max_message_size` is 4194304"), "{why}");
}
