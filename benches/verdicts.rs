//! What the verdicts of a message cost: CPU time with a warm DNS cache, beside that of one bare RSA-2048 verification in the same run, and
//! time with a cold one. `cargo bench --bench verdicts`
//!
//! CPU time is that of all threads, what other programs leave of it the median of several rounds. Before anything is measured, it is seen
//! that the verdicts are what they should be. `cargo bench --bench verdicts -- PART` measures the lines alone that have PART in their name.

#[path = "../tests/common/dns.rs"]
mod dns;

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use gateway::authentication::seal::{BodyHash, Sealed, Sealer};
use gateway::dns::{Dns, ResolverConfig};
use gateway::examination::{Examiner, Subject};
use gateway::message::{Edits, Envelope, Findings, MessageId, Need, Original, SessionFacts, SessionIds};
use gateway::smtp::{Address, MailTerms, Recipient, ReversePath};
use gateway::telemetry::{Format, Log};
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Of each line; the median counts.
const ROUNDS: usize = 9;
/// How long a round of a line takes, about.
const ROUND: Duration = Duration::from_millis(100);
/// How long the DNS server takes for an answer when the cache is cold.
const DNS_DELAY: Duration = Duration::from_millis(20);
/// Messages with a cold cache.
const COLD_MESSAGES: usize = 15;

const VERDICTS: [Need; 4] = [Need::Spf, Need::Dkim, Need::Dmarc, Need::Arc];
const ALL: [Need; 5] = [Need::ClientHost, Need::Spf, Need::Dkim, Need::Dmarc, Need::Arc];

fn main() {
    // Cargo itself says `--bench`.
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&part));
}

/// One line of the table.
struct Line {
    what: &'static str,
    message: usize,
    needs: BTreeSet<Need>,
    rounds: Vec<f64>,
}

async fn measure(part: &str) {
    let keys = Keys::new();
    let zone = zone(&keys);
    let examiner = examiner(&zone);
    let stage = Stage::new();
    let texts = [
        message(&keys, 10_000, &[Signs::Rsa("example.com")]),
        message(&keys, 1_000, &[Signs::Rsa("example.com")]),
        message(&keys, 1 << 20, &[Signs::Rsa("example.com")]),
        message(&keys, 10_000, &[]),
        message(&keys, 10_000, &[Signs::Ed25519]),
        message(&keys, 10_000, &[Signs::Rsa("example.com"), Signs::Rsa("sender.example"), Signs::Rsa("list.example")]),
    ];
    let mut messages: Vec<Original> = texts.into_iter().map(|text| Original::parse(text).expect("a small header")).collect();
    messages.push(sealed_twice(&keys, &examiner, &stage, &messages[0]).await);

    let mut lines: Vec<Line> = [
        ("SPF (mx, include)", 0, &[Need::Spf][..]),
        ("DKIM", 0, &[Need::Dkim]),
        ("ARC (no chain)", 0, &[Need::Arc]),
        ("client host", 0, &[Need::ClientHost]),
        ("SPF, DKIM, DMARC, ARC", 0, &VERDICTS),
        ("all, RSA-2048 signature, 10 KB", 0, &ALL),
        ("all, RSA-2048 signature, 1 KB", 1, &ALL),
        ("all, RSA-2048 signature, 1 MiB", 2, &ALL),
        ("all, no signature, 10 KB", 3, &ALL),
        ("all, Ed25519 signature, 10 KB", 4, &ALL),
        ("all, three RSA-2048 signatures, 10 KB", 5, &ALL),
        ("all, ARC chain of two, 10 KB", 6, &ALL),
    ]
    .into_iter()
    .map(|(what, message, needs)| Line { what, message, needs: needs.iter().cloned().collect(), rounds: Vec::new() })
    .filter(|line| line.what.contains(part))
    .collect();
    for line in &lines {
        check(&examiner, &stage, line, &messages[line.message]).await;
    }

    let (mut bare, mut signing, mut sealing) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(verification(&keys.rsa));
        signing.push(each(|| drop(black_box(keys.sign(black_box(b"octets"))))));
        sealing.push(each(|| drop(black_box(seal(&keys, &messages[0], None)))));
        for line in &mut lines {
            let subject = stage.subject(Some(&messages[line.message]));
            let (mut count, began, before) = (0_u32, Instant::now(), cpu_time());
            while began.elapsed() < ROUND {
                for _ in 0..8 {
                    let mut findings = Findings::default();
                    examiner.examine(&line.needs, &subject, &mut findings).await;
                    drop(black_box(findings));
                    count += 1;
                }
            }
            line.rounds.push(micros(cpu_time() - before) / f64::from(count));
        }
    }
    let bare = median(&mut bare);
    println!("\nCPU time a message, warm DNS cache{:>17} {:>8}", "µs", "ratio");
    let show = |what: &str, micros: f64| println!("{what:<44} {micros:>7.1} {:>8.2}", micros / bare);
    show("one RSA-2048 verification", bare);
    for line in &mut lines {
        show(line.what, median(&mut line.rounds));
    }
    show("one RSA-2048 signature", median(&mut signing));
    show("an ARC seal (two signatures), 10 KB", median(&mut sealing));

    zone.names().iter().for_each(|name| zone.misbehave(name, dns::Behaviour::Slow(DNS_DELAY)));
    println!(
        "\ntime of a message, cold DNS cache, answers after {} ms{:>7} {:>9} {:>9}",
        DNS_DELAY.as_millis(),
        "ms",
        "ratio",
        "questions"
    );
    for line in lines.iter().filter(|line| line.message != 2) {
        cold(&zone, &stage, line, &messages[line.message]).await;
    }
}

