//! What was found out about a message, as header fields: Authentication-Results (RFC 8601) and Received-SPF (RFC 7208 §9.1).
//!
//! Nearly every word in them is a stranger's. A value that could pass for anything else is left out, a comment keeps nothing that
//! ends it or looks like a result, and whatever was found, a field is one field of US-ASCII.

use bytes::Bytes;

use super::{DkimSignature, DmarcPolicy, DmarcVerdict, Envelope, Fact, Findings, SessionFacts, SpfIdentity, SpfResult, SpfVerdict};
use crate::limits::{RESULTS_COMMENT_CHARS_MAX, RESULTS_SIGNATURES_MAX, RESULTS_VALUE_CHARS_MAX};
use crate::smtp::ReversePath;

/// RFC 5322 §2.1.1: lines should not be longer, line end not counted.
const LINE_CHARS: usize = 78;

/// The Authentication-Results field, CRLF included. What was not looked up is not mentioned; `none` stands when nothing was.
pub fn authentication_results(hostname: &str, session: &SessionFacts, findings: &Findings) -> Bytes {
    let mut field = Folded::new("Authentication-Results:");
    write_results(&mut field, hostname, session, findings);
    field.finish()
}

/// The same results as instance `instance` of an ARC chain has them (RFC 8617 §4.1.1).
pub fn arc_authentication_results(instance: u32, hostname: &str, session: &SessionFacts, findings: &Findings) -> Bytes {
    let mut field = Folded::new("ARC-Authentication-Results:");
    field.word(&format!("i={instance};"));
    write_results(&mut field, hostname, session, findings);
    field.finish()
}

/// The Received-SPF field, CRLF included.
pub fn received_spf(hostname: &str, session: &SessionFacts, envelope: &Envelope, spf: &SpfVerdict) -> Bytes {
    // RFC 7208 §9.1 has no word for a result that local policy changed.
    let result = if spf.result == SpfResult::Policy { SpfResult::Neutral } else { spf.result };
    let mut field = Folded::new("Received-SPF:");
    field.word(result.as_str());
    field.text(&format!("({}: {})", comment(hostname), comment(&spf.reason)));
    let sender = match &envelope.reverse_path {
        ReversePath::Null => "<>",
        ReversePath::Address(address) => address.as_str(),
    };
    let identity = match spf.identity {
        SpfIdentity::MailFrom => "mailfrom",
        SpfIdentity::Helo => "helo",
    };
    let mut pairs = vec![
        ("receiver", dot_atom_or_quoted(hostname)),
        ("client-ip", dot_atom_or_quoted(&session.client_ip.to_canonical().to_string())),
        ("envelope-from", quoted(sender)),
        ("helo", dot_atom_or_quoted(&session.helo)),
        ("identity", identity.to_owned()),
    ];
    pairs.extend(spf.mechanism.as_deref().map(|mechanism| ("mechanism", dot_atom_or_quoted(mechanism))));
    if matches!(result, SpfResult::Temperror | SpfResult::Permerror) {
        pairs.push(("problem", quoted(&spf.reason)));
    }
    for (key, value) in pairs {
        field.word(&format!("{key}={value};"));
    }
    field.finish()
}

fn write_results(field: &mut Folded, hostname: &str, session: &SessionFacts, findings: &Findings) {
    // A name in Unicode is no token, and not ASCII either.
    let id = if hostname.is_ascii() { hostname.to_owned() } else { quoted(hostname) };
    field.word(&format!("{id};"));
    let results = results(session, findings);
    if results.is_empty() {
        field.word("none");
    }
    let mut left = results.len();
    for words in results {
        left = left.saturating_sub(1);
        let mut text = words.join(" ");
        if left > 0 {
            text.push(';');
        }
        field.line(&text);
    }
}

