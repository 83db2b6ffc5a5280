//! Clients' certificates against CAs and CRLs, at chosen times.

use std::io;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

use super::handshake::failure;
use super::trust::{Believed, Trust, TrustMistake};
use super::{Dated, Standing};
use crate::limits::CLIENT_CHAIN_MAX;

const DAY: i64 = 24 * 3600;
/// 2026-11-21T00:00:00Z.
const NOW: i64 = 1_795_219_200;

fn at(days: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW + days * DAY).unwrap()
}

/// A CA that is valid from a year ago until `days` from now.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

fn params(name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (at(-365), at(days));
    params
}

impl Ca {
    fn new(name: &str, days: i64) -> Self {
        let (params, key) = (Self::params(name, days), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), der: certificate.der().clone(), pem: certificate.pem() }
    }

    fn params(name: &str, days: i64) -> CertificateParams {
        let mut params = params(name, days);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    fn below(&self, name: &str) -> Self {
        let (params, key) = (Self::params(name, 300), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { issuer: Issuer::new(params, key), der: certificate.der().clone(), pem: certificate.pem() }
    }

    fn client_with(&self, serial: u64, days: i64, usage: ExtendedKeyUsagePurpose) -> CertificateDer<'static> {
        let mut params = params("client", days);
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![usage];
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
    }

    fn client(&self, serial: u64) -> CertificateDer<'static> {
        self.client_with(serial, 300, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// From `begin` to `end`, in days from now.
    fn crl(&self, begin: i64, end: i64, revoked: &[u64]) -> String {
        let revoked_certs = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: at(begin),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: at(begin),
            next_update: at(end),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn believed(cas: &[&str], crls: Option<&[&str]>) -> Result<Believed, TrustMistake> {
    let (cas, crls) = (cas.concat(), crls.map(<[_]>::concat));
    let crls = crls.as_ref().map(|text| (Path::new("crl.pem"), text.as_bytes()));
    Believed::new((Path::new("ca.pem"), cas.as_bytes()), crls)
}

fn trust(cas: &[&str], crls: Option<&[&str]>) -> Trust {
    Trust::new([believed(cas, crls).unwrap()]).unwrap()
}

/// `let in`, or why not.
fn verdict(trust: &Trust, chain: &[&CertificateDer<'static>], days: i64) -> String {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(NOW + days * DAY).unwrap()));
    let intermediates: Vec<_> = chain[1..].iter().map(|der| (*der).clone()).collect();
    match trust.check(chain[0], &intermediates, now) {
        Ok(()) => "let in".to_owned(),
        Err(error) => failure(&io::Error::new(io::ErrorKind::InvalidData, error)).replace("the client's certificate is refused: ", ""),
    }
}

#[test]
fn a_certificate_is_let_in_by_its_ca_and_while_all_dates_hold() {
    let (a, b, stranger) = (Ca::new("A", 100), Ca::new("B", 400), Ca::new("Stranger", 400));
    let trust = trust(&[&a.pem, &b.pem], None);
    assert_eq!(verdict(&trust, &[&a.client(1)], 0), "let in");
    assert_eq!(verdict(&trust, &[&b.client(1)], 0), "let in");
    assert_eq!(verdict(&trust, &[&stranger.client(1)], 0), "no trusted CA has issued it");
    // One that calls itself like a trusted CA.
    assert_eq!(verdict(&trust, &[&Ca::new("B", 400).client(1)], 0), "its signature is not that of the CA it names");
    assert_eq!(verdict(&trust, &[&b.client(1)], 301), "it, or a CA between, has expired on 2027-09-17T00:00:00Z");
    assert_eq!(verdict(&trust, &[&b.client(1)], -366), "it is not valid before 2025-11-21T00:00:00Z");
    assert_eq!(verdict(&trust, &[&a.client(1)], 101), "its CA `A` has expired on 2027-03-01T00:00:00Z");
    let server = a.client_with(1, 300, ExtendedKeyUsagePurpose::ServerAuth);
    assert_eq!(verdict(&trust, &[&server], 0), "it is not for clients");
}

#[test]
fn a_chain_leads_to_a_trusted_ca() {
    let root = Ca::new("Root", 400);
    let between = root.below("Between");
    let client = between.client(1);
    assert_eq!(verdict(&trust(&[&root.pem], None), &[&client, &between.der], 0), "let in");
    assert_eq!(verdict(&trust(&[&root.pem], None), &[&client], 0), "no trusted CA has issued it");
    assert_eq!(verdict(&trust(&[&root.pem, &between.pem], None), &[&client], 0), "let in");
    // With CRLs each link of the chain is looked up: that of the issuer alone does not speak for the CA between.
    let (of_root, of_between, revoked) = (root.crl(-1, 30, &[]), between.crl(-1, 30, &[]), between.crl(-1, 30, &[1]));
    let check = |crls: &[&str]| verdict(&trust(&[&root.pem], Some(crls)), &[&client, &between.der], 0);
    assert_eq!(check(&[&of_root, &of_between]), "let in");
    assert_eq!(check(&[&of_root, &revoked]), "it is revoked");
    assert_eq!(check(&[&of_root]), "no CRL says whether it is revoked");
    assert_eq!(check(&[&of_between]), "no CRL says whether it is revoked");
}

#[test]
fn a_revoked_certificate_and_an_outdated_list_close_the_door_and_say_so() {
    let (a, b) = (Ca::new("A", 400), Ca::new("B", 400));
    let (crl_a, crl_b) = (a.crl(-1, 30, &[7, 8]), b.crl(-1, 90, &[]));
    let both = trust(&[&a.pem, &b.pem], Some(&[&crl_a, &crl_b]));
    assert_eq!(verdict(&both, &[&a.client(1)], 0), "let in");
    assert_eq!(verdict(&both, &[&a.client(7)], 0), "it is revoked");
    assert_eq!(verdict(&both, &[&b.client(7)], 0), "let in", "the serial number is another CA's");
    // The list of A runs out: its clients are refused, and only its.
    assert_eq!(verdict(&both, &[&a.client(1)], 31), "the CRL of its issuer has expired on 2026-12-21T00:00:00Z");
    assert_eq!(verdict(&both, &[&b.client(1)], 31), "let in");
    // There are lists, but none of A.
    let only_b = believed(&[&a.pem, &b.pem], Some(&[&crl_b])).unwrap();
    assert_eq!(only_b.without_crl, ["A"]);
    let only_b = Trust::new([only_b]).unwrap();
    assert_eq!(verdict(&only_b, &[&a.client(1)], 0), "no CRL says whether it is revoked");
    assert_eq!(verdict(&only_b, &[&b.client(1)], 0), "let in");
    // In sets of their own A goes without.
    let sets = Trust::new([believed(&[&a.pem], None).unwrap(), believed(&[&b.pem], Some(&[&b.crl(-1, 90, &[7])])).unwrap()]).unwrap();
    assert_eq!(verdict(&sets, &[&a.client(7)], 0), "let in");
    assert_eq!(verdict(&sets, &[&b.client(7)], 0), "it is revoked");
}

#[test]
fn of_two_lists_of_one_ca_the_newer_counts() {
    let ca = Ca::new("A", 400);
    let (old, new) = (ca.crl(-40, -10, &[1]), ca.crl(-11, 20, &[2]));
    for lists in [[old.as_str(), &new], [&new, &old]] {
        let trust = trust(&[&ca.pem], Some(&lists));
        assert_eq!(verdict(&trust, &[&ca.client(1)], 0), "let in");
        assert_eq!(verdict(&trust, &[&ca.client(2)], 0), "it is revoked");
    }
}

#[test]
fn a_ca_may_change_its_key_under_its_name() {
    let (old, new) = (Ca::new("A", 400), Ca::new("A", 800));
    let (of_old, of_new) = (old.crl(-2, 30, &[1]), new.crl(-1, 30, &[2]));
    for cas in [[old.pem.as_str(), &new.pem], [&new.pem, &old.pem]] {
        let trust = trust(&cas, Some(&[&of_old, &of_new]));
        assert_eq!(verdict(&trust, &[&old.client(1)], 0), "it is revoked");
        assert_eq!(verdict(&trust, &[&old.client(2)], 0), "let in");
        assert_eq!(verdict(&trust, &[&new.client(1)], 0), "let in");
        assert_eq!(verdict(&trust, &[&new.client(2)], 0), "it is revoked");
    }
    // A list signed by the wrong key opens nothing.
    let wrong = trust(&[&old.pem], Some(&[&of_new]));
    assert!(verdict(&wrong, &[&old.client(1)], 0).starts_with("the CRL of its issuer cannot be used"));
}

#[test]
fn files_may_be_der_and_what_they_hold_has_dates() {
    let ca = Ca::new("A", 50);
    let pem = ca.crl(-1, 10, &[]);
    let crl = super::material::revocation_lists(pem.as_bytes()).unwrap().remove(0);
    let believed = Believed::new((Path::new("ca.der"), &ca.der), Some((Path::new("a.crl"), &crl))).unwrap();
    let dates: Vec<_> = believed.expiries.iter().map(|expiry| (expiry.kind, expiry.name.as_str(), expiry.end)).collect();
    assert_eq!(dates, [(Dated::Ca, "A", at(50)), (Dated::Crl, "A", at(10))]);
    assert_eq!(believed.expiries[1].standing(at(11)), Standing::Expired);
    assert_eq!(verdict(&Trust::new([believed]).unwrap(), &[&ca.client(1)], 0), "let in");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let ca = Ca::new("A", 400);
    let crl = |text: &str| believed(&[&ca.pem], Some(&[text])).unwrap_err();
    assert_eq!(crl(""), TrustMistake::Crl("the file holds no CRL".into()));
    assert_eq!(crl(&ca.pem), TrustMistake::Crl("the file holds no CRL".into()));
    assert_eq!(crl("\x30\x03abc"), TrustMistake::Crl("the file holds something that is no CRL".into()));
    let of_ca = |bytes: &[u8]| Believed::new((Path::new("ca.pem"), bytes), None).unwrap_err();
    assert_eq!(of_ca(b""), TrustMistake::Ca("the file holds no certificate".into()));
    assert_eq!(of_ca(b"\x30\x03abc"), TrustMistake::Ca("the file holds something that is no certificate".into()));
    assert_eq!(of_ca(&ca.client(1)), TrustMistake::Ca("`client` is no CA: it cannot have issued the certificates of clients".into()));
}

/// Certificates that could all have issued each other: webpki tries the ways through them one by one.
#[test]
fn a_maze_of_certificates_is_not_entered() {
    let cas: Vec<Ca> = (0..8).map(|n| Ca::new(&format!("CA {n}"), 400)).collect();
    let trust = trust(&cas.iter().map(|ca| ca.pem.as_str()).collect::<Vec<_>>(), None);
    let maze: Vec<Ca> = (0..=CLIENT_CHAIN_MAX).map(|_| Ca::new("Maze", 400)).collect();
    let client = maze[0].client(1);
    let chain = |length: usize| [&client].into_iter().chain(maze.iter().map(|ca| &ca.der).take(length)).collect::<Vec<_>>();
    let too_many = format!("more than {CLIENT_CHAIN_MAX} other certificates come with it");
    assert_eq!(verdict(&trust, &chain(CLIENT_CHAIN_MAX), 0), "no trusted CA has issued it");
    assert_eq!(verdict(&trust, &chain(CLIENT_CHAIN_MAX + 1), 0), too_many);
}

#[test]
fn only_a_ca_that_is_named_is_asked() {
    let cas: Vec<Ca> = (0..3).map(|n| Ca::new(&format!("CA {n}"), 400)).collect();
    let trust = trust(&cas.iter().map(|ca| ca.pem.as_str()).collect::<Vec<_>>(), None);
    let between = cas[2].below("Between");
    let named = |chain: &[&CertificateDer<'static>]| {
        let intermediates: Vec<_> = chain[1..].iter().map(|der| (*der).clone()).collect();
        trust.named_by(chain[0], &intermediates).iter().map(|ca| ca.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named(&[&cas[1].client(1)]), ["CA 1"]);
    assert_eq!(named(&[&between.client(1), &between.der]), ["CA 2"]);
    assert_eq!(named(&[&cas[1].client(1), &between.der]), ["CA 1", "CA 2"]);
    assert_eq!(named(&[&Ca::new("Stranger", 400).client(1)]), ["CA 0"], "somebody has to say no");
    assert_eq!(named(&[&CertificateDer::from(b"\x30\x03abc".to_vec())]), ["CA 0"]);
}
