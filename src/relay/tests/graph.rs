//! Microsoft Graph as a next hop: a scripted token endpoint and a scripted `sendMail`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::tls_and_login::server;
use super::tokens::{granted, oauth, secret_file};
use super::web::{Said, Seen, Web};
use super::*;

const MESSAGE: &str = "From: relay@acme.example\r\nTo: A <a@x.example>,\r\n B@y.example\r\nBcc: c@x.example\r\nSubject: x\r\n\r\n.body\r\n";

/// Both servers and the relay that leads to them.
struct Stage {
    graph: Web,
    endpoint: Web,
    relays: Relays,
    config: RelayConfig,
    _files: (tempfile::NamedTempFile, tempfile::NamedTempFile),
}

impl Stage {
    async fn set(rule: impl Fn(&Seen, usize) -> Said + Send + Sync + 'static) -> Self {
        let (tls, pem) = server(&["127.0.0.1"]);
        let graph = Web::start(Some(tls), rule).await;
        let endpoint = Web::start(None, |_, number| granted(&format!("T{number}"))).await;
        let files = (secret_file("secret"), secret_file(&pem));
        let config = RelayConfig {
            kind: RelayKind::Graph,
            port: graph.address.port(),
            auth: Some(Auth::OAuth(oauth(&endpoint, &files.0))),
            ca_file: Some(files.1.path().to_owned()),
            ..RelayConfig::new("graph", at(["127.0.0.1"]))
        };
        Self { graph, endpoint, relays: relays(), config, _files: files }
    }

    async fn deliver(&self, delivery: &Delivery) -> DeliveryReport {
        // The same relay each time: another one with a `ca` would have a pool of its own.
        self.relays.deliver(&self.relay(), delivery, Instant::now() + PLENTY).await
    }

    fn relay(&self) -> Arc<RelayConfig> {
        let known = pool::lock(&self.relays.inner.pools).by_name.get("graph").map(|pool| Arc::clone(&pool.config));
        known.unwrap_or_else(|| Arc::new(self.config.clone()))
    }
}

fn message(content: &str, recipients: &[&str]) -> Delivery {
    Delivery { content: Content::from(Bytes::from(content.to_owned())), ..delivery(recipients) }
}

fn everybody() -> Delivery {
    message(MESSAGE, &["a@x.example", "b@Y.example", "c@x.example"])
}