/// One text for each method and signature, as its parts.
fn results(session: &SessionFacts, findings: &Findings) -> Vec<Vec<String>> {
    let mut results = Vec::new();
    if let Some(spf) = &findings.spf {
        let property = match spf.identity {
            SpfIdentity::MailFrom => "smtp.mailfrom",
            SpfIdentity::Helo => "smtp.helo",
        };
        results.push(result("spf", spf.result.as_str(), &comment(&spf.reason), [(property, &*spf.domain)]));
    }
    if let Some(dkim) = &findings.dkim {
        if dkim.signatures.is_empty() {
            results.push(result("dkim", dkim.result.as_str(), "", []));
        }
        results.extend(dkim.signatures.iter().take(RESULTS_SIGNATURES_MAX).map(signature));
    }
    results.extend(findings.dmarc.as_deref().map(dmarc));
    if let Some(arc) = &findings.arc {
        let note = if arc.instances == 0 { String::new() } else { format!("i={} {}", arc.instances, comment(&arc.reason)) };
        let client = session.client_ip.to_canonical().to_string();
        results.push(result("arc", arc.result.as_str(), &note, [("smtp.remote-ip", client.as_str())]));
    }
    if session.authenticated {
        // RFC 8601 §2.7.4 would name the account (`smtp.auth`): names of accounts do not leave.
        results.push(result("auth", "pass", "", []));
    }
    results.extend(iprev(session, findings));
    results
}

fn signature(signature: &DkimSignature) -> Vec<String> {
    let DkimSignature { result: found, domain, selector, identity, algorithm, signature, reason, .. } = signature;
    let properties = [
        ("header.d", &**domain),
        ("header.s", selector),
        ("header.i", identity.as_deref().unwrap_or_default()),
        ("header.a", algorithm),
        ("header.b", signature),
    ];
    result("dkim", found.as_str(), &comment(reason), properties)
}

/// The properties are those of RFC 9989: what the record says is `polrec`; `dis` is what is asked for this message.
fn dmarc(dmarc: &DmarcVerdict) -> Vec<String> {
    let DmarcVerdict { result: found, policy, effective, from_domain, policy_domain, record, reason, .. } = dmarc;
    let mut note = String::new();
    if *policy != DmarcPolicy::Absent {
        note = format!("p={} dis={} ", policy.as_str(), effective.as_str());
    }
    note.push_str(&comment(reason));
    let published = record.split(';').filter_map(|tag| tag.split_once('=')).find(|(name, _)| name.trim().eq_ignore_ascii_case("p"));
    let published = published.map(|(_, value)| value.trim()).unwrap_or_default();
    let elsewhere = if policy_domain == from_domain { "" } else { policy_domain };
    result("dmarc", found.as_str(), note.trim(), [("header.from", &**from_domain), ("polrec.p", published), ("polrec.domain", elsewhere)])
}

/// RFC 8601 §2.7.3, if the client's name was looked up.
fn iprev(session: &SessionFacts, findings: &Findings) -> Option<Vec<String>> {
    let (found, note) = match (&findings.client_host, session.client_host.as_deref()) {
        (Fact::Known(Some(host)), _) => ("pass", comment(host)),
        (Fact::Known(None), _) => ("fail", String::new()),
        (Fact::Unknown(why), _) => ("temperror", comment(why)),
        (Fact::NotAsked, Some(host)) => ("pass", comment(host)),
        (Fact::NotAsked, None) => return None,
    };
    let client = session.client_ip.to_canonical().to_string();
    let mut words = result("iprev", found, "", [("policy.iprev", client.as_str())]);
    if !note.is_empty() {
        words.push(format!("({note})"));
    }
    Some(words)
}

/// `method=result (note) property=value …`.
fn result<const N: usize>(method: &str, found: &str, note: &str, properties: [(&str, &str); N]) -> Vec<String> {
    let mut words = vec![format!("{method}={found}")];
    let note = note.trim();
    if !note.is_empty() {
        words.push(format!("({note})"));
    }
    words.extend(properties.iter().filter_map(|(name, value)| Some(format!("{name}={}", property(value)?))));
    words
}

