//! Messages that dkimpy has signed, with keys made for them; kept with plain line ends.

use std::path::Path;

use super::*;
use crate::authentication::{Signed, arc, dkim};
use crate::message::Author;
use crate::message::{ArcResult, DkimResult};

fn message(name: &str) -> Original {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/authentication/tests/messages").join(format!("{name}.eml"));
    original(&std::fs::read_to_string(path).unwrap().replace('\n', "\r\n"))
}

fn keys() -> Zone {
    Zone::of(&include_str!("messages/keys.txt").lines().map(|line| line.split_once(' ').unwrap()).collect::<Vec<_>>())
}

async fn results(original: &Original) -> Vec<(DkimResult, String)> {
    let found = dkim::examine(&keys(), &Signed::parse(original), &Author::read(original), NOW).await;
    found.signatures.iter().map(|signature| (signature.result, signature.reason.to_string())).collect()
}

#[tokio::test]
async fn signatures() {
    use DkimResult::{Fail, Pass, Permerror, Policy};
    for (name, expected, reason) in [
        ("rsa_1024_simple_simple", Pass, ""),
        ("rsa_2048_relaxed_relaxed", Pass, ""),
        ("rsa_2048_pkcs1_simple_relaxed", Pass, ""),
        ("rsa_2048_length", Pass, ""),
        ("ed25519_relaxed_simple", Pass, ""),
        ("rsa_512", Policy, "an RSA key of 512 bits is not accepted"),
        ("rsa_sha1", Permerror, "rsa-sha1 is not accepted any more"),
    ] {
        let sound = message(name);
        assert_eq!(results(&sound).await, [(expected, reason.to_owned())], "{name}");
        let changed = original(&String::from_utf8_lossy(sound.data().head()).replace("Subject: ", "Subject: x"));
        let expected = if expected == Pass { Fail } else { expected };
        assert_eq!(results(&changed).await[0].0, expected, "{name}");
    }
    assert_eq!(results(&message("two_signatures")).await, vec![(Pass, String::new()); 2]);
    let longer = original(&(String::from_utf8_lossy(message("rsa_2048_length").data().head()).into_owned() + "Buy!\r\n"));
    assert_eq!(results(&longer).await, [(Pass, "content follows the signed part of the body (l=)".to_owned())]);
}

#[tokio::test]
async fn a_chain() {
    let sound = message("arc_two_sets");
    let found = arc::examine(&keys(), &Signed::parse(&sound), NOW).await;
    assert_eq!((found.result, found.instances, &*found.reason), (ArcResult::Pass, 2, ""));
    assert_eq!(found.sealers.join(" "), "example.com example.com");
    for (from, to) in [("Hello", "Hallo"), ("ARC-Authentication-Results: i=1; mx", "ARC-Authentication-Results: i=1; my")] {
        let changed = original(&String::from_utf8_lossy(sound.data().head()).replacen(from, to, 1));
        let found = arc::examine(&keys(), &Signed::parse(&changed), NOW).await;
        assert_eq!((found.result, found.is_temporary), (ArcResult::Fail, false), "{from}");
    }
}

/// `cargo test --release --lib signature_costs -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement"]
async fn what_one_signature_costs() {
    let text = String::from_utf8_lossy(message("rsa_2048_relaxed_relaxed").data().head()).into_owned();
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    // 5 KiB of body, whose hash is computed and then found different only after the key was asked for: both halves are timed apart.
    let large =
        original(&format!("{header}\r\n\r\n{body}{}", "Some words that fill a line of a message, seventy in all, or so.\r\n".repeat(76)));
    let sound = original(&text);
    let zone = keys();
    for (what, message) in [("all but 5 KiB of body", &sound), ("5 KiB of body, no RSA", &large)] {
        let begin = std::time::Instant::now();
        for _ in 0..10_000 {
            let signed = Signed::parse(message);
            let found = dkim::examine(&zone, &signed, &Author::read(message), NOW).await;
            assert_eq!(found.signatures.len(), 1);
        }
        println!("{what}: {:?}", begin.elapsed() / 10_000);
    }
}
