//! ARC: which chains hold.

use super::*;
use crate::authentication::Signed;
use crate::message::{ArcResult, ArcVerdict};

const MESSAGE: &str = "From: Ann <ann@example.com>\r\nTo: list@example.org\r\nSubject: hi\r\n\r\nHello\r\n";
const NAME: &str = "sel._domainkey.example.org";

/// One set; the parts in which tests differ.
#[derive(Clone)]
struct Set {
    results: String,
    message: String,
    seal: String,
}

impl Set {
    fn number(number: u32) -> Self {
        Self {
            results: format!("i={number}; mx.example.org; spf=pass"),
            message: format!("i={number}; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=sel; t=1; h=from:to:subject"),
            seal: format!("i={number}; a=ed25519-sha256; cv={}; d=example.org; s=sel; t=1", if number == 1 { "none" } else { "pass" }),
        }
    }

    fn with(mut self, from: &str, to: &str) -> Self {
        for text in [&mut self.results, &mut self.message, &mut self.seal] {
            *text = text.replace(from, to);
        }
        self
    }

    fn seal(mut self, from: &str, to: &str) -> Self {
        self.seal = self.seal.replace(from, to);
        self
    }

    fn message(mut self, from: &str, to: &str) -> Self {
        self.message = self.message.replace(from, to);
        self
    }
}

/// Adds sets to a message, each on top of those before.
fn chain(sets: &[Set]) -> String {
    let mut message = MESSAGE.to_owned();
    let mut below: Vec<String> = Vec::new();
    for set in sets {
        let results = format!("ARC-Authentication-Results: {}\r\n", set.results);
        let signature = sign_as(&format!("{results}{message}"), "ARC-Message-Signature", &set.message);
        let signature = fields(&signature)[0].clone();
        below.extend([results.clone(), signature.clone()]);
        let tags = format!("{}; b=", set.seal);
        let mut data: String = below.iter().map(|field| canonical_field(field, true)).collect();
        data.push_str(canonical_field(&format!("ARC-Seal: {tags}\r\n"), true).trim_end_matches("\r\n"));
        let seal = seal(data.as_bytes(), "ARC-Seal", &tags);
        below.push(seal.clone());
        message = format!("{seal}{signature}{results}{message}");
    }
    message
}

async fn verdict(message: &str, zone: &Zone) -> ArcVerdict {
    let original = original(message);
    crate::authentication::arc::examine(zone, &Signed::parse(&original), NOW).await
}

async fn result(message: &str) -> (ArcResult, String) {
    let found = verdict(message, &Zone::of(&[(NAME, &key_record())])).await;
    assert!(!found.is_temporary);
    (found.result, found.reason.to_string())
}

fn sets(count: u32) -> Vec<Set> {
    (1..=count).map(Set::number).collect()
}

#[tokio::test]
async fn chains_that_hold() {
    assert_eq!(result(MESSAGE).await, (ArcResult::None, String::new()));
    assert_eq!(result("").await.0, ArcResult::None);
    for count in [1, 2, 3, 50] {
        let zone = Zone::of(&[(NAME, &key_record())]);
        let found = verdict(&chain(&sets(count)), &zone).await;
        assert_eq!((found.result, found.instances, found.sealers.len(), &*found.reason), (ArcResult::Pass, count, count as usize, ""));
        assert_eq!(zone.asked(), [NAME]);
    }
    for set in [
        Set::number(1).with("i=1", " i = 1 "),
        Set::number(1).with("i=1", "i=01"),
        Set::number(1).message("c=relaxed/relaxed", "c=simple/simple"),
        Set::number(1).message("c=relaxed/relaxed; ", ""),
        Set::number(1).message("h=from:to:subject", "h="),
        Set::number(1).message("h=from:to:subject", "h=From : to::\r\n\tsubject"),
        Set::number(1).message("subject", "subject:arc-authentication-results:arc-message-signature:x"),
        Set::number(1).message("t=1", "x_unknown=1"),
        Set::number(1).seal("t=1", "x_unknown=1; other=2"),
        Set::number(1).with("t=1; ", "").seal("t=1", "v=1"),
    ] {
        let message = chain(std::slice::from_ref(&set));
        assert_eq!(result(&message).await, (ArcResult::Pass, String::new()), "{message}");
    }
}

#[tokio::test]
async fn changes_on_the_way() {
    let message = chain(&sets(3));
    for (from, to, expected) in [
        ("Hello", "Hello!", ArcResult::Fail),
        ("Subject: hi", "Subject: ho", ArcResult::Fail),
        ("i=2; mx.example.org; spf=pass", "i=2; mx.example.org; spf=fail", ArcResult::Fail),
        ("cv=none; d=example.org; s=sel; t=1", "cv=none; d=example.org; s=sel; t=2", ArcResult::Fail),
        ("ARC-Seal: i=1; ", "ARC-SEAL:  i=1;\r\n ", ArcResult::Pass),
        ("From:", "X-New: y\r\nFrom:", ArcResult::Pass),
    ] {
        assert!(message.contains(from));
        assert_eq!(result(&message.replacen(from, to, 1)).await.0, expected, "{from}");
    }
    // The next one changed the subject: only the last message signature is to fit.
    let changed = {
        let first = chain(&sets(1)).replace("Subject: hi", "Subject: [list] hi");
        let found = result(&first).await;
        assert_eq!(found.0, ArcResult::Fail, "{}", found.1);
        first
    };
    assert!(changed.contains("[list]"));
}

