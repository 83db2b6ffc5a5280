//! Dialogues: what the next hop says, what the client says to it, and what comes of it.

use super::*;
use crate::smtp::{Address, Command, EnvelopeId, Recipient, RequireTls, Return, ReversePath, Status};

fn address(text: &str) -> Address {
    Address::parse(text, true).unwrap()
}

/// A session after an EHLO that offered `keywords`.
fn ready(keywords: &str) -> Client {
    let mut client = Client::new("mx.example".into());
    client.feed(b"220 hello\r\n");
    assert_eq!(client.poll(), Ok(None));
    assert_eq!(said(&mut client), "EHLO mx.example\r\n");
    let mut lines: Vec<&str> = vec!["hop.example"];
    lines.extend(keywords.split(',').filter(|word| !word.is_empty()));
    let mut wire = BytesMut::new();
    Reply::new(250, None, lines.join("\n")).encode(&mut wire);
    client.feed(&wire);
    assert_eq!(client.poll(), Ok(Some(Event::Ready)));
    client
}

fn said(client: &mut Client) -> String {
    String::from_utf8(client.take_output().to_vec()).unwrap()
}

fn begin(client: &mut Client, recipients: &[&str]) -> Option<Event> {
    let sender = ReversePath::Address(address("a@b.example"));
    let recipients: Vec<Recipient> = recipients.iter().map(|text| address(text).into()).collect();
    client.begin(&Transaction { content_bytes: 1000, ..transaction(&sender, &recipients) })
}

fn transaction<'a>(reverse_path: &'a ReversePath, recipients: &'a [Recipient]) -> Transaction<'a> {
    Transaction {
        reverse_path,
        recipients: recipients.iter().collect(),
        content_bytes: 1,
        eight_bit: true,
        smtputf8: false,
        require_tls: RequireTls::No,
        ret: None,
        envelope_id: None,
        chunking: false,
    }
}

/// Feeds one line and tells event and answer.
fn hears(client: &mut Client, line: &str) -> (Option<Event>, String) {
    client.feed(format!("{line}\r\n").as_bytes());
    let event = client.poll().unwrap();
    (event, said(client))
}

const NOTHING: (Option<Event>, String) = (None, String::new());

#[test]
fn extensions_are_read_in_any_case_and_unknown_ones_ignored() {
    let client = ready(
        "size 1000,PipeLining,8BITMIME,SMTPUTF8,STARTTLS,AUTH CRAM-MD5 login,CHUNKING,ENHANCEDSTATUSCODES,dsn,RequireTLS,LIMITS RCPTMAX=20 mailmax=7 RCPTDOMAINMAX=0 FOO=1 =,XFOO bar",
    );
    let expected = Extensions {
        size: Some(1000),
        pipelining: true,
        eight_bit_mime: true,
        smtputf8: true,
        starttls: true,
        chunking: true,
        enhanced_status_codes: true,
        dsn: true,
        require_tls: true,
        mail_max: Some(7),
        rcpt_max: Some(20),
        rcpt_domain_max: None,
        auth_plain: false,
        auth_login: true,
        auth_xoauth2: false,
        auth_offered: "CRAM-MD5 login".to_owned(),
    };
    assert_eq!(*client.extensions(), expected);
    assert_eq!(ready("AUTH=PLAIN LOGIN").extensions().mechanism(), Some(Mechanism::Plain));
}

#[test]
fn helo_follows_a_refused_ehlo() {
    let mut client = Client::new("mx.example".into());
    assert_eq!(hears(&mut client, "220 hello").1, "EHLO mx.example\r\n");
    assert_eq!(hears(&mut client, "502 what?"), (None, "HELO mx.example\r\n".to_owned()));
    assert_eq!(hears(&mut client, "250 hop").0, Some(Event::Ready));
    assert_eq!(*client.extensions(), Extensions::default());
}