/// A value as RFC 8601 §2.2 has it: a token, a mailbox or a quoted string. `None` when it is empty, or holds what a reader might take
/// for a result, a comment or the end of the text.
fn property(value: &str) -> Option<String> {
    let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+*/:@!#$%&'^`{|}~".contains(&byte);
    if value.is_empty() || value.len() > RESULTS_VALUE_CHARS_MAX || !value.bytes().all(is_harmless) {
        return None;
    }
    // What is left of the specials of RFC 2045 §5.1; a mailbox may stand without quotes if the rest of it is plain.
    let plain = !value.contains(['/', ':']) && value.matches('@').count() <= 1 && !value.ends_with('@');
    Some(if plain { value.to_owned() } else { format!("\"{value}\"") })
}

/// A stranger's words, or ours about them, for the inside of a comment: short, and nothing in it ends the comment or reads as a result.
fn comment(text: &str) -> String {
    let safe = |char: char| match char {
        '(' => '[',
        ')' => ']',
        '\\' => '/',
        ';' => ',',
        '=' => ':',
        ' '..='~' => char,
        _ => '?',
    };
    let text: String = text.chars().take(RESULTS_COMMENT_CHARS_MAX).map(safe).collect();
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A value of RFC 7208 §9.1: a dot-atom if it is one, else a quoted string.
fn dot_atom_or_quoted(text: &str) -> String {
    let is_atom =
        |atom: &str| !atom.is_empty() && atom.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte));
    if text.len() <= RESULTS_VALUE_CHARS_MAX && text.split('.').all(is_atom) { text.to_owned() } else { quoted(text) }
}

/// RFC 5322 §3.2.4, printable US-ASCII only, and bounded.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars().take(RESULTS_VALUE_CHARS_MAX) {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(if matches!(char, ' '..='~') { char } else { '?' });
    }
    out.push('"');
    out
}

/// A field that is folded between its words.
struct Folded {
    out: String,
    column: usize,
}

impl Folded {
    fn new(name: &str) -> Self {
        Self { out: name.to_owned(), column: name.len() }
    }

    /// What must not be divided.
    fn word(&mut self, word: &str) {
        let length = word.len().saturating_add(1);
        if self.column.saturating_add(length) > LINE_CHARS {
            self.fold();
        } else {
            self.out.push(' ');
        }
        self.out.push_str(word);
        self.column = self.column.saturating_add(length);
    }

    /// What may be divided at each space.
    fn text(&mut self, text: &str) {
        text.split(' ').for_each(|word| self.word(word));
    }

    /// A text that begins a line.
    fn line(&mut self, text: &str) {
        let mut words = text.split(' ');
        self.fold();
        if let Some(first) = words.next() {
            self.out.push_str(first);
            self.column = self.column.saturating_add(first.len());
        }
        words.for_each(|word| self.word(word));
    }

    fn fold(&mut self) {
        self.out.push_str("\r\n\t");
        // A tab stands for one column of the wire.
        self.column = 1;
    }

