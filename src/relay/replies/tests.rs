//! Every row of the tables, as the next hop says it.

use super::*;
use crate::smtp::Status;

/// What a case varies besides the reply.
#[derive(Clone, Copy)]
struct Around {
    stage: Stage,
    ipv6: bool,
    tls: bool,
    known: bool,
    domain_accepted: bool,
    recipients: usize,
}

const RCPT: Around = Around { stage: Stage::Rcpt(0), ipv6: false, tls: true, known: true, domain_accepted: false, recipients: 1 };
const DOT: Around = Around { stage: Stage::FinalDot, ..RCPT };
const OVER_IPV6: Around = Around { ipv6: true, ..DOT };
const IN_CLEAR: Around = Around { tls: false, ..RCPT };
const KNOWN: Around = Around { domain_accepted: true, ..RCPT };
const SUBMISSION: Around = Around { known: false, ..DOT };
const CROWD: Around = Around { recipients: 201, ..RCPT };
const GREETING: Around = Around { stage: Stage::Greeting, ..RCPT };

/// `CODE [STATUS] TEXT`, lines divided by `\n`.
fn reply(text: &str) -> Reply {
    let (code, rest) = text.split_once(' ').unwrap();
    let status = rest.split_whitespace().next().and_then(Status::parse);
    let rest = if status.is_some() { rest.split_once(' ').map_or("", |(_, rest)| rest) } else { rest };
    Reply::new(code.parse().unwrap(), status, rest)
}

fn of(provider: Provider, around: Around, reply: &Reply) -> Meaning {
    let Around { stage, ipv6, tls, known, domain_accepted, recipients } = around;
    meaning(&Said { provider, stage, reply, ipv6, tls, known, domain_accepted, recipients })
}

/// Class, then `>` if another address is tried, `/` if the recipient is for another transaction, `!` if the operator is told.
fn shown(meaning: &Meaning) -> String {
    let class = match meaning.class {
        Class::Retry => "R",
        Class::Alone => "R1",
        Class::Slow => "S",
        Class::Hold => "H",
        Class::Bounce => "B",
        Class::Content => "B*",
    };
    let marks = [(meaning.elsewhere, ">"), (meaning.split, "/"), (meaning.alarm, "!")];
    marks.iter().filter(|(is_set, _)| *is_set).fold(class.to_owned(), |text, (_, mark)| text + mark)
}

fn check(provider: Provider, cases: &[(&str, Around, &str)]) {
    for (text, around, expected) in cases {
        let meaning = of(provider, *around, &reply(text));
        assert_eq!(shown(&meaning), *expected, "{provider:?}: {text}: {meaning:?}");
    }
}