/// The verdicts are what they should be, and afterwards the cache is warm.
async fn check(examiner: &Examiner, stage: &Stage, line: &Line, message: &Original) {
    let mut found = Findings::default();
    examiner.examine(&line.needs, &stage.subject(Some(message)), &mut found).await;
    assert!(found.spf.is_none_or(|spf| spf.result.as_str() == "pass"), "{}", line.what);
    let dkim = if line.what.contains("no signature") { "none" } else { "pass" };
    assert!(found.dkim.is_none_or(|found| found.result.as_str() == dkim && found.signatures.iter().all(|one| one.result.as_str() == dkim)));
    assert!(found.dmarc.is_none_or(|dmarc| dmarc.result.as_str() == "pass"), "{}", line.what);
    let (arc, instances) = if line.what.contains("chain of two") { ("pass", 2) } else { ("none", 0) };
    assert!(found.arc.is_none_or(|found| found.result.as_str() == arc && found.instances == instances), "{}", line.what);
}

async fn cold(zone: &dns::StubDns, stage: &Stage, line: &Line, message: &Original) {
    let (mut times, mut questions) = (Vec::new(), 0);
    for _ in 0..COLD_MESSAGES {
        let examiner = examiner(zone);
        zone.forget_questions();
        let began = Instant::now();
        let mut findings = Findings::default();
        examiner.examine(&line.needs, &stage.subject(Some(message)), &mut findings).await;
        times.push(micros(began.elapsed()) / 1000.0);
        questions = zone.asked_total();
    }
    let time = median(&mut times);
    println!("{:<44} {time:>15.1} {:>9.2} {questions:>9}", line.what, time / (micros(DNS_DELAY) / 1000.0));
}

fn zone(keys: &Keys) -> dns::StubDns {
    let zone = dns::StubDns::launch();
    for domain in ["example.com", "sender.example", "list.example"] {
        zone.txt(&format!("rsa._domainkey.{domain}"), &format!("v=DKIM1; k=rsa; p={}", keys.rsa_public()));
    }
    zone.txt("ed._domainkey.example.com", &format!("v=DKIM1; k=ed25519; p={}", BASE64_STANDARD.encode(keys.ed25519_public())));
    zone.txt("example.com", "v=spf1 mx include:_spf.example.com -all");
    zone.txt("_spf.example.com", "v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 ip4:203.0.113.0/24 ~all");
    zone.txt("_dmarc.example.com", "v=DMARC1; p=reject; rua=mailto:dmarc@example.com");
    zone.empty("_dmarc.com");
    for (host, address) in [("mx1.example.com", "192.0.2.1"), ("mx2.example.com", "192.0.2.2"), ("mx3.example.com", "192.0.2.3")] {
        zone.mx("example.com", 10, host);
        zone.a(host, address);
    }
    zone.load(&[("203.0.113.9", "PTR", "mail.example.com"), ("mail.example.com", "A", "203.0.113.9")]);
    zone
}

fn examiner(zone: &dns::StubDns) -> Examiner {
    let dns = Dns::new(&ResolverConfig { servers: vec![zone.address()], timeout: Duration::from_secs(3), ..ResolverConfig::default() })
        .expect("a resolver");
    Examiner::new(dns, BTreeMap::new(), Log::new(Format::Json, std::io::sink()))
}

/// Who sends to whom.
struct Stage {
    session: SessionFacts,
    envelope: Envelope,
}

impl Stage {
    fn new() -> Self {
        let address = |text: &str| Address::parse(text, false).expect("an address");
        Self {
            session: SessionFacts {
                client_ip: [203, 0, 113, 9].into(),
                client_host: None,
                helo: "mail.example.com".into(),
                extended: true,
                tls: None,
                authenticated: false,
                login: None,
            },
            envelope: Envelope {
                reverse_path: ReversePath::Address(address("alice@example.com")),
                recipients: vec![Recipient::from(address("bob@acme.example"))],
                smtputf8: false,
                eight_bit: false,
                terms: MailTerms::default(),
            },
        }
    }

    fn subject<'a>(&'a self, original: Option<&'a Original>) -> Subject<'a> {
        let id = MessageId { session: SessionIds::new(1).next(0), number: 1 };
        Subject { hostname: "mx1.acme.example", id, session: &self.session, envelope: &self.envelope, original }
    }
}

struct Keys {
    rsa: KeyPair,
    ed25519: Ed25519KeyPair,
}

