//! Proofs and witnesses of single questions.

use super::read::Versions;
use super::{Formula, Outcome, Search, Space, Value};
use crate::rules::{AttachmentPart, regex};
use crate::rules::{Condition, Flag, Folded, IpSet, IpTest, NumberAttribute, NumberOperator, TextAttribute, TextTest, VerdictAttribute};

fn folded(texts: &[&str]) -> Vec<Folded> {
    texts.iter().map(|text| Folded::new(text)).collect()
}

fn text(attribute: TextAttribute, operator: &str, texts: &[&str]) -> Condition {
    let folded = folded(texts);
    let test = match operator {
        "=" => TextTest::Equals(folded),
        "!" => TextTest::NotEquals(folded),
        "^" => TextTest::StartsWith(folded),
        "$" => TextTest::EndsWith(folded),
        "~" => TextTest::Contains(folded),
        "/" => TextTest::Matches(texts.iter().map(|text| regex(text).unwrap()).collect()),
        "?" => TextTest::Exists(texts.is_empty()),
        other => panic!("{other}"),
    };
    Condition::Text(attribute, test)
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn verdict(attribute: VerdictAttribute, values: &[&str]) -> Condition {
    Condition::Verdict { attribute, negated: false, values: values.iter().map(|word| Box::from(*word)).collect() }
}

fn networks(networks: &[&str]) -> IpSet {
    IpSet::new(networks.iter().map(|network| network.parse().unwrap()))
}

fn number(operator: NumberOperator, value: u64) -> Condition {
    Condition::Number(NumberAttribute::MessageSize, operator, vec![value])
}

/// `never`, `unknown`, or a message that fits.
fn verdict_of(conditions: &[Condition]) -> String {
    let mut space = Space::default();
    let formulas: Vec<Formula> = conditions.iter().map(|condition| space.condition(condition, true, &Versions::default())).collect();
    match Search::new(&space).all(&formulas) {
        Outcome::Never(_) => "never".to_owned(),
        Outcome::Unknown => "unknown".to_owned(),
        Outcome::Fits(values) => {
            let show = |value: Value| match value {
                Value::Text(text) => text.unwrap_or_else(|| "none".to_owned()),
                Value::Texts(texts) => texts.join(","),
                other => format!("{other:?}"),
            };
            values.into_iter().flatten().map(show).collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn texts_contradict_each_other_or_are_built() {
    use TextAttribute as A;
    let r = A::Recipient;
    for (conditions, expected) in [
        (vec![text(r, "=", &["a@x.example"]), text(r, "$", &["@y.example"])], "never"),
        (vec![text(r, "=", &["a@x.example", "b@y.example"]), text(r, "$", &["@y.example"])], "b@y.example"),
        (vec![text(r, "$", &["@x.example"]), text(A::RecipientDomain, "=", &["y.example"])], "never"),
        (vec![text(r, "$", &["@x.example"]), text(A::RecipientDomain, "!", &["x.example"])], "never"),
        (vec![text(r, "$", &["@x.example"]), not(text(A::RecipientDomain, "=", &["y.example"]))], "someone@x.example"),
        (vec![text(A::RecipientDomain, "=", &["x.example"]), not(text(r, "$", &["x.example"]))], "never"),
        (vec![text(A::RecipientDomain, "$", &[".x.example"]), not(text(r, "$", &["@x.example"]))], "someone@mail.x.example"),
        (vec![text(A::RecipientBase, "=", &["a@x.example"]), text(r, "!", &["a@x.example"])], "a+someone@x.example"),
        (vec![text(A::RecipientBase, "=", &["a@x.example"]), text(A::RecipientDomain, "=", &["y.example"])], "never"),
        (vec![text(r, "^", &["sales"]), text(r, "^", &["info"])], "never"),
        (vec![text(r, "^", &["sales"]), text(r, "^", &["sa"])], "sales@example.net"),
        (vec![text(r, "^", &["sales"]), not(text(r, "^", &["sa"]))], "never"),
        (vec![text(A::Subject, "~", &["invoice"]), not(text(A::Subject, "~", &["voice"]))], "never"),
        (vec![text(A::Subject, "~", &["voice"]), not(text(A::Subject, "~", &["invoice"]))], "voice"),
        (vec![text(A::Subject, "=", &["a", "b"]), text(A::Subject, "!", &["a", "b", "c"])], "never"),
        (vec![text(A::Subject, "/", &["^x+$"]), not(text(A::Subject, "/", &["^x+$"]))], "never"),
        (vec![text(A::Subject, "/", &["^x+y$"]), not(text(A::Subject, "/", &["^z"]))], "unknown"),
        (vec![text(A::Subject, "=", &["xx"]), text(A::Subject, "/", &["^x+$"])], "xx"),
        (vec![text(A::Helo, "=", &["xy"]), text(A::Helo, "/", &["^x+$"])], "never"),
        (vec![text(A::From, "~", &["gmail.com"]), not(text(A::From, "$", &["@gmail.com"]))], "gmail.com@example.net"),
        // Several addresses: each condition may have its own.
        (vec![text(A::From, "=", &["a@x.example"]), text(A::FromDomain, "=", &["y.example"])], "a@x.example,someone@y.example"),
        (vec![text(A::FromDomain, "=", &["y.example"]), not(text(A::From, "$", &["@y.example"]))], "never"),
        (vec![text(A::MailFrom, "=", &[""]), text(A::MailFromDomain, "?", &["no"])], ""),
        (vec![text(A::MailFromDomain, "?", &[]), text(A::MailFrom, "=", &[""])], "never"),
        (vec![text(A::Helo, "?", &["no"]), text(A::Helo, "$", &[".example"])], "never"),
        (vec![text(A::Subject, "?", &["no"]), text(A::Subject, "!", &["x"])], ""),
    ] {
        let shown = verdict_of(&conditions);
        assert_eq!(shown, expected, "{conditions:?}");
    }
}

#[test]
fn numbers_networks_words_and_flags_are_exact() {
    use NumberOperator as N;
    use VerdictAttribute as V;
    let within = |texts: &[&str]| Condition::SourceIp(IpTest::CidrMatches(networks(texts)));
    let outside = |texts: &[&str]| Condition::SourceIp(IpTest::NotCidrMatches(networks(texts)));
    let attachment = |part, text: &str| Condition::Attachment(part, TextTest::Equals(folded(&[text])));
    for (conditions, expected) in [
        (vec![number(N::LessThan, 10), number(N::GreaterThan, 9)], "never"),
        (vec![number(N::LessThan, 11), number(N::GreaterThan, 9)], "Number(10)"),
        (vec![number(N::LessThan, 0)], "never"),
        (vec![Condition::Number(NumberAttribute::RecipientCount, N::LessThan, vec![1])], "never"),
        (vec![within(&["10.0.0.0/8"]), outside(&["10.0.0.0/9", "10.128.0.0/9"])], "never"),
        (vec![within(&["10.0.0.0/8"]), outside(&["10.0.0.0/9"])], "Ip(10.128.0.1)"),
        (vec![outside(&["0.0.0.0/0"])], "Ip(::)"),
        (vec![outside(&["0.0.0.0/0", "::/0"])], "never"),
        (vec![within(&["2001:db8::/32"]), within(&["2001:db8:1::/48"])], "Ip(2001:db8:1::1)"),
        (vec![within(&["192.0.2.0/24"]), within(&["198.51.100.0/24"])], "never"),
        (vec![verdict(V::Spf, &["gray"]), verdict(V::SpfResult, &["fail", "softfail"])], "Word(4)"),
        (vec![verdict(V::Spf, &["fail"]), verdict(V::SpfResult, &["softfail"])], "never"),
        (vec![verdict(V::Dkim, &["gray"]), verdict(V::DkimResult, &["pass"])], "Word(1)"),
        (vec![verdict(V::DmarcResult, &["none"]), verdict(V::DmarcPolicy, &["reject"])], "never"),
        (vec![verdict(V::DmarcResult, &["fail"]), verdict(V::DmarcPolicy, &["reject"])], "Word(11)"),
        (vec![Condition::Flag(Flag::Tls, false), Condition::Flag(Flag::TlsWrapped, true)], "never"),
        (vec![attachment(AttachmentPart::Extension, "exe"), Condition::Flag(Flag::HasAttachments, false)], "never"),
        (vec![attachment(AttachmentPart::Extension, "exe")], "Attachments([(Some(\"file.exe\"), \"application/octet-stream\")])"),
        (vec![Condition::Any(vec![within(&["10.0.0.0/8"]), number(N::LessThan, 0)]), outside(&["10.0.0.0/8"])], "never"),
    ] {
        assert_eq!(verdict_of(&conditions), expected, "{conditions:?}");
    }
}
