//! DKIM: what each situation is called.

use super::*;
use crate::authentication::Signed;
use crate::message::Author;
use crate::message::{DkimResult, DkimVerdict};

const MESSAGE: &str = concat!(
    "Received: from a by b\r\n",
    "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\n",
    "Subject:  two\r\n  lines \t of\r\n\ttext \r\n",
    "\r\n",
    "Hello  Bob,  \r\n\r\n .\r\n \t \r\n\r\n",
);
const TAGS: &str = "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=sel; h=from:to:subject";
const NAME: &str = "sel._domainkey.example.com";

async fn verdict(message: &str, zone: &Zone) -> DkimVerdict {
    let original = original(message);
    let signed = Signed::parse(&original);
    crate::authentication::dkim::examine(zone, &signed, &Author::read(&original), NOW).await
}

async fn result(message: &str, zone: &Zone) -> (DkimResult, String) {
    let verdict = verdict(message, zone).await;
    let reason = verdict.signatures.first().map_or(String::new(), |signature| signature.reason.to_string());
    (verdict.result, reason)
}

fn zone() -> Zone {
    Zone::of(&[(NAME, &key_record())])
}

#[tokio::test]
async fn a_good_signature_passes_in_every_form() {
    for form in ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed", "simple", "relaxed"] {
        for body in
            ["", "\r\n", " \r\n\t\r\n", "a", "a\r\n", "a \r\n\r\n", " a  b\t\r\n \r\n", "a\r\n \r\n\t\r\n", "\r\n\r\na\r\n", "\u{e4}\r\n"]
        {
            let message = format!("From: ann@example.com\r\nsubJect :\r\n  \u{e4}  x \r\n\ty\r\nX:\r\n\r\n{body}");
            let tags = TAGS.replace("relaxed/relaxed", form).replace("subject", "Subject:x:date:subject");
            assert_eq!(result(&sign(&message, &tags), &zone()).await, (DkimResult::Pass, String::new()), "{form} {body:?}");
        }
    }
}

#[tokio::test]
async fn what_the_tags_say() {
    use DkimResult::{Fail, Pass, Permerror};
    let past = format!("x={}", NOW - 301);
    let future = format!("t={}", NOW + 301);
    let times = format!("t={}; x={}", NOW - 1000, NOW + 1000);
    for (from, to, expected, reason) in [
        ("v=1", "v=1; x_unknown=1", Pass, ""),
        ("v=1", "v=1; q=dns/txt", Pass, ""),
        ("v=1", "v=1; i=ann@sub.example.com", Pass, ""),
        ("v=1; ", "", Permerror, "v= is missing"),
        ("v=1", "v=2", Permerror, "v= is not 1"),
        ("v=1", "v=1; v=1", Permerror, "not a tag list: a tag stands there twice"),
        ("v=1", "v=1;;", Permerror, "not a tag list: a tag without a value"),
        ("h=from:to:subject", "h=to:subject", Permerror, "h= does not name From"),
        ("h=from:to:subject", "h=from:from:to:to:subject:subject:date", Pass, ""),
        ("v=1", "v=1; i=ann@example.org", Permerror, "i= is not within d="),
        ("v=1", "v=1; q=dns/other", Permerror, "q= has no dns/txt"),
        ("c=relaxed/relaxed", "c=relaxed/other", Permerror, "c= is not known"),
        ("a=ed25519-sha256", "a=ed25519-sha512", Permerror, "a= is not known"),
        ("a=ed25519-sha256", "a=rsa-sha1", Permerror, "rsa-sha1 is not accepted any more"),
        ("a=ed25519-sha256", "a=rsa-sha256", Permerror, "the key is not for the algorithm of the signature"),
        ("v=1", &format!("v=1; {past}"), Permerror, "the signature has expired"),
        ("v=1", &format!("v=1; {future}"), Permerror, "the signature is from the future"),
        ("v=1", &format!("v=1; {times}"), Pass, ""),
        ("s=sel", "s=other", Permerror, "no key at other._domainkey.example.com"),
        ("v=1", "v=1; l=9", Pass, "content follows the signed part of the body (l=)"),
        ("v=1", "v=1; l=0", Pass, "content follows the signed part of the body (l=)"),
        ("v=1", "v=1; l=18", Pass, ""),
        ("v=1", "v=1; l=19", Permerror, "l= is more than the body has"),
        ("v=1", "v=1; bh=YQ==", Permerror, "not a tag list: a tag stands there twice"),
    ] {
        let message = sign(MESSAGE, &TAGS.replacen(from, to, 1));
        assert_eq!(result(&message, &zone()).await, (expected, reason.to_owned()), "{to}");
    }
    let signed = sign(MESSAGE, TAGS);
    assert_eq!(result(&signed.replace("bh=", "bh=AAAA"), &zone()).await, (Fail, "the body was changed".into()));
    assert_eq!(result(&signed.replace("; b=", "; b=*"), &zone()).await, (Permerror, "b= is not base64".into()));
    assert_eq!(result(&signed.replace("DKIM-Signature: ", "DKIM-Signature: \u{1}"), &zone()).await.0, Permerror);
}

