//! What a client's certificate says about the client.
//!
//! Whoever wrote a certificate may have meant harm: its size is bounded by the handshake, the number and length of its names here,
//! and no control character of it goes any further.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::limits::{CERTIFICATE_NAME_BYTES_MAX, CERTIFICATE_NAMES_MAX};
use crate::message::ClientCertificate;

/// Reads the fields that conditions ask for; `Err` says why the certificate is not one to decide by.
pub fn client_certificate(der: &[u8]) -> Result<ClientCertificate, &'static str> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "the certificate cannot be read")?;
    let mut fields = ClientCertificate { serial_number: vec![serial_number(certificate.raw_serial())], ..ClientCertificate::default() };
    for name in certificate.subject().iter_common_name() {
        push(&mut fields.cn, attribute(name)?)?;
    }
    let alternatives = certificate.subject_alternative_name().map_err(|_| "the certificate's alternative names cannot be read")?;
    for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::RFC822Name(name) => push(&mut fields.san_rfc822_name, text(name.as_bytes())?)?,
            GeneralName::DNSName(name) => push(&mut fields.san_dns_name, text(name.as_bytes())?)?,
            GeneralName::DirectoryName(name) => push(&mut fields.san_directory_name, distinguished_name(name)?)?,
            GeneralName::URI(uri) => push(&mut fields.san_uniform_resource_identifier, text(uri.as_bytes())?)?,
            GeneralName::IPAddress(octets) => push(&mut fields.san_ip_address, address(octets)?)?,
            GeneralName::RegisteredID(id) => push(&mut fields.san_registered_id, text(id.to_id_string().as_bytes())?)?,
            GeneralName::Invalid(..) => return Err("one of the certificate's alternative names cannot be read"),
            GeneralName::OtherName(..) | GeneralName::X400Address(_) | GeneralName::EDIPartyName(_) => {}
        }
    }
    Ok(fields)
}

/// A distinguished name, for people: its common name, else the whole of it.
pub(super) fn name_for_people(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|name| attribute(name).ok());
    common.filter(|name| !name.is_empty()).or_else(|| distinguished_name(name).ok()).unwrap_or_else(|| "(no readable name)".to_owned())
}

/// `O=Acme, CN=Relay`, in the order of the certificate.
fn distinguished_name(name: &X509Name<'_>) -> Result<String, &'static str> {
    if name.as_raw().len() > CERTIFICATE_NAME_BYTES_MAX {
        return Err(TOO_LONG);
    }
    text(name.to_string().as_bytes())
}

fn attribute(name: &AttributeTypeAndValue<'_>) -> Result<String, &'static str> {
    let value = name.attr_value();
    if value.tag() != x509_parser::asn1_rs::Tag::BmpString {
        return text(value.data);
    }
    // UTF-16 without surrogates, as old Windows CAs write it.
    let units =
        value.data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair.first().copied().unwrap_or(0), pair.last().copied().unwrap_or(0)]));
    text(String::from_utf16_lossy(&units.collect::<Vec<_>>()).as_bytes())
}

fn address(octets: &[u8]) -> Result<String, &'static str> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
    address.map(|address| address.to_string()).map_err(|_| "one of the certificate's IP addresses is none")
}

