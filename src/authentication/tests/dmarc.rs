//! DMARC: records, policies, alignment.

use super::*;
use crate::authentication::dmarc::{examine, records};
use crate::message::Author;
use crate::message::{DkimResult, DkimSignature, DkimVerdict, DmarcPolicy, DmarcResult, DmarcVerdict, SpfResult, SpfVerdict};

fn dkim(signatures: &[(DkimResult, &str, bool)]) -> DkimVerdict {
    let signature = |(result, domain, aligned): &(DkimResult, &str, bool)| DkimSignature {
        result: *result,
        domain: (*domain).into(),
        selector: "s".into(),
        identity: None,
        algorithm: "rsa-sha256".into(),
        signature: "".into(),
        aligned: *aligned,
        reason: "".into(),
    };
    DkimVerdict { result: DkimResult::None, aligned: false, signatures: signatures.iter().map(signature).collect(), asked: Box::default() }
}

async fn check(from: &str, zone: &Zone, spf: &SpfVerdict, dkim: &DkimVerdict) -> DmarcVerdict {
    let original = original(&format!("From: a@{from}\r\n\r\n"));
    let author = Author::read(&original);
    examine(zone, records(zone, &author).await, &author, spf, dkim).await
}

/// Without anything that is authenticated.
async fn failed(from: &str, zone: &Zone) -> DmarcVerdict {
    check(from, zone, &SpfVerdict::of(SpfResult::Fail, from), &dkim(&[(DkimResult::Fail, from, true)])).await
}

#[tokio::test]
async fn which_record_applies_and_what_it_asks_for() {
    use DmarcPolicy::{Absent, None, Quarantine, Reject};
    let below = "_dmarc.mail.example.com";
    let own = "_dmarc.example.com";
    for (from, records, policy, effective, domain) in [
        ("example.com", vec![], Absent, Absent, ""),
        ("example.com", vec![(own, "v=DMARC1; p=none")], None, None, "example.com"),
        ("example.com", vec![(own, "v=DMARC1;p=quarantine")], Quarantine, Quarantine, "example.com"),
        ("example.com", vec![(own, "v = DMARC1 ; p = Reject ; sp=none")], Reject, Reject, "example.com"),
        ("example.com", vec![(own, "v=DMARC1; p=reject; t=y")], Reject, Quarantine, "example.com"),
        ("example.com", vec![(own, "v=DMARC1; p=quarantine; t=y")], Quarantine, None, "example.com"),
        ("example.com", vec![(own, "v=DMARC1; p=reject; t=x; pct=0")], Reject, Reject, "example.com"),
        // Malformed: no record, or one that only wants reports.
        ("example.com", vec![(own, "p=reject; v=DMARC1")], Absent, Absent, ""),
        ("example.com", vec![(own, " v=DMARC1; p=reject")], Absent, Absent, ""),
        ("example.com", vec![(own, "v=DMARC10; p=reject")], Absent, Absent, ""),
        ("example.com", vec![(own, "v=dmarc1; p=reject")], Absent, Absent, ""),
        ("example.com", vec![(own, "v=DMARC1 p=reject")], Absent, Absent, ""),
        ("example.com", vec![(own, "v=DMARC1; p=other")], Absent, Absent, ""),
        ("example.com", vec![(own, "v=DMARC1")], Absent, Absent, ""),
        ("example.com", vec![(own, "v=DMARC1; p=other; rua=mailto:a@b.example")], None, None, "example.com"),
        ("example.com", vec![(own, "v=DMARC1; rua=mailto:a@b.example!10m, x")], None, None, "example.com"),
        ("example.com", vec![(own, "v=DMARC1; rua=https://b.example")], Absent, Absent, ""),
        ("example.com", vec![(own, "v=DMARC1; p=reject; sp=other")], Absent, Absent, ""),
        ("example.com", vec![(own, "v=DMARC1; p=reject; p=none")], Absent, Absent, ""),
        ("example.com", vec![(own, "v=DMARC1; p=reject; adkim=x; garbage; fo=?;;")], Reject, Reject, "example.com"),
        // Two are none; what is of something else does not count.
        ("example.com", vec![(own, "v=DMARC1; p=reject"), (own, "v=DMARC1; p=none")], Absent, Absent, ""),
        ("example.com", vec![(own, "v=spf1 -all"), (own, "v=DMARC1; p=reject")], Reject, Reject, "example.com"),
        (
            "mail.example.com",
            vec![(below, "v=DMARC1; p=none"), (below, "v=DMARC1; p=none"), (own, "v=DMARC1; p=reject")],
            Reject,
            Reject,
            "example.com",
        ),
        // Of a subdomain: its own, else that of the organization.
        ("mail.example.com", vec![(below, "v=DMARC1; p=none"), (own, "v=DMARC1; p=reject")], None, None, "mail.example.com"),
        ("mail.example.com", vec![(own, "v=DMARC1; p=reject"), (below, "EMPTY")], Reject, Reject, "example.com"),
        (
            "mail.example.com",
            vec![("x.mail.example.com", "x"), (own, "v=DMARC1; p=reject; sp=quarantine; np=none")],
            Quarantine,
            Quarantine,
            "example.com",
        ),
        ("mail.example.com", vec![(own, "v=DMARC1; p=reject; sp=quarantine; np=none")], None, None, "example.com"),
        ("mail.example.com", vec![(own, "v=DMARC1; p=none; np=reject; t=y")], Reject, Quarantine, "example.com"),
        ("mail.example.com", vec![(own, "v=DMARC1; p=none; sp=reject")], Reject, Reject, "example.com"),
        ("mail.example.com", vec![("_dmarc.com", "v=DMARC1; p=reject; psd=y")], Reject, Reject, "com"),
        ("mail.example.com", vec![("_dmarc.com", "v=DMARC1; p=reject; psd=y"), (own, "v=DMARC1; p=none")], None, None, "example.com"),
        (
            "a.mail.example.com",
            vec![(below, "v=DMARC1; p=quarantine; psd=n"), (own, "v=DMARC1; p=reject")],
            Quarantine,
            Quarantine,
            "mail.example.com",
        ),
        ("a.mail.example.com", vec![(below, "v=DMARC1; p=quarantine"), (own, "v=DMARC1; p=reject")], Reject, Reject, "example.com"),
    ] {
        let found = failed(from, &Zone::of(&records)).await;
        let expected = if policy == Absent { DmarcResult::None } else { DmarcResult::Fail };
        assert_eq!(
            (found.result, found.policy, found.effective, &*found.policy_domain),
            (expected, policy, effective, domain),
            "{from} {records:?}"
        );
        assert_eq!((&*found.from_domain, found.record.is_empty()), (from, policy == Absent), "{records:?}");
    }
}