#[test]
fn one_group_with_pipelining() {
    let mut client = ready("PIPELINING,SIZE 5000,8BITMIME");
    assert_eq!(begin(&mut client, &["x@y.example", "z@y.example"]), None);
    let group = "MAIL FROM:<a@b.example> SIZE=1000 BODY=8BITMIME\r\nRCPT TO:<x@y.example>\r\nRCPT TO:<z@y.example>\r\nDATA\r\n";
    assert_eq!(said(&mut client), group);
    client.feed(b"250 ok\r\n250 ok\r\n550 5.1.1 no such user\r\n354 go\r\n");
    assert_eq!(client.poll(), Ok(Some(Event::SendContent)));
    client.content_sent();
    assert_eq!(hears(&mut client, "250 2.0.0 queued as 1").0, Some(Event::TransactionDone));
    let taken = Reply::new(250, Some(Status(2, 0, 0)), "queued as 1");
    let refused = Reply::new(550, Some(Status(5, 1, 1)), "no such user");
    assert_eq!(client.take_verdicts(), [Verdict::Taken(taken), Verdict::Refused(Stage::Rcpt(1), refused)]);
    assert!(client.is_reusable());
}

#[test]
fn one_command_at_a_time_without_pipelining() {
    let mut client = ready("");
    begin(&mut client, &["x@y.example", "z@y.example"]);
    assert_eq!(said(&mut client), "MAIL FROM:<a@b.example>\r\n", "no SIZE and no BODY unless offered");
    assert_eq!(hears(&mut client, "250 ok").1, "RCPT TO:<x@y.example>\r\n");
    assert_eq!(hears(&mut client, "450 later").1, "RCPT TO:<z@y.example>\r\n");
    assert_eq!(hears(&mut client, "251 forwarded").1, "DATA\r\n");
    assert_eq!(hears(&mut client, "354 go").0, Some(Event::SendContent));
    client.content_sent();
    assert_eq!(hears(&mut client, "452 full").0, Some(Event::TransactionDone));
    let verdicts = client.take_verdicts();
    assert_eq!(verdicts[0], Verdict::Refused(Stage::Rcpt(0), Reply::new(450, None, "later")));
    assert_eq!(verdicts[1], Verdict::Refused(Stage::FinalDot, Reply::new(452, None, "full")));
}