#[tokio::test]
async fn what_happens_on_the_way() {
    use DkimResult::{Fail, None, Pass};
    let signed = sign(MESSAGE, TAGS);
    let b = signed.split("; b=").nth(1).unwrap().split("\r\n").next().unwrap();
    let (spaced, folded) = (format!(" {}\t{} ", &b[..5], &b[5..]), format!("\r\n {}\r\n\t{}", &b[..5], &b[5..]));
    for (from, to, expected) in [
        ("Hello  Bob", "Hello Bob", Pass),
        ("Hello  Bob", "Hello Eve", Fail),
        (" .\r\n", " .\r\n\r\n\r\n", Pass),
        (" .\r\n", " .\r\n.\r\n", Fail),
        ("Subject:  two\r\n", "SUBJECT:two\r\n", Pass),
        ("Subject:  two", "Subject:  three", Fail),
        ("Received: from a", "Received: from x", Pass),
        ("Received:", "X-New: y\r\nReceived:", Pass),
        // Chosen from below: one more at the bottom takes its place, one more on top does not.
        ("Received:", "From: eve@example.org\r\nReceived:", Pass),
        ("\r\n\r\nHello", "\r\nFrom: eve@example.org\r\n\r\nHello", Fail),
        ("b=", "b= ", Pass),
        (b, &spaced, Pass),
        (b, &folded, Pass),
        ("; b=", ";  b=", Pass),
        ("d=example.com", "d=example.com ", Fail),
        ("DKIM-Signature", "X-DKIM-Signature", None),
    ] {
        assert!(signed.contains(from), "{from}");
        let found = result(&signed.replacen(from, to, 1), &zone()).await;
        assert_eq!(found.0, expected, "{from:?} {to:?}: {}", found.1);
    }
    // A name that is signed once more than it is there: nobody may add one.
    let oversigned = sign(MESSAGE, &TAGS.replace("h=from", "h=from:from:dkim-signature"));
    assert_eq!(result(&oversigned, &zone()).await.0, Pass);
    assert_eq!(result(&oversigned.replacen("Received:", "From: eve@example.org\r\nReceived:", 1), &zone()).await.0, Fail);
}

#[tokio::test]
async fn what_the_key_says() {
    use DkimResult::{Pass, Permerror, Temperror};
    let key = key_record();
    let with = |tags: &str| key.replace("v=DKIM1;", &format!("v=DKIM1; {tags};"));
    let other = key.replace("p=", "p=AAAA").replace("=;", ";");
    for (records, expected, reason) in [
        (vec![with("t=y")], Pass, "the domain tries out DKIM (t=y)"),
        (vec![with("t=s")], Permerror, "the key allows no subdomain in i="),
        (vec![with("h=sha1")], Permerror, "the key is not for sha256: sel._domainkey.example.com"),
        (vec![with("s=other")], Permerror, "the key is not for mail: sel._domainkey.example.com"),
        (vec![with("s=*; h=sha256; n=x")], Pass, ""),
        (vec!["v=DKIM1; p=".to_owned()], Permerror, "the key is revoked: sel._domainkey.example.com"),
        (vec!["SERVFAIL".to_owned()], Temperror, "no key now: sel._domainkey.example.com: SERVFAIL"),
        (vec!["EMPTY".to_owned()], Permerror, "no key at sel._domainkey.example.com"),
        (vec!["v=spf1 -all".to_owned(), key.clone()], Pass, ""),
        (vec![other.clone(), key.clone()], Pass, ""),
        (vec![key.clone(), "v=DKIM1; p=".to_owned()], Pass, ""),
    ] {
        let mut zone = Zone::default();
        for record in &records {
            zone.add(NAME, record);
        }
        let message = sign(MESSAGE, &format!("{TAGS}; i=@x.example.com"));
        assert_eq!(result(&message, &zone).await, (expected, reason.to_owned()), "{records:?}");
    }
}