#[tokio::test]
async fn the_walk_has_eight_steps() {
    let zone = Zone::of(&[("_dmarc.e.f.g.h.i.j.k", "v=DMARC1; p=reject")]);
    let found = failed("a.b.c.d.e.f.g.h.i.j.k", &zone).await;
    assert_eq!((found.result, &*found.policy_domain), (DmarcResult::Fail, "e.f.g.h.i.j.k"));
    let mut asked = zone.asked();
    asked.sort_by_key(|name| std::cmp::Reverse(name.len()));
    assert_eq!(asked.len(), 8);
    assert_eq!((&*asked[0], &*asked[1], &*asked[7]), ("_dmarc.a.b.c.d.e.f.g.h.i.j.k", "_dmarc.e.f.g.h.i.j.k", "_dmarc.k"));
}

#[tokio::test]
async fn who_passes() {
    use DkimResult as D;
    use DmarcResult::{Fail, Pass, Temperror};
    use SpfResult as S;
    let relaxed = "v=DMARC1; p=reject";
    let strict = "v=DMARC1; p=reject; aspf=s; adkim=S";
    for (record, spf_says, signatures, expected) in [
        (relaxed, (S::Pass, "example.com"), vec![], (Pass, true, false)),
        (relaxed, (S::Pass, "Bounce.Example.COM"), vec![], (Pass, true, false)),
        (strict, (S::Pass, "bounce.example.com"), vec![], (Fail, false, false)),
        (strict, (S::Pass, "example.com"), vec![], (Pass, true, false)),
        (relaxed, (S::Pass, "example.org"), vec![], (Fail, false, false)),
        (relaxed, (S::Pass, "notexample.com"), vec![], (Fail, false, false)),
        (relaxed, (S::Pass, "com"), vec![], (Fail, false, false)),
        (relaxed, (S::Pass, ""), vec![], (Fail, false, false)),
        (relaxed, (S::Softfail, "example.com"), vec![], (Fail, false, false)),
        (relaxed, (S::Permerror, "example.com"), vec![], (Fail, false, false)),
        (relaxed, (S::Temperror, "example.com"), vec![], (Temperror, false, false)),
        (relaxed, (S::Temperror, "example.org"), vec![], (Fail, false, false)),
        (relaxed, (S::Temperror, "example.com"), vec![(D::Pass, "example.com", true)], (Pass, false, true)),
        (relaxed, (S::None, ""), vec![(D::Pass, "x.example.com", true)], (Pass, false, true)),
        (strict, (S::None, ""), vec![(D::Pass, "x.example.com", true)], (Fail, false, false)),
        (relaxed, (S::None, ""), vec![(D::Pass, "example.org", false), (D::Pass, "example.com", true)], (Pass, false, true)),
        (relaxed, (S::None, ""), vec![(D::Fail, "example.com", true), (D::Permerror, "example.com", true)], (Fail, false, false)),
        (relaxed, (S::None, ""), vec![(D::Temperror, "example.com", true)], (Temperror, false, false)),
        (relaxed, (S::None, ""), vec![(D::Temperror, "example.org", false)], (Fail, false, false)),
        // It passes without covering the body.
        (relaxed, (S::None, ""), vec![(D::Pass, "example.com", false)], (Fail, false, false)),
        (relaxed, (S::Pass, "example.com"), vec![(D::Pass, "example.com", true)], (Pass, true, true)),
    ] {
        let zone = Zone::of(&[("_dmarc.example.com", record)]);
        let found = check("example.com", &zone, &SpfVerdict::of(spf_says.0, spf_says.1), &dkim(&signatures)).await;
        assert_eq!((found.result, found.spf_aligned, found.dkim_aligned), expected, "{record} {spf_says:?} {signatures:?}");
        let effective = if found.result == Fail { DmarcPolicy::Reject } else { DmarcPolicy::None };
        assert_eq!((found.policy, found.effective), (DmarcPolicy::Reject, effective));
        assert!(!found.reason.is_empty());
    }
}

