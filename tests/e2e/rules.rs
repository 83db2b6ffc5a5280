//! What rules do to real messages.

use crate::harness::{Client, Deployment, Gateway, Sink, mail};

#[test]
fn a_message_forks_and_a_change_stays_with_its_group() {
    let (one, other) = (Sink::accepting(), Sink::accepting());
    let rules = "
rules:
  - name: tag-acme
    when:
      - recipient_domain: { equals: acme.example }
    actions:
      - AddHeader: { name: X-Tag, value: only-acme }
      - SMTPRelay: { relay: one }
  - name: others
    when:
      - recipient_domain: { equals: acme.org }
    actions:
      - SMTPRelay: { relay: other }
";
    let deployment = Deployment::new("inline").relay("one", one.address()).relay("other", other.address()).rules(rules);
    let gateway = deployment.start();
    let message = mail::small("fork");
    send(&gateway, &["bob@acme.example", "carol@acme.org"], &message).expect("250 ");
    let (one, other) = (one.only(), other.only());
    assert_eq!(
        (one.recipients.as_slice(), other.recipients.as_slice()),
        (&["bob@acme.example".to_owned()][..], &["carol@acme.org".to_owned()][..])
    );
    assert!(mail::text(&one.data).contains("X-Tag: only-acme\r\n"));
    mail::assert_same(other.original(), &message);
    for taken in [&one, &other] {
        assert_eq!(mail::text(&taken.data).matches("Received:").count(), 1);
        assert!(!mail::text(&taken.data).contains("for <"), "no recipient learns of another");
    }
}

#[test]
fn what_a_rule_drops_is_acknowledged_and_goes_nowhere() {
    let (sink, deployment, gateway) = start("  - name: drop-it\n    actions: [Drop]\n");
    let before = deployment.spooled_files();
    send(&gateway, &["bob@acme.example"], &mail::small("drop")).expect("250 ");
    let outcome = gateway.wait_outcome("bob@acme.example", "dropped");
    assert_eq!(outcome["rule"], "drop-it");
    assert_eq!((sink.connections(), deployment.spooled_files()), (0, before));
}

#[test]
fn what_a_rule_rejects_is_refused_in_its_words_and_not_stored() {
    let rules = "  - name: no\n    actions:\n      - Reject: { code: 553, status: 5.7.9, text: \"Not like this\" }\n";
    let (sink, deployment, gateway) = start(rules);
    let before = deployment.spooled_files();
    send(&gateway, &["bob@acme.example"], &mail::small("reject")).expect("553 5.7.9 Not like this");
    gateway.wait_outcome("bob@acme.example", "rejected");
    assert_eq!((sink.connections(), deployment.spooled_files()), (0, before));
}

#[test]
fn what_a_rule_defers_is_refused_for_now_and_not_stored() {
    let rules = "  - name: later\n    actions:\n      - Defer: { code: 450, status: 4.7.9, text: \"Come again\" }\n";
    let (sink, deployment, gateway) = start(rules);
    let before = deployment.spooled_files();
    send(&gateway, &["bob@acme.example"], &mail::small("defer")).expect("450 4.7.9 Come again");
    assert_eq!((sink.connections(), deployment.spooled_files()), (0, before));
}

#[test]
fn a_recipient_without_a_rule_gets_what_otherwise_says() {
    let rule = "rules:\n  - name: bob\n    when:\n      - recipient: { equals: bob@acme.example }\n    actions:\n      - SMTPRelay: { relay: next }\n";
    for (otherwise, reply) in
        [("", "550 "), ("otherwise: reject\n", "550 "), ("otherwise: defer\n", "450 4.7.1 "), ("otherwise: drop\n", "250 ")]
    {
        let sink = Sink::accepting();
        let deployment = Deployment::new("inline").relay("next", sink.address()).rules(&format!("{otherwise}{rule}"));
        let gateway = deployment.start();
        send(&gateway, &["carol@acme.example"], &mail::small("carol")).expect(reply);
        assert!(sink.taken().is_empty());
    }
}

#[test]
fn recipients_are_replaced_and_headers_removed() {
    let rules = "
  - name: change
    actions:
      - ReplaceRecipient: { map: { old@acme.example: new@acme.example, \"*@acme.org\": \"*@acme.example\" } }
      - RemoveHeader: { name: X-Secret }
      - PrefixSubject: { text: \"[seen] \" }
      - SMTPRelay: { relay: next }
";
    let (sink, _deployment, gateway) = start(rules);
    let message = b"X-Secret: 1\r\nSubject: change\r\nx-secret: two\r\n folded\r\nFrom: a@example.org\r\n\r\nX-Secret: body\r\n";
    send(&gateway, &["old@acme.example", "carol@acme.org", "same@acme.example"], message).expect("250 ");
    let taken = sink.only();
    let mut recipients = taken.recipients.clone();
    recipients.sort();
    assert_eq!(recipients, ["carol@acme.example", "new@acme.example", "same@acme.example"]);
    mail::assert_same(taken.original(), b"Subject: [seen] change\r\nFrom: a@example.org\r\n\r\nX-Secret: body\r\n");
    let outcome = gateway.wait_outcome("old@acme.example", "delivered");
    assert_eq!(outcome["delivered_to"], "new@acme.example");
}

fn send(gateway: &Gateway, to: &[&str], message: &[u8]) -> crate::harness::Reply {
    Client::hello(gateway.address()).send("alice@example.org", to, message)
}

fn start(rules: &str) -> (Sink, Deployment, Gateway) {
    let sink = Sink::accepting();
    let rules = format!("rules:\n{rules}");
    let deployment = Deployment::new("inline").relay("next", sink.address()).rules(&rules);
    let gateway = deployment.start();
    (sink, deployment, gateway)
}