#[tokio::test]
async fn several_signatures() {
    use DkimResult::{Fail, Pass, Permerror, Policy, Temperror};
    let zone = Zone::of(&[(NAME, &key_record()), ("down._domainkey.example.com", "SERVFAIL")]);
    let one = |selector: &str| TAGS.replace("s=sel", &format!("s={selector}"));
    // Each signs what is below it, and is listed from the top.
    let message = sign(&sign(&sign(MESSAGE, TAGS), &one("down")), &one("none"));
    let found = verdict(&message, &zone).await;
    let results: Vec<DkimResult> = found.signatures.iter().map(|signature| signature.result).collect();
    assert_eq!((found.result, results), (Pass, vec![Permerror, Temperror, Pass]));
    let broken = message.replace("Hello  Bob", "Hello Eve");
    let found = verdict(&broken, &zone).await;
    let results: Vec<DkimResult> = found.signatures.iter().map(|signature| signature.result).collect();
    assert_eq!((found.result, results), (Temperror, vec![Permerror, Temperror, Fail]));
    assert_eq!(zone.asked().iter().filter(|name| *name == NAME).count(), 2, "once for each message");

    // A flood: the good one below is not reached, and the work ends.
    let flood = "DKIM-Signature: v=1\r\n".repeat(2000) + &sign(MESSAGE, TAGS);
    let found = verdict(&flood, &zone).await;
    assert_eq!((found.result, found.signatures.len()), (Policy, 11));
    assert_eq!(&*found.signatures[10].reason, "1991 more signatures were not looked at");
}

#[tokio::test]
async fn what_is_shown_of_a_signature() {
    let message = sign(MESSAGE, &format!("{TAGS}; i=Ann@Sub.example.com").replace("d=example.com", "d=Example.COM"));
    let found = verdict(&message, &zone()).await;
    let signature = &found.signatures[0];
    assert_eq!((&*signature.domain, &*signature.selector, &*signature.algorithm), ("example.com", "sel", "ed25519-sha256"));
    assert_eq!((signature.identity.as_deref(), signature.signature.len()), (Some("Ann@Sub.example.com"), 8));
    // Of what is broken nothing comes through that could end a header field or a log line.
    let broken = "DKIM-Signature: d=a\r\n b; s=\"; i=x\u{e4}@y; a=rsa\u{e4}(; b=\"(\\)\r\n abcdefgh\r\nFrom: a@b.example\r\n\r\n";
    let found = verdict(broken, &zone()).await;
    let signature = &found.signatures[0];
    assert_eq!((&*signature.domain, &*signature.selector, &*signature.algorithm), ("", "", "rsa"));
    assert_eq!((signature.identity.as_deref(), &*signature.signature), (Some("x?@y"), "abcdefgh"));
}