    fn finish(mut self) -> Bytes {
        self.out.push_str("\r\n");
        self.out.into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::message::{ArcResult, ArcVerdict, DkimResult, DkimVerdict, DmarcResult, Original};
    use crate::smtp::{Address, MailTerms};

    fn session(client: &str) -> SessionFacts {
        SessionFacts {
            client_ip: client.parse().expect("an address"),
            client_host: None,
            helo: "mail.example.com".into(),
            extended: true,
            tls: None,
            authenticated: false,
            login: None,
        }
    }

    fn spf(result: SpfResult, identity: SpfIdentity, domain: &str, reason: &str) -> SpfVerdict {
        let (mechanism, explanation, asked) = (Some("ip4:192.0.2.0/24".into()), None, Box::default());
        SpfVerdict { result, identity, domain: domain.into(), mechanism, reason: reason.into(), explanation, asked }
    }

    fn signed(result: DkimResult, domain: &str, identity: Option<&str>, reason: &str) -> DkimSignature {
        DkimSignature {
            result,
            domain: domain.into(),
            selector: "s1".into(),
            identity: identity.map(Into::into),
            algorithm: "rsa-sha256".into(),
            signature: "aB3/+xyz".into(),
            aligned: true,
            reason: reason.into(),
        }
    }

    fn dkim(signatures: Vec<DkimSignature>) -> DkimVerdict {
        let result = signatures.first().map_or(DkimResult::None, |first| first.result);
        DkimVerdict { result, aligned: true, signatures: signatures.into(), asked: Box::default() }
    }

    fn dmarc_verdict(policy_domain: &str, record: &str) -> DmarcVerdict {
        DmarcVerdict {
            result: DmarcResult::Pass,
            policy: DmarcPolicy::Reject,
            effective: DmarcPolicy::None,
            from_domain: "example.com".into(),
            policy_domain: policy_domain.into(),
            record: record.into(),
            spf_aligned: true,
            dkim_aligned: true,
            reason: "".into(),
            asked: Box::default(),
        }
    }

    fn arc(instances: u32, reason: &str) -> ArcVerdict {
        let result = if instances == 0 { ArcResult::None } else { ArcResult::Pass };
        ArcVerdict { result, instances, sealers: Box::default(), is_temporary: false, reason: reason.into(), asked: Box::default() }
    }

    fn text(session: &SessionFacts, findings: &Findings) -> String {
        String::from_utf8(authentication_results("mx1.acme.example", session, findings).to_vec()).expect("ASCII")
    }

    #[test]
    fn every_result_has_the_words_and_properties_of_its_registry() {
        let findings = Findings {
            client_host: Fact::Known(Some("mail.example.com".into())),
            spf: Some(Arc::new(spf(SpfResult::Pass, SpfIdentity::MailFrom, "example.com", "192.0.2.1 matches ip4:192.0.2.0/24"))),
            dkim: Some(Arc::new(dkim(vec![
                signed(DkimResult::Pass, "example.com", Some("@mail.example.com"), ""),
                signed(DkimResult::Fail, "other.example", Some("a.b+c@other.example"), "the body was changed (bh=x; y)"),
            ]))),
            dmarc: Some(Arc::new(dmarc_verdict("com", "v=DMARC1; p=quarantine; np=reject"))),
            arc: Some(Arc::new(arc(2, "sealed by b.example"))),
            ..Findings::default()
        };
        assert_eq!(
            text(&session("192.0.2.1"), &findings),
            "Authentication-Results: mx1.acme.example;\r\n\
             \tspf=pass (192.0.2.1 matches ip4:192.0.2.0/24) smtp.mailfrom=example.com;\r\n\
             \tdkim=pass header.d=example.com header.s=s1 header.i=@mail.example.com\r\n\
             \theader.a=rsa-sha256 header.b=\"aB3/+xyz\";\r\n\
             \tdkim=fail (the body was changed [bh:x, y]) header.d=other.example header.s=s1\r\n\
             \theader.i=a.b+c@other.example header.a=rsa-sha256 header.b=\"aB3/+xyz\";\r\n\
             \tdmarc=pass (p=reject dis=none) header.from=example.com polrec.p=quarantine\r\n\
             \tpolrec.domain=com;\r\n\
             \tarc=pass (i=2 sealed by b.example) smtp.remote-ip=192.0.2.1;\r\n\
             \tiprev=pass policy.iprev=192.0.2.1 (mail.example.com)\r\n"
        );
        let arc = String::from_utf8(arc_authentication_results(3, "mx1.acme.example", &session("192.0.2.1"), &findings).to_vec()).unwrap();
        assert!(arc.starts_with("ARC-Authentication-Results: i=3; mx1.acme.example;\r\n\tspf=pass "), "{arc}");
        assert!(arc.ends_with(text(&session("192.0.2.1"), &findings).split_once(";\r\n").unwrap().1));
    }

    #[test]
    fn what_was_not_looked_up_is_not_mentioned() {
        let mut session = session("2001:db8::1");
        assert_eq!(text(&session, &Findings::default()), "Authentication-Results: mx1.acme.example; none\r\n");
        session.authenticated = true;
        session.login = Some("tim@acme.example".into());
        assert_eq!(text(&session, &Findings::default()), "Authentication-Results: mx1.acme.example;\r\n\tauth=pass\r\n");
        session.authenticated = false;
        for (findings, expected) in [
            (
                Findings { spf: Some(Arc::new(spf(SpfResult::None, SpfIdentity::Helo, "mail.example.com", ""))), ..Findings::default() },
                "spf=none smtp.helo=mail.example.com",
            ),
            (Findings { dkim: Some(Arc::new(dkim(Vec::new()))), ..Findings::default() }, "dkim=none"),
            (Findings { arc: Some(Arc::new(arc(0, "no chain"))), ..Findings::default() }, "arc=none smtp.remote-ip=\"2001:db8::1\""),
            (
                Findings { dmarc: Some(Arc::new(dmarc_verdict("example.com", ""))), ..Findings::default() },
                "dmarc=pass (p=reject dis=none) header.from=example.com",
            ),
            (Findings { client_host: Fact::Known(None), ..Findings::default() }, "iprev=fail policy.iprev=\"2001:db8::1\""),
            (
                Findings { client_host: Fact::Unknown("time out".into()), ..Findings::default() },
                "iprev=temperror policy.iprev=\"2001:db8::1\" (time out)",
            ),
        ] {
            assert_eq!(text(&session, &findings), format!("Authentication-Results: mx1.acme.example;\r\n\t{expected}\r\n"));
        }
    }

    #[test]
    fn a_strangers_words_never_pass_for_a_result() {
        for strange in ["a; spf=pass", "a b", "a(b)", "a\"b", "a\\b", "a\r\nb", "\u{fc}", "a=b", "a,b", "<a>", ""] {
            let findings = Findings {
                spf: Some(Arc::new(spf(SpfResult::Fail, SpfIdentity::MailFrom, strange, "x) spf=pass (\r\n\\; dkim=pass \u{fc}"))),
                dkim: Some(Arc::new(dkim(vec![DkimSignature {
                    selector: strange.into(),
                    algorithm: strange.into(),
                    signature: strange.into(),
                    ..signed(DkimResult::Permerror, strange, Some(strange), "")
                }]))),
                ..Findings::default()
            };
            assert_eq!(
                text(&session("192.0.2.1"), &findings),
                "Authentication-Results: mx1.acme.example;\r\n\tspf=fail (x] spf:pass [??/, dkim:pass ?);\r\n\tdkim=permerror\r\n",
                "{strange:?}"
            );
        }
        let many = dkim(vec![signed(DkimResult::Pass, "x.example", None, ""); 1000]);
        let text = text(&session("192.0.2.1"), &Findings { dkim: Some(Arc::new(many)), ..Findings::default() });
        assert_eq!(text.matches("dkim=").count(), RESULTS_SIGNATURES_MAX);
    }

    fn envelope(sender: ReversePath) -> Envelope {
        Envelope { reverse_path: sender, recipients: Vec::new(), smtputf8: true, eight_bit: false, terms: MailTerms::default() }
    }

    #[test]
    fn received_spf_names_what_was_judged() {
        let sender = ReversePath::Address(Address::parse("\"a\\\"b\"@example.com", true).expect("an address"));
        for (session, sender, verdict, expected) in [
            (
                session("192.0.2.1"),
                sender,
                spf(SpfResult::Pass, SpfIdentity::MailFrom, "example.com", "192.0.2.1 is allowed (by ip4)"),
                "Received-SPF: pass (mx1.acme.example: 192.0.2.1 is allowed [by ip4])\r\n\
                 \treceiver=mx1.acme.example; client-ip=192.0.2.1;\r\n\
                 \tenvelope-from=\"\\\"a\\\\\\\"b\\\"@example.com\"; helo=mail.example.com;\r\n\
                 \tidentity=mailfrom; mechanism=\"ip4:192.0.2.0/24\";\r\n",
            ),
            (
                SessionFacts { helo: "x; y\r\n\u{fc}".into(), ..session("2001:db8::1") },
                ReversePath::Null,
                SpfVerdict { mechanism: None, ..spf(SpfResult::Temperror, SpfIdentity::Helo, "", "DNS did not answer") },
                "Received-SPF: temperror (mx1.acme.example: DNS did not answer)\r\n\
                 \treceiver=mx1.acme.example; client-ip=\"2001:db8::1\"; envelope-from=\"<>\";\r\n\
                 \thelo=\"x; y???\"; identity=helo; problem=\"DNS did not answer\";\r\n",
            ),
        ] {
            let field = received_spf("mx1.acme.example", &session, &envelope(sender), &verdict);
            assert_eq!(String::from_utf8_lossy(&field), expected);
        }
    }

    /// One field of ASCII in lines that every server takes, and the same text to a parser of its own.
    fn is_one_field(field: &Bytes, name: &str) {
        assert!(field.is_ascii() && field.ends_with(b"\r\n"));
        let text = String::from_utf8_lossy(field);
        for (number, line) in text.trim_end_matches("\r\n").split("\r\n").enumerate() {
            assert!(line.len() <= 998 && !line.contains(['\r', '\n', '\0']), "{line}");
            assert!(number == 0 || (line.starts_with('\t') && !line.trim().is_empty()), "{text}");
        }
        let read = Original::parse(field.clone()).expect("small");
        assert_eq!((read.fields().len(), read.body_offset()), (1, field.len()));
        let message = mail_parser::MessageParser::default().parse(&field[..]).expect("a message");
        assert_eq!(message.headers().len(), 1);
        assert!(message.header_raw(name).is_some());
    }

    proptest! {
        #[test]
        fn it_is_one_field_whatever_was_found(a in "\\PC{0,500}", b in any::<String>(), helo in any::<String>(), ours in "[!-~]{0,60}") {
            let mut facts = session("2001:db8::1");
            facts.helo = helo.into();
            let verdict = SpfVerdict { mechanism: Some(b.as_str().into()), ..spf(SpfResult::Permerror, SpfIdentity::Helo, &a, &b) };
            let findings = Findings {
                client_host: Fact::Known(Some(a.as_str().into())),
                spf: Some(Arc::new(verdict.clone())),
                dkim: Some(Arc::new(dkim(vec![
                    DkimSignature { selector: ours.as_str().into(), ..signed(DkimResult::Fail, &ours, Some(&a), &b) },
                    DkimSignature { signature: ours.as_str().into(), ..signed(DkimResult::Pass, &b, Some(&ours), &a) },
                ]))),
                dmarc: Some(Arc::new(DmarcVerdict { reason: b.as_str().into(), from_domain: ours.as_str().into(), ..dmarc_verdict(&b, &a) })),
                arc: Some(Arc::new(arc(1, &a))),
                ..Findings::default()
            };
            let field = authentication_results("mx1.acme.example", &facts, &findings);
            is_one_field(&field, "Authentication-Results");
            let text = String::from_utf8_lossy(&field);
            // As many results as there are verdicts, whatever the strangers wrote.
            prop_assert_eq!(text.matches(';').count(), 6);
            is_one_field(&arc_authentication_results(50, "mx1.acme.example", &facts, &findings), "ARC-Authentication-Results");
            is_one_field(&received_spf("mx1.acme.example", &facts, &envelope(ReversePath::Null), &verdict), "Received-SPF");
        }
    }
}
