//! JSON services: the request as docs/analyzers.md shows it, and what is read of an answer.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::liar::{Liar, answer};
use crate::{Mail, PLAIN, analyzers, no_dns, shown};

/// A service that gives one answer, and what it was asked last: head and JSON.
fn service(body: &str) -> (Liar, Arc<Mutex<(String, Value)>>) {
    let asked = Arc::new(Mutex::default());
    let (kept, body) = (Arc::clone(&asked), body.to_owned());
    let liar = Liar::http(move |request| {
        *kept.lock().unwrap() = (request.head.clone(), serde_json::from_slice(&request.body).unwrap());
        answer(200, &body)
    });
    (liar, asked)
}

/// The JSON blocks of the page, in order.
fn page() -> Vec<Value> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/analyzers.md")).unwrap();
    let blocks = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|block| serde_json::from_str(block).unwrap()).collect()
}

#[tokio::test]
async fn the_request_and_the_answer_are_those_of_the_page() {
    let [request, response] = <[Value; 2]>::try_from(page()).unwrap();
    let (liar, asked) = service(&response.to_string());
    let fields = "fields: { category: string, score: number, is_passed: boolean, verdict: verdict }";
    let hook = analyzers(&format!("  a: {{ type: http, url: \"http://{}/analyze?tenant=7\", send: message, {fields} }}", liar.address));
    let mut mail = Mail::with_message("From: alice@sender.example\r\nSubject: Minutes\r\n of Monday\r\n\r\nHello Bob.\r\n");
    mail.session.login = Some("carol".into());
    let found = mail.ask(&hook, &no_dns()).await.unwrap();
    assert_eq!(shown(&found), "category=[\"newsletter\", \"finance\"] is_passed=true score=2.5 verdict=gray");
    let (head, mut told) = asked.lock().unwrap().clone();
    assert!(head.starts_with("POST /analyze?tenant=7 HTTP/1.1\r\n") && head.contains("content-type: application/json\r\n"), "{head}");
    // The page has an id of its own.
    told["id"] = request["id"].clone();
    assert_eq!(told, request, "docs/analyzers.md should show:\n{}", serde_json::to_string_pretty(&told).unwrap());
}

#[tokio::test]
async fn a_hook_is_told_no_more_than_it_may_know() {
    let (liar, asked) = service("{\"n\": 1}");
    let hook =
        |send: &str| analyzers(&format!("  a: {{ type: http, url: \"http://{}\", send: {send}, fields: {{ n: number }} }}", liar.address));
    let told = || asked.lock().unwrap().1.clone();
    let with = Mail::with_message([PLAIN.as_bytes(), b"\xff\r\n"].concat());
    for (send, keys) in [("facts", &["size"][..]), ("headers", &["size", "headers"]), ("message", &["size", "headers", "raw_base64"])] {
        assert_eq!(shown(&with.ask(&hook(send), &no_dns()).await.unwrap()), "n=1");
        let message = told()["message"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            (message.as_slice(), &told()["stage"]),
            (keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>().as_slice(), &"message".into())
        );
    }
    assert_eq!(told()["message"]["headers"][2], serde_json::json!(["Subject", "Minutes of Monday"]));
    // Before there is a message.
    let mut without = Mail::from_client("2001:db8::7").from("").helo("");
    without.session.tls = None;
    without.session.client_host = None;
    assert_eq!(shown(&without.ask(&hook("facts"), &no_dns()).await.unwrap()), "n=1");
    let expected = serde_json::json!({ "ip": "2001:db8::7", "helo": "" });
    assert_eq!(
        (&told()["stage"], &told()["client"], &told()["mail_from"], told().get("message")),
        (&"recipient".into(), &expected, &"".into(), None)
    );
    assert_eq!(without.ask(&hook("headers"), &no_dns()).await.unwrap_err(), "there is no message yet");
}