fn status(status: u16, code: &str) -> Said {
    Some((status, None, format!(r#"{{"error":{{"code":"{code}","message":"Why."}}}}"#)))
}

#[tokio::test]
async fn a_message_goes_as_base64_and_202_is_its_acceptance() {
    let stage = Stage::set(|_, _| Some((202, None, String::new()))).await;
    let report = stage.deliver(&everybody()).await;
    assert_eq!(short(&report), ["250", "250", "250"], "{}", detail(&report));
    let Outcome::Delivered(accepted) = &report.outcomes[0] else { panic!("{report:?}") };
    assert_eq!((&*accepted.reply.text, accepted.dsn), ("Accepted by Microsoft Graph, request id-1", false));
    assert_eq!(short(&stage.deliver(&everybody()).await), ["250", "250", "250"]);
    let seen = stage.graph.seen();
    assert_eq!((seen.len(), stage.endpoint.seen().len()), (2, 1));
    assert_eq!(seen[0].line, "POST /v1.0/users/relay%40acme.example/sendMail");
    assert_eq!((seen[0].authorization.as_str(), seen[0].content_type.as_str()), ("Bearer T1", "text/plain"));
    assert_eq!(STANDARD.decode(&seen[0].body).unwrap(), MESSAGE.as_bytes());
    assert_eq!((report.attempts.len(), report.attempts[0].recipients), (1, 3));
}

#[tokio::test]
async fn everything_else_is_no_acceptance() {
    for (said, expected) in [
        (Some((200, None, String::new())), "451 4.3.0 later"),
        (status(400, "ErrorMimeContentInvalid"), "554 5.6.0 never"),
        (status(403, "ErrorSendAsDenied"), "550 5.7.1 never"),
        (status(403, "ErrorAccessDenied"), "451 4.7.0 later"),
        (status(404, "ErrorInvalidUser"), "451 4.7.0 later"),
        (status(413, ""), "552 5.3.4 never"),
        (status(500, "InternalServerError"), "451 4.3.0 later"),
        (None, "451 4.4.2 later"),
    ] {
        let answer = said.clone();
        let stage = Stage::set(move |_, _| answer.clone()).await;
        let report = stage.deliver(&everybody()).await;
        assert_eq!(short(&report), [expected; 3], "{said:?}: {}", detail(&report));
        assert_eq!(stage.graph.seen().len(), 1, "a request is made once: {said:?}");
        assert_eq!(detail(&report).contains("may deliver it twice"), said.is_none(), "{}", detail(&report));
        let everything = format!("{report:?}");
        assert!(!everything.contains("T1") && !everything.contains("secret"), "{everything}");
    }
}

#[tokio::test]
async fn a_refused_token_is_fetched_anew_once_and_then_nothing_is_asked() {
    let stage = Stage::set(|seen, _| match seen.authorization.as_str() {
        "Bearer T2" => Some((202, None, String::new())),
        _ => status(401, "InvalidAuthenticationToken"),
    })
    .await;
    assert_eq!(short(&stage.deliver(&everybody()).await), ["250", "250", "250"]);
    assert_eq!((stage.graph.seen().len(), stage.endpoint.seen().len()), (2, 2));

    let stage = Stage::set(|_, _| status(401, "InvalidAuthenticationToken")).await;
    for _ in 0..5 {
        stage.relays.set_held(&stage.relay().name, false).await;
        assert_eq!(short(&stage.deliver(&everybody()).await), ["451 4.7.0 later"; 3]);
    }
    assert_eq!((stage.graph.seen().len(), stage.endpoint.seen().len()), (2, 2));
}

#[tokio::test]
async fn a_pause_is_kept_and_ends() {
    for (code, wait, asked) in [(429, Some("600"), 1), (503, Some("600"), 1), (429, None, 1), (503, Some("0"), 3)] {
        let stage = Stage::set(move |_, _| Some((code, wait, String::new()))).await;
        for round in 0..3 {
            let report = stage.deliver(&everybody()).await;
            // The relay as a whole makes the pause.
            let expected = if round > 0 && asked == 1 { "451 4.3.2 later" } else { "451 4.4.5 later" };
            assert_eq!(short(&report), [expected; 3], "{}", detail(&report));
        }
        assert_eq!(stage.graph.seen().len(), asked, "{code} {wait:?}");
    }
}

#[tokio::test]
async fn what_graph_could_not_say_is_refused_before_anybody_is_asked() {
    let large = format!("{MESSAGE}{}", "x\r\n".repeat(limits::GRAPH_MESSAGE_BYTES_MAX / 3));
    let all = ["a@x.example", "b@y.example", "c@x.example"];
    let twice = MESSAGE.replace("Bcc: c@x.example", "Bcc: c@x.example <d@x.example>");
    for (delivery, expected, why) in [
        (message(&large, &all), "552 5.3.4 never", "at most 2097152 are taken"),
        (message(MESSAGE, &all[..2]), "550 5.3.3 never", "c@x.example is in the header and not in the envelope"),
        (
            message(MESSAGE, &["a@x.example", "b@y.example", "c@x.example", "d@x.example"]),
            "550 5.3.3 never",
            "d@x.example is in the envelope and not in the header",
        ),
        (message(&twice, &all), "550 5.3.3 never", "can be read in more than one way"),
        (message("Subject: x\n\r\n", &all), "554 5.6.0 never", "refused here"),
        (Delivery { reverse_path: ReversePath::Null, ..everybody() }, "550 5.3.3 never", "mailbox as the sender"),
        (
            Delivery { terms: MailTerms { require_tls: true, ..MailTerms::default() }, ..everybody() },
            "550 5.7.10 never",
            "does not pass REQUIRETLS on",
        ),
    ] {
        let stage = Stage::set(|_, _| Some((202, None, String::new()))).await;
        let report = stage.deliver(&delivery).await;
        assert_eq!(short(&report)[0], expected, "{}", detail(&report));
        assert!(detail(&report).contains(why), "{}", detail(&report));
        assert_eq!((stage.graph.seen().len(), stage.endpoint.seen().len(), report.attempts.len()), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_no_token() {
    let mut stage = Stage::set(|_, _| Some((202, None, String::new()))).await;
    stage.config.ca_file = None;
    let report = stage.deliver(&everybody()).await;
    assert_eq!(short(&report), ["451 4.4.1 later"; 3], "{}", detail(&report));
    assert_eq!(stage.graph.seen().len(), 0);
}
