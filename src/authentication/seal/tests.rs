use std::cell::RefCell;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const MESSAGE: &str = "ARC-Seal: i=1; a=rsa-sha256; cv=none;\r\n\tb=c2Vh\r\n\tbA==\r\nARC-Message-Signature: i=1; b=YQ==\r\n\
    ARC-Authentication-Results: i=1; far.example; spf=pass\r\nReceived: from a\r\nDKIM-Signature: v=1; d=one\r\n\
    from: A  <a@x.example>\r\nDKIM-Signature: v=1; d=two\r\nSubject: hello\r\n\tworld\r\nX-Other: y\r\n\r\nBody  text \r\n\r\n";

fn original(text: &str) -> Original {
    Original::parse(Bytes::copy_from_slice(text.as_bytes())).expect("small")
}

fn verdict(result: ArcResult, instances: u32, is_temporary: bool) -> ArcVerdict {
    ArcVerdict { result, instances, sealers: Box::default(), is_temporary, reason: "".into(), asked: Box::default() }
}

/// What came of it, and the octets that were signed.
fn sealed(original: &Original, edits: &Edits, verdict: Option<&ArcVerdict>) -> (Sealed, Vec<String>) {
    let asked = RefCell::new(Vec::new());
    let sign = |octets: &[u8]| {
        asked.borrow_mut().push(String::from_utf8_lossy(octets).into_owned());
        Some(vec![0xff; 100])
    };
    let results = |instance: u32| Bytes::from(format!("ARC-Authentication-Results: i={instance}; mx.example;\r\n\tarc=pass\r\n"));
    let sealer = Sealer { domain: "acme.example", selector: "s1", unix_seconds: 1_795_276_800, sign: &sign, results: &results };
    let sealed = sealer.seal(original, edits, BodyHash::of(original), verdict);
    (sealed, asked.into_inner())
}

fn text(sealed: Sealed) -> String {
    let Sealed::Fields(fields) = sealed else { panic!("{sealed:?}") };
    String::from_utf8(fields.to_vec()).expect("ASCII")
}

#[test]
fn a_seal_covers_the_message_as_it_goes_out_and_the_chain_before_it() {
    let original = original(MESSAGE);
    let mut edits = Edits::default();
    edits.prefix_subject(&original, "[EXT] ");
    edits.add_header("Reply-To", "r@x.example");
    let (sealed, asked) = sealed(&original, &edits, Some(&verdict(ArcResult::Pass, 1, false)));
    let signature = format!("{}\r\n\t {}", "/".repeat(72), "/".repeat(61) + "w==");
    let hash = STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"Body text\r\n").as_ref());
    assert_eq!(
        text(sealed),
        format!(
            "ARC-Seal: i=2; a=rsa-sha256; t=1795276800; cv=pass;\r\n\td=acme.example; s=s1;\r\n\tb={signature}\r\n\
             ARC-Message-Signature: i=2; a=rsa-sha256; c=relaxed/relaxed;\r\n\td=acme.example; s=s1;\r\n\tt=1795276800;\r\n\
             \th=From:Reply-To:Subject:DKIM-Signature:DKIM-Signature:From;\r\n\tbh={hash};\r\n\tb={signature}\r\n\
             ARC-Authentication-Results: i=2; mx.example;\r\n\tarc=pass\r\n"
        )
    );
    let own = format!(
        "arc-message-signature:i=2; a=rsa-sha256; c=relaxed/relaxed; d=acme.example; s=s1; t=1795276800; \
         h=From:Reply-To:Subject:DKIM-Signature:DKIM-Signature:From; bh={hash}; b="
    );
    let [message, chain] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(
        *message,
        format!(
            "from:A <a@x.example>\r\nreply-to:r@x.example\r\nsubject:[EXT] hello world\r\ndkim-signature:v=1; d=two\r\n\
             dkim-signature:v=1; d=one\r\n{own}"
        )
    );
    assert_eq!(
        *chain,
        format!(
            "arc-authentication-results:i=1; far.example; spf=pass\r\narc-message-signature:i=1; b=YQ==\r\n\
             arc-seal:i=1; a=rsa-sha256; cv=none; b=c2Vh bA==\r\narc-authentication-results:i=2; mx.example; arc=pass\r\n\
             {own}{}\r\narc-seal:i=2; a=rsa-sha256; t=1795276800; cv=pass; d=acme.example; s=s1; b=",
            signature.replace("\r\n\t ", " ")
        )
    );
}