#[tokio::test]
async fn only_declared_fields_of_the_declared_type_are_read() {
    let fields = "fields: { t: string, n: number, b: boolean, v: verdict }";
    for (body, expected) in [
        (r#"{"fields":{"t":"x","n":-1,"b":false,"v":"PASS","more":[{}]},"t":"not this"}"#, Ok("b=false n=-1 t=[\"x\"] v=pass")),
        (r#"{"t":["x","Ä"],"n":2.5,"b":null}"#, Ok("n=2.5 t=[\"x\", \"Ä\"]")),
        (r#"{}"#, Ok("")),
        (r#"{"fields":{}}"#, Ok("")),
        (r#"{"t":[]}"#, Ok("t=[]")),
        (r#"{"v":"processing_failed"}"#, Ok("v=processing_failed")),
        (r#"{"t":1}"#, Err("the field `t` is not a text")),
        (r#"{"t":["x",1]}"#, Err("the field `t` is not a text")),
        (r#"{"n":"1"}"#, Err("the field `n` is not a number")),
        (r#"{"n":true}"#, Err("the field `n` is not a number")),
        (r#"{"b":1}"#, Err("the field `b` is not true or false")),
        (r#"{"b":"true"}"#, Err("the field `b` is not true or false")),
        (r#"{"v":"maybe"}"#, Err("the field `v` is not a verdict")),
        (r#"{"fields":[]}"#, Err("not an object")),
        (r#"[]"#, Err("not an object")),
        (r#""x""#, Err("not an object")),
    ] {
        let (liar, _) = service(body);
        let hook = analyzers(&format!("  a: {{ type: http, url: \"http://{}\", {fields} }}", liar.address));
        let answer = Mail::from_client("192.0.2.1").ask(&hook, &no_dns()).await.map(|found| shown(&found));
        match expected {
            Ok(expected) => assert_eq!(answer.as_deref(), Ok(expected), "{body}"),
            Err(why) => assert!(answer.as_ref().is_err_and(|error| error.contains(why)), "{body}: {answer:?}"),
        }
    }
    let (liar, _) = service(&format!("{{\"t\":{:?}}}", vec!["x"; 101]));
    let hook = analyzers(&format!("  a: {{ type: http, url: \"http://{}\", {fields} }}", liar.address));
    assert!(Mail::from_client("192.0.2.1").ask(&hook, &no_dns()).await.is_err());
}

#[tokio::test]
async fn connections_are_kept_and_one_that_was_closed_is_opened_again() {
    let (liar, _) = service("{\"n\": 1}");
    let hook = analyzers(&format!("  a: {{ type: http, url: \"http://{}\", fields: {{ n: number }} }}", liar.address));
    for _ in 0..5 {
        Mail::from_client("192.0.2.1").ask(&hook, &no_dns()).await.unwrap();
    }
    assert_eq!(liar.connections(), 1);
    // One that closes without a word when it is used again.
    let (used, again) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let (counter, second) = (Arc::clone(&used), Arc::clone(&again));
    let closing = Liar::start(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut reader = std::io::BufReader::new(stream);
        crate::liar::request(&mut reader).unwrap();
        *counter.lock().unwrap() += 1;
        std::io::Write::write_all(&mut writer, &answer(200, "{\"n\": 2}")).unwrap();
        *second.lock().unwrap() += usize::from(crate::liar::request(&mut reader).is_some());
    });
    let hook = analyzers(&format!("  a: {{ type: http, url: \"http://{}\", fields: {{ n: number }} }}", closing.address));
    for _ in 0..3 {
        assert_eq!(shown(&Mail::from_client("192.0.2.1").ask(&hook, &no_dns()).await.unwrap()), "n=2");
    }
    assert_eq!(*used.lock().unwrap(), 3);
    assert!(*again.lock().unwrap() >= 1, "no connection was used again");
}

#[tokio::test]
async fn https_believes_the_named_ca_and_no_other() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let service = Liar::start(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut reader = std::io::BufReader::new(rustls::StreamOwned::new(connection, stream));
        while crate::liar::request(&mut reader).is_some() {
            std::io::Write::write_all(reader.get_mut(), &answer(200, "{\"n\": 3}")).unwrap();
        }
    });
    let folder = crate::common::temporary_folder();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, pem) in [("ours.pem", made.cert.pem()), ("other.pem", other.cert.pem())] {
        std::fs::write(folder.path().join(name), pem).unwrap();
    }
    let port = service.address.port();
    let ca = |name: &str| format!(", ca: \"{}\"", folder.path().join(name).display());
    for (host, ca, is_good) in [
        ("localhost", ca("ours.pem"), true),
        ("127.0.0.1", ca("ours.pem"), false),
        ("localhost", ca("other.pem"), false),
        ("localhost", String::new(), false),
    ] {
        let hook = analyzers(&format!("  a: {{ type: http, url: \"https://{host}:{port}\", fields: {{ n: number }}{ca}, timeout: 60s }}"));
        let answer = Mail::from_client("192.0.2.1").ask(&hook, &no_dns()).await.map(|found| shown(&found));
        match is_good {
            true => assert_eq!(answer.as_deref(), Ok("n=3")),
            false => assert!(answer.as_ref().is_err_and(|why| why.contains("certificate")), "{host}{ca}: {answer:?}"),
        }
    }
}