#[test]
fn google() {
    check(
        Provider::Google,
        &[
            ("421 4.3.0 Temporary System Problem. Try again later (10). gsmtp", RCPT, "R"),
            ("421 4.4.5 Server busy, try again later. gsmtp", GREETING, "R"),
            ("421 4.7.0 Temporary System Problem. Try again later. gsmtp", DOT, "R"),
            (
                "421 4.7.0 [192.0.2.1 15] Our system has detected an unusual rate of\nunsolicited mail originating from your IP. gsmtp",
                DOT,
                "S",
            ),
            ("421 4.7.28 Gmail has detected an unusual rate of mail. gsmtp", DOT, "S"),
            ("421 4.7.0 IP not in whitelist for RCPT domain, closing connection. gsmtp", RCPT, "H"),
            ("421 4.7.0 TLS required for RCPT domain, closing connection. gsmtp", IN_CLEAR, "H>"),
            ("421 4.7.0 TLS required for RCPT domain, closing connection. gsmtp", RCPT, "H"),
            ("450 4.2.1 The user you are trying to contact is receiving mail too quickly. gsmtp", RCPT, "R1"),
            ("451 4.3.0 Multiple destination domains per transaction is unsupported. gsmtp", RCPT, "R/!"),
            ("451 4.5.0 SMTP protocol violation, see RFC 5321. gsmtp", DOT, "R!"),
            ("454 4.5.0 SMTP protocol violation, no commands allowed to pipeline after STARTTLS. gsmtp", RCPT, "R!"),
            ("452 4.2.2 The email account that you tried to reach is over quota. gsmtp", RCPT, "R1"),
            (
                "452 4.5.3 Domain policy size per transaction exceeded, please try this recipient in a separate transaction. gsmtp",
                RCPT,
                "R1/",
            ),
            ("452 4.5.3 Your message has too many recipients. gsmtp", RCPT, "R1/"),
            ("421 4.7.23 The sending IP address has no PTR record. gsmtp", DOT, "S!"),
            ("421 4.7.27 SPF did not pass. gsmtp", DOT, "S!"),
            ("450 4.7.29 not sent over TLS. gsmtp", DOT, "S!"),
            ("421 4.7.30 DKIM did not pass. gsmtp", DOT, "S!"),
            ("421 4.7.31 no DMARC record. gsmtp", DOT, "S!"),
            ("421 4.7.40 no DMARC record. gsmtp", DOT, "S!"),
            ("421 4.7.32 From is not aligned. gsmtp", DOT, "S!"),
            ("550 5.1.1 The email account that you tried to reach does not exist. gsmtp", RCPT, "B"),
            ("550 5.2.1 The email account that you tried to reach is disabled. gsmtp", RCPT, "B"),
            ("550 5.7.1 The IP you're using to send mail is not authorized to send email\ndirectly to our servers. gsmtp", DOT, "H"),
            ("550 5.7.1 The IP you're using to send mail is not authorized to send email\ndirectly to our servers. gsmtp", OVER_IPV6, "H>"),
            ("550 5.7.1 this message does not meet IPv6 sending guidelines regarding PTR records. gsmtp", OVER_IPV6, "H>"),
            ("550 5.7.1 Unauthenticated email is refused by the domain's administrator. ab1 - gcdp", DOT, "B*"),
            ("550 5.7.26 This mail has been blocked because the sender is unauthenticated. gsmtp", DOT, "B!"),
            ("550 5.7.25 The IP address sending this message does not have a PTR record. gsmtp", DOT, "B!"),
            ("550 5.7.27 SPF. gsmtp", DOT, "B!"),
            ("550 5.7.40 DMARC. gsmtp", DOT, "B!"),
            ("552 5.2.3 Your message exceeded Google's message size limits. gsmtp", DOT, "B*"),
            ("552 5.3.4 Your message exceeded Google's message size limits. gsmtp", DOT, "B*"),
            ("552 5.7.0 This message was blocked because its content presents a potential security issue. gsmtp", DOT, "B*"),
            ("550 5.7.1 Our system has detected that this message is likely unsolicited mail. gsmtp", DOT, "B"),
            ("451 4.4.2 Timeout. gsmtp", DOT, "R"),
        ],
    );
    let busy = of(Provider::Google, RCPT, &reply("450 4.2.1 too quickly"));
    assert_eq!(busy.wait, Some(Duration::from_secs(600)));
}