#[tokio::test]
async fn alignment_with_from() {
    let key = key_record();
    for (from, signer, records, expected, asked) in [
        ("example.com", "example.com", vec![], true, 1),
        ("example.com", "example.org", vec![], false, 1),
        // Without a record nobody says that they belong together.
        ("a.example.com", "example.com", vec![], false, 4),
        ("a.example.com", "example.com", vec![("_dmarc.example.com", "v=DMARC1; p=none")], true, 4),
        ("example.com", "b.a.example.com", vec![("_dmarc.example.com", "v=DMARC1; p=none")], true, 5),
        ("a.example.com", "b.example.com", vec![("_dmarc.example.com", "v=DMARC1; p=none")], true, 5),
        ("a.example.com", "b.example.com", vec![("_dmarc.com", "v=DMARC1; psd=n")], true, 5),
        ("example.com", "other.com", vec![("_dmarc.com", "v=DMARC1; psd=y")], false, 3),
        ("a.example.com", "b.other.com", vec![("_dmarc.com", "v=DMARC1; psd=y")], false, 4),
        ("a.example.com", "b.example.com", vec![("_dmarc.com", "v=DMARC1; psd=y")], true, 5),
        ("a.example.com", "example.com", vec![("_dmarc.example.com", "SERVFAIL")], false, 4),
        // Below its own organization the name is another one.
        ("example.com", "b.a.example.com", vec![("_dmarc.example.com", "v=DMARC1"), ("_dmarc.a.example.com", "v=DMARC1; psd=n")], false, 5),
    ] {
        let mut zone = Zone::of(&records);
        zone.add(&format!("sel._domainkey.{signer}"), &key);
        let message = MESSAGE.replace("ann@example.com", &format!("ann@{from}"));
        let found = verdict(&sign(&message, &TAGS.replace("d=example.com", &format!("d={signer}"))), &zone).await;
        assert_eq!((found.result, found.aligned), (DkimResult::Pass, expected), "{from} {signer} {records:?}");
        assert_eq!(zone.asked().len(), asked, "{from} {signer} {records:?}: {:?}", zone.asked());
    }
    // Who may have written the rest of the body is not known.
    let partial = verdict(&sign(MESSAGE, &format!("{TAGS}; l=5")), &zone()).await;
    assert_eq!((partial.result, partial.aligned), (DkimResult::Pass, false));
    // No author, no alignment.
    let two = verdict(&sign(&format!("From: a@example.com\r\n{MESSAGE}"), TAGS), &zone()).await;
    assert_eq!((two.result, two.aligned), (DkimResult::Pass, false));
}

#[tokio::test]
async fn a_large_body_with_many_lengths_is_hashed_elsewhere() {
    let body = "0123456789abcde\r\n".repeat(100_000);
    let mut message = format!("From: ann@example.com\r\n\r\n{body}");
    for length in 0..9 {
        message = sign(&message, &format!("{TAGS}; l={}", 100_000 * length));
    }
    let found = verdict(&message, &zone()).await;
    assert!(found.signatures.iter().all(|signature| signature.result == DkimResult::Pass), "{found:?}");
}

/// RFC 6376 §8.15: what is put above the signed fields leaves the signature valid, and is what many readers show.
#[tokio::test]
async fn fields_beside_signed_ones_speak_for_nobody() {
    let tags = TAGS.replace("subject", "subject:cc");
    let signed = sign(MESSAGE, &tags);
    for (added, is_aligned) in [
        ("", true),
        ("X-Other: a\r\n", true),
        ("Received: from c by d\r\n", true),
        // Not signed at all: that anybody may set it is known, and says nothing of the signature.
        ("Reply-To: eve@example.net\r\n", true),
        ("Subject: other\r\n", false),
        ("sUBJECT :\r\n other\r\n", false),
        ("To: eve@example.net\r\n", false),
    ] {
        let verdict = verdict(&format!("{added}{signed}"), &zone()).await;
        assert_eq!((verdict.result, verdict.aligned), (DkimResult::Pass, is_aligned), "{added}");
        let reason = &verdict.signatures[0].reason;
        assert_eq!(reason.is_empty(), is_aligned, "{reason}");
    }
    let oversigned = sign(MESSAGE, &tags.replace("subject", "subject:subject"));
    assert!(verdict(&oversigned, &zone()).await.aligned);
    // Of a field that was not there it was signed that there is none.
    for added in ["Subject: other\r\n", "Cc: eve@example.net\r\n"] {
        assert_eq!(verdict(&format!("{added}{oversigned}"), &zone()).await.result, DkimResult::Fail, "{added}");
    }
    let from = verdict(&format!("From: eve@example.net\r\n{signed}"), &zone()).await;
    assert_eq!((from.result, from.aligned), (DkimResult::Pass, false));
}
