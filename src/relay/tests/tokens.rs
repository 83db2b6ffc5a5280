//! Logging in with access tokens: a scripted token endpoint before a scripted next hop.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::web::{Said, Web};
use super::*;
use crate::secrets::SecretRef;

const SECRET: &str = "s3cret~of.the-app";
const USER: &str = "relay@acme.example";

/// A token that says which one it is.
pub(super) fn granted(token: &str) -> Said {
    Some((200, None, format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{token}"}}"#)))
}

pub(super) fn refused(status: u16, error: &str) -> Said {
    Some((status, None, format!(r#"{{"error":"{error}","error_description":"AADSTS1: not so."}}"#)))
}

/// A client secret in a file, and who uses it at this endpoint.
pub(super) fn oauth(endpoint: &Web, file: &tempfile::NamedTempFile) -> Arc<OAuthConfig> {
    Arc::new(OAuthConfig {
        token_url: format!("http://{}/tenant/token", endpoint.address).into(),
        client_id: "app".into(),
        user: USER.into(),
        scope: "https://outlook.office365.com/.default".into(),
        proof: OAuthProof::Secret(SecretRef::File(file.path().to_owned())),
    })
}

pub(super) fn secret_file(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

/// What the next hop is told with a token.
fn command(token: &str) -> String {
    format!("AUTH XOAUTH2 {}", crate::smtp::token_encoding(USER, token).as_str())
}

/// A next hop that takes one token and says 334, then 535 to others.
async fn hop_that_takes(token: &'static str) -> Hop {
    let right = command(token);
    let rule = move |line: &str, _: usize| match line {
        line if line == right => None,
        line if line.starts_with("AUTH") => Some(Act::Say("334 eyJzdGF0dXMiOiI0MDEifQ==")),
        "" => Some(Act::Say("535 5.7.3 Authentication unsuccessful")),
        _ => None,
    };
    Hop::start(Script::rule(rule).keywords(&["AUTH LOGIN XOAUTH2"])).await
}

fn relay(hop: &Hop, oauth: &Arc<OAuthConfig>) -> RelayConfig {
    RelayConfig { auth: Some(Auth::OAuth(Arc::clone(oauth))), ..config(hop) }
}

#[tokio::test]
async fn one_token_serves_many_connections_and_all_who_come_at_once() {
    let endpoint = Web::start(None, |_, _| granted("T1")).await;
    let (hop, file) = (hop_that_takes("T1").await, secret_file(SECRET));
    let (relays, oauth) = (relays(), oauth(&endpoint, &file));
    let config = RelayConfig {
        limits: RelayLimits { messages_per_connection: 1, ..RelayLimits::default() },
        ..with_connections(relay(&hop, &oauth), 8)
    };
    let mut deliveries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (relays, config) = (relays.clone(), config.clone());
        deliveries.spawn(async move { short(&deliver(&relays, config, &["x@y.example"]).await) });
    }
    for outcome in deliveries.join_all().await {
        assert_eq!(outcome, ["250"]);
    }
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].line.as_str(), seen[0].content_type.as_str()), ("POST /tenant/token", "application/x-www-form-urlencoded"));
    assert!(
        seen[0].body.contains("grant_type=client_credentials&client_id=app&") && seen[0].body.ends_with(&format!("client_secret={SECRET}"))
    );
    assert!(hop.count("AUTH XOAUTH2 ") >= 1);
}

#[tokio::test]
async fn a_refused_token_is_fetched_anew_once() {
    let endpoint = Web::start(None, |_, number| granted(if number == 1 { "T1" } else { "T2" })).await;
    let (hop, file, relays) = (hop_that_takes("T2").await, secret_file(SECRET), relays());
    let config = relay(&hop, &oauth(&endpoint, &file));
    let report = deliver(&relays, config, &["x@y.example"]).await;
    assert_eq!(short(&report), ["250"], "{}", detail(&report));
    assert_eq!((endpoint.seen().len(), hop.log().connections), (2, 1));
    assert_eq!((hop.count(&command("T1")), hop.count(&command("T2"))), (1, 1));
}

#[tokio::test]
async fn a_token_that_stays_refused_keeps_the_mail_and_makes_no_loop() {
    let endpoint = Web::start(None, |_, number| granted(&format!("T{number}"))).await;
    let (hop, file, relays) = (hop_that_takes("none").await, secret_file(SECRET), relays());
    let config = relay(&hop, &oauth(&endpoint, &file));
    for round in 0..20 {
        // What is held asks nobody anyway; an operator who ends the hold each time asks nobody more.
        relays.set_held("relay", false).await;
        let report = deliver(&relays, config.clone(), &["x@y.example"]).await;
        assert_eq!(short(&report), ["451 4.7.0 later"]);
        let said = format!("{report:?}");
        assert!(!said.contains(SECRET) && !said.contains("T1") && !said.contains("T2"), "{said}");
        let expected = if round == 0 { "the next hop refuses the access token for relay@acme.example" } else { "the next is tried in" };
        assert!(detail(&report).contains(expected), "{}", detail(&report));
    }
    assert_eq!((endpoint.seen().len(), hop.count("AUTH")), (2, 2), "one token, one more, and then a pause");
}

#[tokio::test]
async fn what_the_endpoint_says_is_told_and_it_is_not_hammered() {
    for (said, side, text) in [
        (refused(401, "invalid_client"), crate::failure::Side::Us, "gives no token: invalid_client: AADSTS1: not so."),
        (refused(400, "invalid_scope"), crate::failure::Side::Us, "gives no token: invalid_scope: AADSTS1: not so."),
        (Some((429, Some("30"), String::new())), crate::failure::Side::Relay, "gives no token: HTTP status 429"),
        (Some((503, None, "<html>".to_owned())), crate::failure::Side::Relay, "gives no token: HTTP status 503"),
        (Some((200, None, "<html>".to_owned())), crate::failure::Side::Relay, "is no token: it is not the JSON of RFC 6749"),
        (None, crate::failure::Side::Relay, "no token from http://"),
    ] {
        let answer = said.clone();
        let endpoint = Web::start(None, move |_, _| answer.clone()).await;
        let (hop, file, relays) = (hop_that_takes("T1").await, secret_file(SECRET), relays());
        let config = relay(&hop, &oauth(&endpoint, &file));
        let report = deliver(&relays, config.clone(), &["x@y.example"]).await;
        assert_eq!(short(&report), ["451 4.7.0 later"]);
        assert!(detail(&report).contains(text), "{said:?}: {}", detail(&report));
        let Outcome::Failed(failure) = &report.outcomes[0] else { panic!("{report:?}") };
        assert_eq!(failure.side, side, "{said:?}");
        for _ in 0..10 {
            relays.set_held("relay", false).await;
            assert_eq!(short(&deliver(&relays, config.clone(), &["x@y.example"]).await), ["451 4.7.0 later"]);
        }
        // One at once; another after a second, should this machine be so slow. A closed connection is tried twice.
        assert!(endpoint.seen().len() <= 2, "{said:?}: {}", endpoint.seen().len());
        assert_eq!(hop.count("AUTH"), 0);
    }
}

#[tokio::test]
async fn a_mended_client_secret_is_used_at_once() {
    let endpoint =
        Web::start(None, |seen, _| if seen.body.contains("client_secret=mended") { granted("T1") } else { refused(401, "invalid_client") })
            .await;
    let (hop, file, relays) = (hop_that_takes("T1").await, secret_file(SECRET), relays());
    let config = relay(&hop, &oauth(&endpoint, &file));
    for _ in 0..5 {
        relays.set_held("relay", false).await;
        assert_eq!(short(&deliver(&relays, config.clone(), &["x@y.example"]).await), ["451 4.7.0 later"]);
    }
    assert_eq!(endpoint.seen().len(), 1);
    relays.set_held("relay", false).await;
    std::fs::write(file.path(), r#"{"client_secret": "mended"}"#).unwrap();
    let report = deliver(&relays, config, &["x@y.example"]).await;
    assert_eq!(short(&report), ["250"], "{}", detail(&report));
}

#[tokio::test]
async fn without_xoauth2_nothing_is_asked_and_the_failure_names_what_is_offered() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let endpoint = Web::start(None, move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        granted("T1")
    })
    .await;
    let file = secret_file(SECRET);
    for (keywords, offers) in [(&["AUTH PLAIN LOGIN"][..], "it offers: PLAIN LOGIN"), (&[][..], "it offers: no AUTH at all")] {
        let hop = Hop::start(Script::default().keywords(keywords)).await;
        let report = deliver(&relays(), relay(&hop, &oauth(&endpoint, &file)), &["x@y.example"]).await;
        assert_eq!(short(&report), ["451 4.7.0 later"]);
        assert!(detail(&report).contains(offers), "{}", detail(&report));
        assert_eq!(hop.count("AUTH"), 0);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_next_hop_that_repeats_the_token_gets_it_into_no_report() {
    for reply in ["535 5.7.8 token T-hunter2 is wrong", "nonsense T-hunter2"] {
        let endpoint = Web::start(None, |_, _| granted("T-hunter2")).await;
        let rule = move |line: &str, _: usize| line.starts_with("AUTH").then_some(Act::Say(reply));
        let hop = Hop::start(Script::rule(rule).keywords(&["AUTH XOAUTH2"])).await;
        let file = secret_file(SECRET);
        let report = deliver(&relays(), relay(&hop, &oauth(&endpoint, &file)), &["x@y.example"]).await;
        let everything = format!("{report:?}");
        assert!(short(&report)[0].ends_with("later") && !everything.contains("hunter2"), "{everything}");
    }
}

#[tokio::test]
async fn an_assertion_stands_in_for_the_secret() {
    let endpoint = Web::start(None, |seen, _| {
        let is_assertion = seen.body.contains("client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer");
        if is_assertion && !seen.body.contains("client_secret") { granted("T1") } else { refused(401, "invalid_client") }
    })
    .await;
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["mx.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (hop, file) = (hop_that_takes("T1").await, secret_file(&(certificate.pem() + &key.serialize_pem())));
    let proof = OAuthProof::Certificate(SecretRef::File(file.path().to_owned()));
    let oauth = Arc::new(OAuthConfig { proof, ..(*oauth(&endpoint, &file)).clone() });
    let report = deliver(&relays(), relay(&hop, &oauth), &["x@y.example"]).await;
    assert_eq!(short(&report), ["250"], "{}", detail(&report));
}