#[test]
fn microsoft() {
    check(
        Provider::Microsoft,
        &[
            ("421 4.3.2 Service not available", GREETING, "R"),
            ("451 4.3.0 Temporary server error", DOT, "R"),
            ("432 4.3.2 STOREDRV; recipient thread limit exceeded", RCPT, "R1"),
            ("451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)", GREETING, "S!"),
            ("451 4.7.699 Server busy (AS1234)", RCPT, "S!"),
            ("451 Server busy. Please try again later from [192.0.2.1]. (AS761)", RCPT, "S"),
            ("451 4.7.850 suspicious", RCPT, "S!"),
            ("451 4.7.899 suspicious", RCPT, "S!"),
            ("451 4.7.651 The mail server has been temporarily rate limited (S775)", RCPT, "S"),
            ("451 4.7.652 too many connections (S3115)", GREETING, "S"),
            ("450 4.7.25 no reverse DNS", OVER_IPV6, "S>"),
            ("450 4.7.26 must pass SPF or DKIM", OVER_IPV6, "S>"),
            ("550 5.7.25 no PTR", OVER_IPV6, "H>"),
            ("550 5.7.25 no PTR", DOT, "H"),
            ("550 5.7.510 Access denied, does not take email over IPv6", OVER_IPV6, "B>"),
            ("550 5.2.1 over IPv6", OVER_IPV6, "B>"),
            ("550 5.2.1 mailbox disabled", DOT, "B"),
            ("452 4.5.3 Too many recipients", CROWD, "R1/"),
            ("452 4.5.3 Too many recipients (AS780090)", RCPT, "S"),
            ("452 4.5.3 Too many recipients", RCPT, "S/"),
            ("550 5.1.1 unknown", RCPT, "B"),
            ("550 5.1.10 RESOLVER.ADR.RecipientNotFound", RCPT, "B"),
            ("550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", KNOWN, "B"),
            ("550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", RCPT, "H"),
            ("550 5.4.1 Relay Access Denied", KNOWN, "H"),
            ("554 5.2.121 hourly message receive limit from this sender", DOT, "R1"),
            ("450 4.2.122 hourly message receive limit", DOT, "R1"),
            ("550 5.4.14 Hop count exceeded", DOT, "B!"),
            ("554 5.4.6 Hop count exceeded - possible mail loop", DOT, "B!"),
            ("550 5.7.1 Unable to relay", RCPT, "H"),
            ("530 5.7.1 Client was not authenticated", RCPT, "H"),
            ("530 5.7.57 Client not authenticated to send mail", RCPT, "H"),
            ("550 5.7.12 Sender was not authenticated by organization", DOT, "B"),
            ("550 5.7.124 Sender not in allowed-senders list", DOT, "B"),
            ("550 5.7.133 group", DOT, "B"),
            ("550 5.7.136 user", DOT, "B"),
            ("550 5.7.23 The message was rejected because of Sender Policy Framework violation", DOT, "B!"),
            ("550 5.7.51 TenantInboundAttribution; There is a partner connector configured", RCPT, "H"),
            ("550 5.7.64 TenantAttribution; Relay Access Denied", RCPT, "H"),
            ("550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization", RCPT, "H"),
            ("550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization", SUBMISSION, "B"),
            ("550 5.7.506 Access Denied, Bad HELO", RCPT, "H"),
            ("550 5.7.508 Access denied", RCPT, "H>"),
            ("550 5.7.511 Access denied, banned sender", RCPT, "H>"),
            ("550 5.7.606 Access denied, banned sending IP", RCPT, "H>"),
            ("550 5.7.649 Access denied, banned sending IP", RCPT, "H>"),
            ("550 5.7.507 Access denied, rejected by recipient", RCPT, "H"),
            ("550 5.7.513 Service unavailable, Client host blocked", RCPT, "H"),
            ("550 5.7.509 Access denied, sending domain does not pass DMARC", DOT, "B!"),
            ("550 5.7.515 Access denied, sending domain does not meet the required authentication level", DOT, "B!"),
            ("550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant", DOT, "B*"),
            ("550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal", DOT, "B*!"),
            ("550 5.7.700 PAMC", DOT, "H"),
            ("550 5.7.705 Access denied, tenant has exceeded threshold", DOT, "H"),
            ("550 5.7.708 Access denied, traffic not accepted from this IP", DOT, "H"),
            ("550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains", DOT, "H"),
            ("535 5.7.3 Authentication unsuccessful", SUBMISSION, "H"),
            ("535 5.7.139 Authentication unsuccessful, basic authentication is disabled", SUBMISSION, "H"),
            ("554 5.2.252 SendAsDenied", SUBMISSION, "B"),
            ("552 5.3.4 Message size exceeds fixed maximum message size", DOT, "B*"),
        ],
    );
    for text in ["554 5.2.121 limit", "450 4.2.122 limit"] {
        assert_eq!(of(Provider::Microsoft, DOT, &reply(text)).wait, Some(Duration::from_secs(3600)), "{text}");
    }
}