impl Keys {
    const SEED: [u8; 32] = [7; 32];

    fn new() -> Self {
        Self {
            rsa: KeyPair::generate(KeySize::Rsa2048).expect("a key"),
            ed25519: Ed25519KeyPair::from_seed_unchecked(&Self::SEED).expect("a key"),
        }
    }

    fn rsa_public(&self) -> String {
        let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(self.rsa.public_key()).expect("DER");
        BASE64_STANDARD.encode(der.as_ref())
    }

    fn rsa_private(&self) -> RsaKey<Sha256> {
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&self.rsa).expect("DER");
        RsaKey::from_key_der(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_ref().to_vec()))).expect("a key")
    }

    fn ed25519_public(&self) -> &[u8] {
        self.ed25519.public_key().as_ref()
    }

    fn sign(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), octets, &mut signature).ok()?;
        Some(signature)
    }
}

/// Whose signature a message has.
#[derive(Clone, Copy)]
enum Signs {
    Rsa(&'static str),
    Ed25519,
}

/// A message as large senders make and sign it.
fn message(keys: &Keys, bytes: usize, signers: &[Signs]) -> Bytes {
    let mut message = String::from(
        "Received: from app7.example.com (app7.example.com [10.0.0.7])\r\n\tby mail.example.com with ESMTPS id 4RxYz1\r\n\
         \tfor <bob@acme.example>; Sun, 22 Nov 2026 10:00:01 +0000\r\n\
         From: Alice <alice@example.com>\r\nTo: Bob <bob@acme.example>\r\nSubject: The minutes of our meeting\r\n\
         Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\nReply-To: <minutes@example.com>\r\n\
         List-Unsubscribe: <https://example.com/unsubscribe/0123456789abcdef>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
         X-Mailer: minutes 1.0\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
    );
    while message.len() < bytes {
        message.push_str("These are the minutes of our meeting, one line after the other.\r\n");
    }
    let signatures: Vec<String> = signers
        .iter()
        .map(|signer| match signer {
            Signs::Rsa(domain) => signature(keys.rsa_private(), domain, "rsa", &message),
            Signs::Ed25519 => {
                let key = Ed25519Key::from_seed_and_public_key(&Keys::SEED, keys.ed25519_public()).expect("a key");
                signature(key, "example.com", "ed", &message)
            }
        })
        .collect();
    Bytes::from(signatures.concat() + &message)
}

fn signature(key: impl SigningKey, domain: &str, selector: &str, message: &str) -> String {
    let signer = DkimSigner::from_key(key).domain(domain).selector(selector).headers([
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Reply-To",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "MIME-Version",
        "Content-Type",
    ]);
    signer.sign(message.as_bytes()).expect("it can be signed").to_header()
}

/// The message after two gateways that seal.
async fn sealed_twice(keys: &Keys, examiner: &Examiner, stage: &Stage, message: &Original) -> Original {
    let mut text = message.data().head().clone();
    for _ in 0..2 {
        let original = Original::parse(text.clone()).expect("a small header");
        let mut findings = Findings::default();
        examiner.examine(&BTreeSet::from([Need::Arc]), &stage.subject(Some(&original)), &mut findings).await;
        let Sealed::Fields(fields) = seal(keys, &original, findings.arc.as_deref()) else { panic!("it can be sealed") };
        text = Bytes::from([&fields[..], &text].concat());
    }
    Original::parse(text).expect("a small header")
}

fn seal(keys: &Keys, original: &Original, chain: Option<&gateway::message::ArcVerdict>) -> Sealed {
    let results = |instance: u32| {
        Bytes::from(format!(
            "ARC-Authentication-Results: i={instance}; mx1.example.com;\r\n\tspf=pass smtp.mailfrom=alice@example.com;\r\n\
             \tdkim=pass header.d=example.com header.s=rsa; dmarc=pass header.from=example.com;\r\n\tarc=none\r\n"
        ))
    };
    let unix_seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let sealer = Sealer { domain: "example.com", selector: "rsa", unix_seconds, sign: &|octets| keys.sign(octets), results: &results };
    sealer.seal(original, &Edits::default(), BodyHash::of(original), chain)
}

/// What one verification costs without anything around it: the least that DKIM can cost.
fn verification(key: &KeyPair) -> f64 {
    let text = [7_u8; 512];
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &text, &mut signature).expect("it can be signed");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    each(|| public.verify(black_box(&text), &signature).expect("it is good"))
}

/// Microseconds of CPU time of one call.
fn each(work: impl Fn()) -> f64 {
    let (mut count, began, before) = (0_u32, Instant::now(), cpu_time());
    while began.elapsed() < ROUND {
        for _ in 0..8 {
            work();
            count += 1;
        }
    }
    micros(cpu_time() - before) / f64::from(count)
}

/// Of all threads; the DNS server's has nothing to do when the cache is warm.
fn cpu_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux tells it");
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    let nanos = stats.filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok());
    Duration::from_nanos(nanos.sum())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