/// Hexadecimal, two digits an octet, without the octet that only carries the sign: as `openssl x509 -serial` prints it.
fn serial_number(der: &[u8]) -> String {
    let octets = match der {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

const TOO_LONG: &str = "one of the certificate's names is too long";

/// Text that is safe to compare and to log: what is no character or controls a terminal is replaced, so that it equals nothing.
fn text(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.len() > CERTIFICATE_NAME_BYTES_MAX {
        return Err(TOO_LONG);
    }
    Ok(String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}"))
}

fn push(values: &mut Vec<String>, value: String) -> Result<(), &'static str> {
    if values.len() >= CERTIFICATE_NAMES_MAX {
        return Err("the certificate has too many names");
    }
    values.push(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, KeyPair, SanType, SerialNumber};

    use super::*;

    fn read(change: impl FnOnce(&mut CertificateParams)) -> Result<ClientCertificate, &'static str> {
        let mut params = CertificateParams::default();
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        client_certificate(certificate.der())
    }

    #[test]
    fn every_field_is_read() {
        let fields = read(|params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, "Partner");
            params.distinguished_name.push(DnType::CommonName, "relay.partner.example");
            params.serial_number = Some(SerialNumber::from_slice(&[0x8a, 0x01, 0x00]));
            params.subject_alt_names = vec![
                SanType::DnsName("relay.partner.example".try_into().unwrap()),
                SanType::DnsName("relay2.partner.example".try_into().unwrap()),
                SanType::Rfc822Name("postmaster@partner.example".try_into().unwrap()),
                SanType::URI("spiffe://partner.example/relay".try_into().unwrap()),
                SanType::IpAddress("192.0.2.1".parse().unwrap()),
                SanType::IpAddress("2001:db8::1".parse().unwrap()),
            ];
        });
        let expected = ClientCertificate {
            cn: vec!["relay.partner.example".into()],
            san_rfc822_name: vec!["postmaster@partner.example".into()],
            san_dns_name: vec!["relay.partner.example".into(), "relay2.partner.example".into()],
            san_directory_name: vec![],
            san_uniform_resource_identifier: vec!["spiffe://partner.example/relay".into()],
            san_ip_address: vec!["192.0.2.1".into(), "2001:db8::1".into()],
            san_registered_id: vec![],
            serial_number: vec!["8a0100".into()],
        };
        assert_eq!(fields, Ok(expected));
    }

    #[test]
    fn names_that_rcgen_does_not_write() {
        // SEQUENCE { [8] 1.2.3.4, [4] { SEQUENCE { SET { SEQUENCE { 2.5.4.3, UTF8String "Relay" } } } } } (RFC 5280 §4.2.1.6)
        let directory = b"\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05Relay";
        let mut names = vec![0x88, 3, 0x2a, 3, 4, 0xa4, u8::try_from(directory.len()).unwrap()];
        names.extend_from_slice(directory);
        let fields = read(|params| params.custom_extensions = vec![alternatives(&names)]).unwrap();
        assert_eq!((fields.san_registered_id, fields.san_directory_name), (vec!["1.2.3.4".into()], vec!["CN=Relay".into()]));
    }

    #[test]
    fn a_common_name_in_any_string_type() {
        for (value, expected) in [
            (DnValue::PrintableString("Relay 1".try_into().unwrap()), "Relay 1"),
            (DnValue::BmpString("Bücher".try_into().unwrap()), "Bücher"),
            (DnValue::Utf8String("a\0b\r\n\u{1b}[2Jc".into()), "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}[2Jc"),
        ] {
            let fields = read(|params| {
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(DnType::CommonName, value);
            });
            assert_eq!(fields.unwrap().cn, [expected]);
        }
    }

    #[test]
    fn a_certificate_made_to_hurt_is_not_decided_by() {
        let many = |count: usize| read(|params| params.subject_alt_names = vec![SanType::DnsName("a.example".try_into().unwrap()); count]);
        assert_eq!(many(CERTIFICATE_NAMES_MAX).unwrap().san_dns_name.len(), CERTIFICATE_NAMES_MAX);
        assert_eq!(many(CERTIFICATE_NAMES_MAX + 1), Err("the certificate has too many names"));
        let long = "x".repeat(CERTIFICATE_NAME_BYTES_MAX + 1);
        assert_eq!(read(|params| params.distinguished_name.push(DnType::CommonName, long.as_str())), Err(TOO_LONG));
        assert_eq!(read(|params| params.subject_alt_names = vec![SanType::URI(long.as_str().try_into().unwrap())]), Err(TOO_LONG));
        // A dNSName that is not ASCII, an address of three octets.
        for names in [&b"\x82\x02\xff\xfe"[..], b"\x87\x03\x01\x02\x03"] {
            assert!(read(|params| params.custom_extensions = vec![alternatives(names)]).is_err());
        }
        assert!(client_certificate(b"\x30\x03\x02\x01\x01").is_err());
        assert!(client_certificate(&[]).is_err());
    }

    /// A subjectAltName extension with these entries.
    fn alternatives(names: &[u8]) -> CustomExtension {
        let mut content = vec![0x30, u8::try_from(names.len()).unwrap()];
        content.extend_from_slice(names);
        CustomExtension::from_oid_content(&[2, 5, 29, 17], content)
    }
}