#[test]
fn a_large_group_is_sent_in_parts() {
    let mut client = ready("PIPELINING");
    let many: Vec<String> = (0..500).map(|number| format!("recipient-{number:04}@y.example")).collect();
    begin(&mut client, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let mut commands = 0;
    loop {
        let output = said(&mut client);
        assert!(output.len() <= RELAY_PIPELINE_BYTES_MAX);
        let lines = output.lines().count();
        commands += lines;
        if output.ends_with("DATA\r\n") {
            break;
        }
        client.feed("250 ok\r\n".repeat(lines).as_bytes());
        assert_eq!(client.poll(), Ok(None));
    }
    assert_eq!(commands, 502);
}

#[test]
fn a_354_for_nobody_gets_a_lone_dot_and_its_reply_counts_for_nobody() {
    for (mail, rcpt) in [("550 no", "503 no"), ("250 ok", "550 no"), ("550 no", "250 liar")] {
        let mut client = ready("PIPELINING");
        begin(&mut client, &["x@y.example"]);
        said(&mut client);
        assert_eq!(hears(&mut client, mail), NOTHING);
        assert_eq!(hears(&mut client, rcpt), NOTHING);
        assert_eq!(hears(&mut client, "354 go"), (None, ".\r\n".to_owned()), "{mail} {rcpt}");
        assert_eq!(hears(&mut client, "250 accepted").0, Some(Event::TransactionDone));
        assert!(matches!(client.take_verdicts()[..], [Verdict::Refused(..)]), "{mail} {rcpt}");
        assert!(client.is_reusable());
    }
}

#[test]
fn rset_comes_before_the_next_transaction_only_when_one_is_open() {
    let mut client = ready("");
    begin(&mut client, &["x@y.example"]);
    hears(&mut client, "250 ok");
    assert_eq!(hears(&mut client, "550 no").0, Some(Event::TransactionDone));
    begin(&mut client, &["z@y.example"]);
    assert_eq!(said(&mut client), "RSET\r\n");
    assert_eq!(hears(&mut client, "250 ok").1, "MAIL FROM:<a@b.example>\r\n");
    assert_eq!(hears(&mut client, "451 later").0, Some(Event::TransactionDone));
    begin(&mut client, &["z@y.example"]);
    assert_eq!(said(&mut client), "MAIL FROM:<a@b.example>\r\n");
}

#[test]
fn what_cannot_be_sent_is_refused_without_a_word() {
    let mut client = ready("SIZE 999");
    assert_eq!(begin(&mut client, &["x@y.example"]), Some(Event::TransactionDone));
    assert!(!client.has_output());
    assert!(matches!(&client.take_verdicts()[0], Verdict::Refused(_, reply) if reply.code == 552 && reply.status == Some(Status(5, 3, 4))));
    let recipients = [Recipient::from(address("ü@y.example"))];
    let utf8 = Transaction { smtputf8: true, ..transaction(&ReversePath::Null, &recipients) };
    assert_eq!(client.begin(&utf8), Some(Event::TransactionDone));
    assert!(matches!(&client.take_verdicts()[0], Verdict::Refused(_, reply) if reply.status == Some(Status(5, 6, 7))));
    for size in ["SIZE", "SIZE 0", "SIZE 1000"] {
        assert_eq!(begin(&mut ready(size), &["x@y.example"]), None, "{size}");
    }
    let mut client = ready("SMTPUTF8,8BITMIME");
    assert_eq!(client.begin(&utf8), None);
    assert_eq!(said(&mut client), "MAIL FROM:<> BODY=8BITMIME SMTPUTF8\r\n");
}

/// What was accepted is passed on as it was said, and only to whom offers to know it.
#[test]
fn what_the_sender_asks_for_is_passed_on_to_a_next_hop_that_offers_it() {
    let parameter = |text: &str| serde_json::Value::from(text);
    let recipients: [Recipient; 3] = [
        serde_json::json!({ "address": "x@y.example", "notify": "NEVER" }),
        serde_json::json!({ "address": "z@y.example", "notify": "SUCCESS,DELAY", "orcpt": "rfc822;Z+2B1@old.example" }),
        serde_json::json!({ "address": "w@y.example", "orcpt": "utf-8;ü@old.example" }),
    ]
    .map(|stored| serde_json::from_value(stored).unwrap());
    let envelope_id: EnvelopeId = serde_json::from_value(parameter("QQ+2B1")).unwrap();
    let transaction =
        || Transaction { ret: Some(Return::Headers), envelope_id: Some(&envelope_id), ..transaction(&ReversePath::Null, &recipients) };
    let mut client = ready("PIPELINING,DSN");
    assert_eq!(client.begin(&transaction()), None);
    assert_eq!(
        said(&mut client),
        "MAIL FROM:<> RET=HDRS ENVID=QQ+2B1\r\nRCPT TO:<x@y.example> NOTIFY=NEVER\r\n\
         RCPT TO:<z@y.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Z+2B1@old.example\r\n\
         RCPT TO:<w@y.example> ORCPT=utf-8;\\x{FC}@old.example\r\nDATA\r\n"
    );
    let mut client = ready("PIPELINING,DSN,SMTPUTF8");
    assert_eq!(client.begin(&Transaction { smtputf8: true, ..transaction() }), None);
    assert!(said(&mut client).ends_with("RCPT TO:<w@y.example> ORCPT=utf-8;ü@old.example\r\nDATA\r\n"));
    let mut client = ready("PIPELINING");
    assert_eq!(client.begin(&transaction()), None);
    assert_eq!(said(&mut client), "MAIL FROM:<>\r\nRCPT TO:<x@y.example>\r\nRCPT TO:<z@y.example>\r\nRCPT TO:<w@y.example>\r\nDATA\r\n");
}

#[test]
fn requiretls_is_said_where_it_is_offered_and_refused_here_where_it_must_be() {
    let recipients = [Recipient::from(address("x@y.example"))];
    for (keywords, require_tls, expected) in [
        ("REQUIRETLS", RequireTls::No, Some("MAIL FROM:<>\r\n")),
        ("REQUIRETLS", RequireTls::IfOffered, Some("MAIL FROM:<> REQUIRETLS\r\n")),
        ("REQUIRETLS", RequireTls::Must, Some("MAIL FROM:<> REQUIRETLS\r\n")),
        ("", RequireTls::IfOffered, Some("MAIL FROM:<>\r\n")),
        ("", RequireTls::Must, None),
    ] {
        let mut client = ready(keywords);
        let event = client.begin(&Transaction { require_tls, ..transaction(&ReversePath::Null, &recipients) });
        match expected {
            Some(line) => assert_eq!((event, said(&mut client).as_str()), (None, line)),
            None => {
                assert!(event == Some(Event::TransactionDone) && !client.has_output());
                let verdicts = client.take_verdicts();
                assert!(matches!(&verdicts[0], Verdict::Refused(Stage::Unsent, reply) if reply.status == Some(Status(5, 7, 30))));
            }
        }
    }
}

#[test]
fn starttls_forgets_and_lets_nobody_put_words_in() {
    let mut client = ready("STARTTLS,PIPELINING,AUTH PLAIN");
    client.start_tls();
    assert_eq!(hears(&mut client, "220 go").0, Some(Event::StartTls));
    client.tls_established();
    assert_eq!(*client.extensions(), Extensions::default());
    assert_eq!(said(&mut client), "EHLO mx.example\r\n");
    assert_eq!(hears(&mut client, "250 hop").0, Some(Event::Ready));
    for injected in ["220 go\r\n250 hop\r\n", "220 go\r\n2", "220 go\r\n\r\n"] {
        let mut client = ready("STARTTLS");
        client.start_tls();
        client.feed(injected.as_bytes());
        assert_eq!(client.poll(), Err(ClientError::Injection), "{injected:?}");
    }
}

#[test]
fn plain_and_login() {
    let mut client = ready("AUTH PLAIN");
    client.authenticate(Mechanism::Plain, "tim", "tanstaaftanstaaf");
    assert_eq!(said(&mut client), "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
    assert_eq!(hears(&mut client, "334 "), (None, "AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n".to_owned()));
    assert_eq!(hears(&mut client, "235 welcome").0, Some(Event::Authenticated));
    client.authenticate(Mechanism::Login, "foo", "foobar");
    assert_eq!(said(&mut client), "AUTH LOGIN\r\n");
    assert_eq!(hears(&mut client, "334 VXNlcm5hbWU6"), (None, "Zm9v\r\n".to_owned()));
    assert_eq!(hears(&mut client, "334 UGFzc3dvcmQ6"), (None, "Zm9vYmFy\r\n".to_owned()));
    let (refused, _) = hears(&mut client, "535 5.7.8 no");
    assert_eq!(refused, Some(Event::AuthRefused(Reply::new(535, Some(Status(5, 7, 8)), "no"))));
    client.authenticate(Mechanism::Login, "foo", "foobar");
    client.feed(b"334 a\r\n334 b\r\n334 c\r\n");
    assert!(matches!(client.poll(), Err(ClientError::Unexpected(Stage::Auth, _))), "no end of challenges");
}

#[test]
fn a_token_goes_out_at_once_and_an_empty_line_asks_for_the_final_code() {
    let mut client = ready("AUTH login xoauth2");
    assert!(client.extensions().auth_xoauth2 && client.extensions().auth_offered == "login xoauth2");
    client.authenticate_with_token("a@b.example", "token");
    assert_eq!(said(&mut client), "AUTH XOAUTH2 dXNlcj1hQGIuZXhhbXBsZQFhdXRoPUJlYXJlciB0b2tlbgEB\r\n");
    assert_eq!(hears(&mut client, "334 eyJzdGF0dXMiOiI0MDEifQ=="), (None, "\r\n".to_owned()));
    let (refused, _) = hears(&mut client, "535 5.7.3 no");
    assert_eq!(refused, Some(Event::AuthRefused(Reply::new(535, Some(Status(5, 7, 3)), "no"))));
    client.authenticate_with_token("a@b.example", "token");
    assert_eq!(hears(&mut client, "235 welcome").0, Some(Event::Authenticated));
}

#[test]
fn replies_of_a_wrong_class_end_the_session_and_nobody_is_taken() {
    let before: [(&str, &[&str]); 5] = [
        ("354 go", &[]),
        ("334 go", &["250 ok"]),
        ("250 ok", &["250 ok", "250 ok"]),
        ("354 go", &["250 ok", "250 ok", "354 go"]),
        ("hello", &["250 ok"]),
    ];
    for (wrong, right) in before {
        let mut client = ready("");
        begin(&mut client, &["x@y.example"]);
        for line in right {
            if hears(&mut client, line).0 == Some(Event::SendContent) {
                client.content_sent();
            }
        }
        client.feed(format!("{wrong}\r\n").as_bytes());
        assert!(client.poll().is_err(), "{wrong} after {right:?}");
        assert!(!client.is_reusable());
        assert!(matches!(client.take_verdicts()[..], [Verdict::Pending | Verdict::RecipientAccepted]));
    }
}

#[test]
fn an_acceptance_before_the_content_is_complete_is_a_lie_and_a_refusal_is_not() {
    let start = || {
        let mut client = ready("PIPELINING");
        begin(&mut client, &["x@y.example"]);
        client.feed(b"250 ok\r\n250 ok\r\n354 go\r\n");
        assert_eq!(client.poll(), Ok(Some(Event::SendContent)));
        client
    };
    let mut client = start();
    client.feed(b"250 queued\r\n");
    assert!(matches!(client.poll(), Err(ClientError::Unsolicited(_))));
    let mut client = start();
    client.feed(b"552 5.3.4 too big\r\n");
    assert_eq!(client.poll(), Ok(Some(Event::TransactionDone)));
    assert!(matches!(client.take_verdicts()[..], [Verdict::Refused(Stage::FinalDot, _)]));
    assert!(!client.is_reusable());
}

#[test]
fn a_421_ends_everything_and_leaves_what_was_decided() {
    let mut client = ready("PIPELINING");
    begin(&mut client, &["x@y.example", "z@y.example", "w@y.example"]);
    client.feed(b"250 ok\r\n550 5.1.1 no\r\n250 ok\r\n421 4.3.2 closing\r\n");
    assert_eq!(client.poll(), Ok(Some(Event::TransactionDone)));
    let codes: Vec<u16> =
        client.take_verdicts().iter().map(|verdict| if let Verdict::Refused(_, reply) = verdict { reply.code } else { 0 }).collect();
    assert_eq!(codes, [550, 421, 421]);
    assert!(!client.is_reusable());
    let mut client = Client::new("mx.example".into());
    client.feed(b"421 busy\r\n");
    assert!(matches!(client.poll(), Err(ClientError::Refused(Stage::Greeting, _))));
}

/// A session in LMTP after an LHLO that offered `keywords`.
fn ready_for_lmtp(keywords: &str) -> Client {
    let mut client = Client::speaking(Protocol::Lmtp, "mx.example".into());
    assert_eq!(hears(&mut client, "220 hello").1, "LHLO mx.example\r\n");
    assert_eq!(hears(&mut client, &format!("250-hop.example\r\n250 {keywords}")).0, Some(Event::Ready));
    client
}

/// RFC 2033 §4.2: the replies after the content are those of the recipients that were accepted, in their order.
#[test]
fn lmtp_has_a_reply_for_each_recipient() {
    for keywords in ["PIPELINING", "CHUNKING"] {
        let mut client = ready_for_lmtp(keywords);
        let recipients: Vec<Recipient> = ["x@y.example", "no@y.example", "full@y.example"].map(|text| address(text).into()).into();
        let sender = ReversePath::Null;
        client.begin(&Transaction { chunking: true, ..transaction(&sender, &recipients) });
        let mut event = None;
        for line in ["250 ok", "250 ok", "550 5.1.1 no", "250 ok", "354 go"] {
            said(&mut client);
            if event.is_none() {
                event = hears(&mut client, line).0;
            }
        }
        assert_eq!(event, Some(if keywords == "CHUNKING" { Event::SendChunk } else { Event::SendContent }));
        client.content_sent();
        assert_eq!(hears(&mut client, "250 2.1.5 delivered"), NOTHING);
        assert!(!client.is_reusable(), "a reply is missing");
        assert_eq!(hears(&mut client, "452 4.2.2 full").0, Some(Event::TransactionDone));
        let codes = client.take_verdicts().iter().map(code).collect::<Vec<_>>();
        assert_eq!(codes, [250, 550, 452]);
        assert!(client.is_reusable());
    }
}

fn code(verdict: &Verdict) -> u16 {
    match verdict {
        Verdict::Taken(reply) | Verdict::Refused(_, reply) => reply.code,
        Verdict::Pending | Verdict::RecipientAccepted => 0,
    }
}

#[test]
fn lmtp_has_no_helo_and_no_message_for_nobody() {
    let mut client = Client::speaking(Protocol::Lmtp, "mx.example".into());
    assert_eq!(hears(&mut client, "220 hello").1, "LHLO mx.example\r\n");
    client.feed(b"500 what?\r\n");
    assert!(matches!(client.poll(), Err(ClientError::Refused(Stage::Ehlo, _))));
    let mut client = ready_for_lmtp("PIPELINING");
    begin(&mut client, &["x@y.example"]);
    client.feed(b"250 ok\r\n550 no\r\n354 go\r\n");
    assert!(client.poll().is_err());
    assert_eq!(client.take_verdicts().iter().map(code).collect::<Vec<_>>(), [550]);
}

/// RFC 3030 §2; nothing of the content is said before a recipient is accepted.
#[test]
fn a_chunk_follows_the_last_recipient_and_nobody_gets_none() {
    let start = |keywords: &str| {
        let mut client = ready(keywords);
        let recipients: Vec<Recipient> = ["x@y.example", "z@y.example"].map(|text| address(text).into()).into();
        client.begin(&Transaction { chunking: true, ..transaction(&ReversePath::Null, &recipients) });
        client
    };
    let mut client = start("PIPELINING,CHUNKING");
    assert_eq!(said(&mut client), "MAIL FROM:<>\r\nRCPT TO:<x@y.example>\r\nRCPT TO:<z@y.example>\r\n");
    client.feed(b"250 ok\r\n250 ok\r\n");
    assert_eq!(client.poll(), Ok(None));
    assert_eq!(hears(&mut client, "550 no").0, Some(Event::SendChunk));
    client.content_sent();
    assert_eq!(hears(&mut client, "250 2.0.0 taken").0, Some(Event::TransactionDone));
    assert_eq!(client.take_verdicts().iter().map(code).collect::<Vec<_>>(), [250, 550]);
    for replies in ["250 ok\r\n550 no\r\n550 no\r\n", "451 later\r\n503 no\r\n503 no\r\n"] {
        let mut client = start("PIPELINING,CHUNKING");
        said(&mut client);
        client.feed(replies.as_bytes());
        assert_eq!(client.poll(), Ok(Some(Event::TransactionDone)), "{replies:?}");
        assert!(client.is_reusable() && !client.has_output());
    }
    assert!(said(&mut start("PIPELINING")).ends_with("DATA\r\n"), "not offered");
}

proptest::proptest! {
    /// The next hop hears what the sender said: whatever a session accepts, a next hop that offers it understands as the same.
    #[test]
    fn what_was_accepted_is_passed_on_unchanged(
        mail in "MAIL FROM:<a@x>( RET=(FULL|HDRS))?( ENVID=([a-z]|[+]2B|[+]20){1,9})?( REQUIRETLS)?( SMTPUTF8)?",
        rcpt in "RCPT TO:<b@x>( NOTIFY=(NEVER|SUCCESS|DELAY,FAILURE|SUCCESS,DELAY))?( ORCPT=(rfc822;([a-z@]|[+]3D){1,9}|utf-8;([a-zü@]|[\\\\]x[{](FC|2B)[}]){1,9}))?",
    ) {
        let Ok(Command::Mail { reverse_path, parameters }) = Command::parse(mail.as_bytes(), false) else { panic!("{mail}") };
        if let Ok(Command::Rcpt { address, parameters: asked }) = Command::parse(rcpt.as_bytes(), parameters.smtputf8) {
            let recipients = [Recipient { address, parameters: asked }];
            let mut client = ready("PIPELINING,DSN,REQUIRETLS,SMTPUTF8");
            client.begin(&Transaction {
                eight_bit: false,
                smtputf8: parameters.smtputf8,
                require_tls: if parameters.terms.require_tls { RequireTls::Must } else { RequireTls::No },
                ret: parameters.terms.ret,
                envelope_id: parameters.terms.envelope_id.as_ref(),
                ..transaction(&reverse_path, &recipients)
            });
            let written = said(&mut client);
            let mut lines = written.lines();
            let mut heard = |smtputf8| Command::parse(lines.next().unwrap().as_bytes(), smtputf8).unwrap();
            proptest::prop_assert_eq!(heard(false), Command::Mail { reverse_path: reverse_path.clone(), parameters: parameters.clone() });
            let [Recipient { address, parameters: asked }] = recipients;
            proptest::prop_assert_eq!(heard(parameters.smtputf8), Command::Rcpt { address, parameters: asked });
        }
    }
}
