//! Analyzers from `gateway.yaml` to the answer: against the real rspamd, clamd and rbldnsd, and against servers that misbehave.

#[path = "../common/mod.rs"]
mod common;
mod liar;

mod breaker;
mod clamav;
mod dnsbl;
mod hook;
mod lies;
mod rspamd;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::daemons;
use gateway::analyzers::{Analyzers, Subject};
use gateway::config::{self, Format};
use gateway::dns::{Dns, ResolverConfig};
use gateway::message::{Analysis, Envelope, Fact, FieldValue, MessageId, Original, SessionFacts, TlsFacts, TlsVersion};
use gateway::smtp::{Address, MailTerms, RcptParameters, Recipient, ReversePath};

/// The analyzers that the section describes.
fn analyzers(section: &str) -> Analyzers {
    Analyzers::new(snapshot(section).analyzers)
}

fn snapshot(section: &str) -> config::Snapshot {
    let folder = common::temporary_folder();
    let gateway = format!(
        "hostname: mx1.acme.example\ndomains: [acme.example]\nendpoints:\n  mx: {{ listen: \"127.0.0.1:0\", policy: all, rules: all }}\nanalyzers:\n{section}\n"
    );
    for (path, text) in [
        ("gateway.yaml", gateway.as_str()),
        ("policies/all.yaml", "default: allow\n"),
        ("rules/all.yaml", "rules:\n  - name: all\n    actions: [Drop]\n"),
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let loaded = config::load(&folder.path().join("gateway.yaml"));
    loaded.map_err(|report| panic!("{}", report.render(Format::Text, false))).unwrap().0
}

/// A resolver that asks this server.
fn resolver(server: SocketAddr) -> Dns {
    Dns::new(&ResolverConfig { servers: vec![server], timeout: Duration::from_secs(3), ..ResolverConfig::default() }).unwrap()
}

/// For those who do not ask DNS.
fn no_dns() -> Dns {
    resolver("127.0.0.1:9".parse().unwrap())
}

/// A transaction with or without its message.
struct Mail {
    session: SessionFacts,
    envelope: Envelope,
    original: Option<Original>,
}

impl Mail {
    fn from_client(ip: &str) -> Self {
        let recipient =
            |address: &str| Recipient { address: Address::parse(address, true).unwrap(), parameters: RcptParameters::default() };
        Self {
            session: SessionFacts {
                client_ip: ip.parse().unwrap(),
                client_host: Some("mail.sender.example".into()),
                helo: "mail.sender.example".into(),
                extended: true,
                tls: Some(TlsFacts {
                    version: TlsVersion::Tls1_3,
                    cipher: "TLS13_AES_256_GCM_SHA384".into(),
                    wrapped: false,
                    client_certificate: None,
                }),
                authenticated: false,
                login: None,
            },
            envelope: Envelope {
                reverse_path: ReversePath::Address(Address::parse("alice@sender.example", true).unwrap()),
                recipients: vec![recipient("bob@acme.example"), recipient("carol@acme.example")],
                smtputf8: false,
                eight_bit: false,
                terms: MailTerms::default(),
            },
            original: None,
        }
    }

    fn with_message(text: impl Into<Vec<u8>>) -> Self {
        let original = Original::parse(Bytes::from(text.into())).unwrap();
        Self { original: Some(original), ..Self::from_client("192.0.2.7") }
    }

    fn from(mut self, sender: &str) -> Self {
        let null = sender.is_empty();
        self.envelope.reverse_path = if null { ReversePath::Null } else { ReversePath::Address(Address::parse(sender, true).unwrap()) };
        self
    }

    fn helo(mut self, name: &str) -> Self {
        self.session.helo = name.into();
        self
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            hostname: "mx1.acme.example",
            id: MessageId::from_u128(0x1234_5678_9abc),
            session: &self.session,
            envelope: &self.envelope,
            original: self.original.as_ref(),
        }
    }

    /// What the analyzer `a` says.
    async fn ask(&self, analyzers: &Analyzers, dns: &Dns) -> Result<Arc<Analysis>, String> {
        match analyzers.ask("a", dns, &self.subject()).await {
            Fact::Known(analysis) => Ok(analysis),
            Fact::Unknown(why) => Err(why.to_string()),
            Fact::NotAsked => panic!("it was asked"),
        }
    }
}

/// The fields on one line, texts in brackets.
fn shown(analysis: &Analysis) -> String {
    let value = |value: &FieldValue| match value {
        FieldValue::Texts(texts) => format!("{:?}", texts.iter().map(gateway::message::Text::plain).collect::<Vec<_>>()),
        FieldValue::Number(number) => number.to_string(),
        FieldValue::Boolean(boolean) => boolean.to_string(),
        FieldValue::Verdict(verdict) => verdict.as_str().to_owned(),
    };
    analysis.fields.iter().map(|(name, field)| format!("{name}={}", value(field))).collect::<Vec<_>>().join(" ")
}

const PLAIN: &str = "From: Alice <alice@sender.example>\r\nTo: bob@acme.example\r\nSubject: Minutes\r\n of Monday\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@sender.example>\r\n\r\nHello Bob.\r\n";

#[test]
fn conditions_know_what_they_can_ask_for() {
    use gateway::message::FieldKind::{Boolean, Number, Text, Verdict};
    let section = "  a: { type: dnsbl, zone: zen.spamhaus.org }\n  b: { type: rspamd, url: \"http://127.0.0.1:11333\" }\n  \
                   c: { type: clamav, address: \"clamd:3310\" }\n  d: { type: http, url: \"http://127.0.0.1:9000\", fields: { x: verdict } }\n  \
                   e: { type: http, url: \"http://127.0.0.1:9000\", fields: { x: string }, send: headers }";
    let configs = snapshot(section).analyzers;
    for (name, needs_message, fields) in [
        ("a", false, &[("is_listed", Boolean), ("listed_on", Text), ("score", Number)][..]),
        ("b", true, &[("action", Text), ("is_spam", Boolean), ("required_score", Number), ("score", Number), ("symbols", Text)]),
        ("c", true, &[("infected", Boolean), ("signature", Text)]),
        ("d", false, &[("x", Verdict)]),
        ("e", true, &[("x", Text)]),
    ] {
        let config = &configs[name];
        assert_eq!((config.needs_message(), config.fields().as_slice()), (needs_message, fields), "{name}");
        assert!(fields.iter().all(|(field, kind)| config.field(field) == Some(*kind)) && config.field("other").is_none(), "{name}");
    }
}