#[tokio::test]
async fn trouble_is_no_pass_and_no_fail() {
    let zone = Zone::of(&[("_dmarc.example.com", "SERVFAIL")]);
    let found = check("example.com", &zone, &SpfVerdict::of(SpfResult::Pass, "example.com"), &dkim(&[])).await;
    assert_eq!((found.result, found.policy), (DmarcResult::Temperror, DmarcPolicy::Absent));
    // Above a domain that has a record of its own, trouble matters only to those who must align by it.
    let zone = Zone::of(&[("_dmarc.mail.example.com", "v=DMARC1; p=reject"), ("_dmarc.example.com", "SERVFAIL")]);
    let same = check("mail.example.com", &zone, &SpfVerdict::of(SpfResult::Pass, "mail.example.com"), &dkim(&[])).await;
    assert_eq!((same.result, same.policy), (DmarcResult::Pass, DmarcPolicy::Reject));
    let other = check("mail.example.com", &zone, &SpfVerdict::of(SpfResult::Pass, "x.example.com"), &dkim(&[])).await;
    assert_eq!((other.result, other.effective), (DmarcResult::Temperror, DmarcPolicy::None));
    let foreign = check("mail.example.com", &zone, &SpfVerdict::of(SpfResult::Pass, "example.org"), &dkim(&[])).await;
    assert_eq!(foreign.result, DmarcResult::Fail);
}

#[tokio::test]
async fn without_one_author_there_is_no_pass() {
    let zone = Zone::of(&[("_dmarc.example.com", "v=DMARC1; p=none")]);
    for header in ["", "From: a@example.com\r\nFrom: a@example.com\r\n", "From: nobody\r\n", "From: g:;\r\n"] {
        let original = original(&format!("{header}\r\n"));
        let author = Author::read(&original);
        let all = (SpfVerdict::of(SpfResult::Pass, "example.com"), dkim(&[(DkimResult::Pass, "example.com", true)]));
        let found = examine(&zone, records(&zone, &author).await, &author, &all.0, &all.1).await;
        assert_eq!((found.result, found.policy, &*found.from_domain), (DmarcResult::Permerror, DmarcPolicy::Absent, ""), "{header}");
        assert!(!found.reason.is_empty());
    }
    assert_eq!(zone.asked().len(), 0);
}