#[test]
fn ses() {
    check(
        Provider::Ses,
        &[
            ("454 Throttling failure: Maximum sending rate exceeded.", DOT, "S"),
            ("454 Throttling failure: Daily message quota exceeded.", DOT, "S!"),
            ("421 Too many concurrent SMTP connections", GREETING, "S"),
            ("530 Authentication required", RCPT, "H"),
            ("535 Authentication Credentials Invalid", RCPT, "H"),
            ("554 Access denied: User `x` is not authorized to perform `ses:SendRawEmail`", DOT, "H"),
            ("554 Message rejected: Sending paused for this account.", DOT, "H"),
            ("554 Message rejected: Email address is not verified. The following identities failed the check in region", DOT, "B!"),
            ("554 Message rejected: it looks bad", DOT, "B*"),
            ("552 Message is too long.", DOT, "B*"),
            ("451 Temporary service failure", DOT, "R"),
        ],
    );
}

#[test]
fn anybody() {
    check(
        Provider::Other,
        &[
            ("421 4.3.2 closing", RCPT, "S"),
            ("451 4.7.1 try later", RCPT, "S"),
            ("451 4.7.1 Greylisted, try again in 5 minutes", RCPT, "R1"),
            ("451 4.3.0 disk", DOT, "R"),
            ("450 4.2.1 busy", RCPT, "R1"),
            ("452 4.2.2 full", RCPT, "R1"),
            ("452 4.5.3 enough", RCPT, "R1/"),
            ("452 too many recipients", RCPT, "R1/"),
            ("552 too many recipients", RCPT, "R1/"),
            ("452 no space", DOT, "R"),
            ("552 5.2.2 mailbox full", RCPT, "B"),
            ("530 5.7.0 Must issue a STARTTLS command first", RCPT, "H"),
            ("534 5.7.9 mechanism too weak", RCPT, "H"),
            ("538 5.7.11 encryption required", RCPT, "H"),
            ("554 5.7.1 <x@y.example>: Relay access denied", RCPT, "H"),
            ("550 relay not permitted", RCPT, "H"),
            ("550 5.7.1 Unable to relay", RCPT, "H"),
            ("554 go away", GREETING, "H"),
            ("554 go away", RCPT, "B"),
            ("550 5.7.64 TenantAttribution; Relay Access Denied", RCPT, "H"),
            ("550 5.7.650 something else", RCPT, "B"),
            ("550 5.4.1 Recipient address rejected: Access denied", RCPT, "B"),
        ],
    );
}

#[test]
fn every_row_can_be_reached() {
    let tables = [(Provider::Google, google::ROWS), (Provider::Microsoft, microsoft::ROWS), (Provider::Ses, ses::ROWS)];
    for (provider, rows) in tables.into_iter().chain([(Provider::Other, everybody::ROWS), (Provider::Other, microsoft::OWN)]) {
        for (place, row) in rows.iter().enumerate() {
            let stage = match row.when {
                When::ToRcpt | When::ToRcptWithoutStatus => Stage::Rcpt(0),
                When::BeforeMail => Stage::Greeting,
                _ => Stage::FinalDot,
            };
            let codes = if row.codes.is_empty() { &[550][..] } else { row.codes };
            let statuses = if row.statuses.is_empty() { vec![None] } else { row.statuses.iter().map(Some).collect() };
            let around = Around {
                stage,
                ipv6: matches!(row.when, When::OverIpv6),
                tls: !matches!(row.when, When::InClear),
                known: matches!(row.when, When::Known),
                domain_accepted: matches!(row.when, When::DomainAccepted),
                recipients: if matches!(row.when, When::RecipientsUpTo(_)) { 1 } else { 1000 },
            };
            let reached = codes.iter().any(|code| {
                statuses.iter().any(|range| {
                    let class = if *code >= 500 { 5 } else { 4 };
                    let statuses: Vec<Option<Status>> = match range {
                        Some(range) => (range.first..=range.last).map(|detail| Some(Status(class, range.subject, detail))).collect(),
                        None => vec![None],
                    };
                    statuses.into_iter().any(|status| {
                        let reply = Reply::new(*code, status, row.texts.first().unwrap_or(&"x"));
                        of(provider, around, &reply) == row.meaning()
                    })
                })
            });
            assert!(reached, "{provider:?}, row {place}: {}", row.words);
        }
    }
}