#[test]
fn what_is_said_of_the_chain_follows_from_the_verdict_and_the_header() {
    let no_chain = "From: a@x.example\r\n\r\n";
    let broken = MESSAGE.replace("ARC-Message-Signature: i=1", "ARC-Message-Signature: i=7");
    let ended = MESSAGE.replace("cv=none", "cv=fail");
    let full = MESSAGE.replace("i=1;", "i=50;");
    let (pass, fail, temporary) =
        (verdict(ArcResult::Pass, 1, false), verdict(ArcResult::Fail, 1, false), verdict(ArcResult::Fail, 1, true));
    let none = verdict(ArcResult::None, 0, false);
    for (message, verdict, expected) in [
        (no_chain, None, Ok((1, "none"))),
        (no_chain, Some(&none), Ok((1, "none"))),
        (MESSAGE, Some(&pass), Ok((2, "pass"))),
        (MESSAGE, Some(&fail), Ok((2, "fail"))),
        (MESSAGE, Some(&none), Ok((2, "fail"))),
        (MESSAGE, Some(&temporary), Err(Unsealed::Unknown)),
        (MESSAGE, None, Err(Unsealed::Unknown)),
        (&broken, Some(&pass), Ok((8, "fail"))),
        (&broken, Some(&temporary), Ok((8, "fail"))),
        (&ended, Some(&pass), Err(Unsealed::Ended)),
        (&ended, Some(&fail), Err(Unsealed::Ended)),
        (&full, Some(&pass), Err(Unsealed::Full)),
    ] {
        let (sealed, asked) = sealed(&original(message), &Edits::default(), verdict);
        match expected {
            Ok((instance, validation)) => {
                let fields = text(sealed);
                assert!(fields.starts_with(&format!("ARC-Seal: i={instance}; a=rsa-sha256; t=1795276800; cv={validation};")), "{fields}");
                // RFC 8617 §5.1.2: the broken part is not covered.
                assert_eq!(asked[1].contains("far.example"), validation == "pass", "{asked:?}");
            }
            Err(unsealed) => assert_eq!(sealed, Sealed::Unsealed(unsealed), "{message}"),
        }
    }
}

#[test]
fn a_chain_that_a_rule_took_off_is_none_and_one_that_it_cut_is_broken() {
    let original = original(MESSAGE);
    let pass = verdict(ArcResult::Pass, 1, false);
    let mut edits = Edits::default();
    edits.remove_header(&original, "ARC-Seal");
    assert!(text(sealed(&original, &edits, Some(&pass)).0).contains("i=2; a=rsa-sha256; t=1795276800; cv=fail"));
    edits.remove_header(&original, "ARC-Message-Signature");
    edits.remove_header(&original, "ARC-Authentication-Results");
    assert!(text(sealed(&original, &edits, Some(&pass)).0).contains("i=1; a=rsa-sha256; t=1795276800; cv=none"));
}

#[test]
fn a_key_that_cannot_sign_gives_no_half_seal() {
    let message = original(MESSAGE);
    let results = |_: u32| Bytes::new();
    let sealer = Sealer { domain: "a", selector: "s", unix_seconds: 0, sign: &|_| None, results: &results };
    let pass = verdict(ArcResult::Pass, 1, false);
    assert_eq!(sealer.seal(&message, &Edits::default(), BodyHash::of(&message), Some(&pass)), Sealed::Failed);
}

proptest! {
    #[test]
    fn a_seal_is_three_fields_of_short_lines(header in "((ARC-Seal|ARC-Message-Signature|arc-authentication-results|From|DKIM-Signature|Subject):[ -~]{0,20}\r\n){0,30}") {
        let message = original(&format!("{header}\r\nbody"));
        if let (Sealed::Fields(fields), _) = sealed(&message, &Edits::default(), Some(&verdict(ArcResult::Fail, 1, false))) {
            prop_assert_eq!(Original::parse(fields.clone()).expect("small").fields().len(), 3);
            let text = String::from_utf8(fields.to_vec()).expect("ASCII");
            prop_assert!(text.lines().all(|line| line.len() <= 78), "{}", text);
        }
    }
}