#[tokio::test]
async fn chains_that_do_not_hold() {
    let second = || Set::number(2);
    for (sets, reason) in [
        (vec![Set::number(1).seal("cv=none", "cv=pass")], "ARC-Seal 1: cv= is not what it must be there"),
        (vec![Set::number(1), second().seal("cv=pass", "cv=none")], "ARC-Seal 2: cv= is not what it must be there"),
        (vec![Set::number(1), second().seal("cv=pass", "cv=fail")], "the last seal says that the chain was broken before"),
        (vec![Set::number(1).seal("cv=none", "cv=fail"), second()], "ARC-Seal 1: cv= is not what it must be there"),
        (vec![Set::number(1).seal("cv=none", "cv=other")], "ARC-Seal 1: cv= is missing or not known"),
        (vec![Set::number(1).seal("cv=none; ", "")], "ARC-Seal 1: cv= is missing or not known"),
        (vec![Set::number(1).seal("t=1", "h=from")], "ARC-Seal 1: h= may not be there"),
        (vec![Set::number(1).seal("a=ed25519-sha256", "a=rsa-poem")], "ARC-Seal 1: a= is not known"),
        (vec![Set::number(1).seal("a=ed25519-sha256; ", "")], "ARC-Seal 1: a= is missing"),
        (vec![Set::number(1).seal("d=example.org; ", "")], "ARC-Seal 1: d= is missing"),
        (vec![Set::number(1).seal("s=sel", "S=sel")], "ARC-Seal 1: s= is missing"),
        (vec![Set::number(1).seal("t=1", "t=1; t=1")], "an ARC-Seal is not a tag list: a tag stands there twice"),
        (vec![Set::number(1).seal("t=1", "t=1;")], "an ARC-Seal is not a tag list: a tag without a value"),
        (vec![Set::number(1).seal("t=1", "_=1")], "an ARC-Seal is not a tag list: a tag without a proper name"),
        (vec![Set::number(1).message("from:to", "to")], "the last ARC-Message-Signature: h= does not name From"),
        (vec![Set::number(1).message("from:", "from:arc-seal:")], "the last ARC-Message-Signature: h= names ARC-Seal"),
        (vec![Set::number(1).message("t=1", "x=2")], "ARC-Message-Signature: the signature has expired"),
        (vec![Set::number(1).message("t=1", "l=3")], "ARC-Message-Signature: content follows the signed part of the body (l=)"),
        (
            vec![Set::number(1).message("a=ed25519-sha256", "a=rsa-sha256")],
            "ARC-Message-Signature: the key is not for the algorithm of the signature",
        ),
        (vec![Set::number(1).seal("s=sel", "s=none")], "ARC-Seal: no key at none._domainkey.example.org"),
        (vec![Set::number(1).with("i=1", "i=0")], "an ARC-Authentication-Results has no proper i="),
        (vec![Set::number(1).message("i=1", "i=x")], "an ARC-Message-Signature has no proper i="),
        (vec![Set::number(1).seal("i=1; ", "")], "an ARC-Seal has no proper i="),
        (vec![Set::number(1).with("i=1", "i=2")], "the ARC-Authentication-Results of set 2 has none below"),
        (vec![Set::number(1), second().with("i=2", "i=1")], "set 1 has several ARC-Authentication-Results"),
        (vec![Set::number(1), second().with("i=2", "i=3")], "the ARC-Authentication-Results of set 3 has none below"),
        (vec![Set::number(1), second().seal("i=2", "i=1")], "set 1 has several ARC-Seal"),
    ] {
        let message = chain(&sets);
        assert_eq!(result(&message).await, (ArcResult::Fail, reason.to_owned()), "{message}");
    }
    let whole = chain(&sets(2));
    for (number, kind) in [(1, "ARC-Seal"), (2, "ARC-Seal"), (1, "ARC-Message-Signature"), (2, "ARC-Authentication-Results")] {
        let hidden = whole.replace(&format!("{kind}: i={number}"), &format!("X-{kind}: i={number}"));
        assert_eq!(result(&hidden).await, (ArcResult::Fail, format!("set {number} is not complete")), "{kind}");
    }
    let long = "ARC-Seal: i=1\r\n".repeat(3000) + MESSAGE;
    assert_eq!(result(&long).await, (ArcResult::Fail, "the chain has too many sets".into()));
    let seal_only = "ARC-Seal: i=1; cv=none; a=ed25519-sha256; d=a.example; s=s; b=YQ==\r\n".to_owned() + MESSAGE;
    assert_eq!(result(&seal_only).await, (ArcResult::Fail, "set 1 is not complete".into()));
}

#[tokio::test]
async fn trouble_with_dns_is_temporary_unless_something_is_broken_for_good() {
    let sets = [Set::number(1), Set::number(2).seal("s=sel", "s=down")];
    let zone = Zone::of(&[(NAME, &key_record()), ("down._domainkey.example.org", "SERVFAIL")]);
    let message = chain(&sets);
    let found = verdict(&message, &zone).await;
    assert_eq!((found.result, found.is_temporary), (ArcResult::Fail, true));
    assert_eq!(&*found.reason, "ARC-Seal: no key now: down._domainkey.example.org: SERVFAIL");
    let found = verdict(&message.replace("Hello", "Hi"), &zone).await;
    assert_eq!((found.result, found.is_temporary), (ArcResult::Fail, false));
    let found = verdict(&message.replace("i=1; mx.example.org", "i=1; mx.example.net"), &zone).await;
    assert_eq!((found.result, found.is_temporary), (ArcResult::Fail, false));
}
