//! What the verdicts of a message cost: CPU time a message, with a warm DNS cache, beside that of one bare RSA-2048 verification in the
//! same run. `cargo bench --bench verdicts`

#[path = "../tests/common/dns.rs"]
mod dns;

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use gateway::dns::{Dns, ResolverConfig};
use gateway::examination::{Examiner, Subject};
use gateway::message::{Envelope, Findings, MessageId, Need, Original, SessionFacts, SessionIds};
use gateway::smtp::{Address, MailTerms, Recipient, ReversePath};
use gateway::telemetry::{Format, Log};
use mail_auth::common::crypto::{RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Messages of each measurement.
const MESSAGES: u32 = 20_000;
/// A typical message: text and HTML of a few KiB.
const BODY_BYTES: usize = 10_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let zone = dns::StubDns::launch();
    let public = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(key.public_key()).expect("DER");
    let public = BASE64_STANDARD.encode(public.as_ref());
    zone.txt("example.com", "v=spf1 include:_spf.example.com mx -all");
    zone.txt("_spf.example.com", "v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip6:2001:db8::/32 ~all");
    zone.txt("s2048._domainkey.example.com", &format!("v=DKIM1; k=rsa; p={public}"));
    zone.txt("_dmarc.example.com", "v=DMARC1; p=reject; rua=mailto:dmarc@example.com");
    zone.load(&[("203.0.113.9", "PTR", "mail.example.com"), ("mail.example.com", "A", "203.0.113.9")]);

    let original = Original::parse(signed(&key)).expect("a small header");
    let session = SessionFacts {
        client_ip: [203, 0, 113, 9].into(),
        client_host: None,
        helo: "mail.example.com".into(),
        extended: true,
        tls: None,
        authenticated: false,
        login: None,
    };
    let address = |text: &str| Address::parse(text, false).expect("an address");
    let envelope = Envelope {
        reverse_path: ReversePath::Address(address("alice@example.com")),
        recipients: vec![Recipient::from(address("bob@acme.example"))],
        smtputf8: false,
        eight_bit: false,
        terms: MailTerms::default(),
    };
    let id = MessageId { session: SessionIds::new(1).next(0), number: 1 };
    let subject = Subject { hostname: "mx1.acme.example", id, session: &session, envelope: &envelope, original: Some(&original) };
    let dns = Dns::new(&ResolverConfig { servers: vec![zone.address()], timeout: Duration::from_secs(3) }).expect("a resolver");
    let examiner = Examiner::new(dns, BTreeMap::new(), Log::new(Format::Json, std::io::sink()));

    let bare = bare_verification(&key);
    println!(
        "CPU time a message, in µs and in RSA-2048 verifications ({bare:.1} µs here); {MESSAGES} messages of {} octets",
        original.len()
    );
    let cases: [(&str, &[Need]); 6] = [
        ("SPF (two records)", &[Need::Spf]),
        ("DKIM (one RSA-2048 signature)", &[Need::Dkim]),
        ("ARC (no chain)", &[Need::Arc]),
        ("host name of the client", &[Need::ClientHost]),
        ("SPF, DKIM, DMARC, ARC", &[Need::Spf, Need::Dkim, Need::Dmarc, Need::Arc]),
        ("all of it", &[Need::ClientHost, Need::Spf, Need::Dkim, Need::Dmarc, Need::Arc]),
    ];
    for (what, needs) in cases {
        let needs: BTreeSet<Need> = needs.iter().cloned().collect();
        let mut passed = Findings::default();
        examiner.examine(&needs, &subject, &mut passed).await;
        assert!(passed.spf.is_none_or(|spf| spf.result.as_str() == "pass"), "SPF");
        assert!(passed.dkim.is_none_or(|dkim| dkim.result.as_str() == "pass"), "DKIM");
        assert!(passed.dmarc.is_none_or(|dmarc| dmarc.result.as_str() == "pass"), "DMARC");
        let before = cpu_time();
        for _ in 0..MESSAGES {
            let mut findings = Findings::default();
            examiner.examine(&needs, &subject, &mut findings).await;
            black_box(findings);
        }
        let each = (cpu_time() - before).as_secs_f64() * 1e6 / f64::from(MESSAGES);
        println!("{what:<32} {each:>8.1} {:>6.2}", each / bare);
    }
}

/// A message as large senders sign it.
fn signed(key: &KeyPair) -> Bytes {
    let mut message = String::from(
        "From: Alice <alice@example.com>\r\nTo: Bob <bob@acme.example>\r\nSubject: The minutes of our meeting\r\n\
         Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n",
    );
    while message.len() < BODY_BYTES {
        message.push_str("These are the minutes of our meeting, one line after the other.\r\n");
    }
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(key).expect("DER");
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_ref().to_vec()));
    let signature = DkimSigner::from_key(RsaKey::<Sha256>::from_key_der(der).expect("a key"))
        .domain("example.com")
        .selector("s2048")
        .headers(["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"])
        .sign(message.as_bytes())
        .expect("it can be signed");
    Bytes::from(signature.to_header() + &message)
}

/// What one verification costs without anything around it: the least that DKIM can cost.
fn bare_verification(key: &KeyPair) -> f64 {
    let text = [7_u8; 512];
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &text, &mut signature).expect("it can be signed");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    let before = cpu_time();
    for _ in 0..MESSAGES {
        public.verify(black_box(&text), &signature).expect("it is good");
    }
    (cpu_time() - before).as_secs_f64() * 1e6 / f64::from(MESSAGES)
}

/// Of this thread: the DNS server has one of its own.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    Duration::from_nanos(stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}
