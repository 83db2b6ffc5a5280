//! Certificates by ACME: what is asked for, and of whom.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::tls::{self, Material};
use crate::acme::{AcmeConfig, LETS_ENCRYPT, Names, Slot, Wanted};
use crate::certificates::{ServerNames, Source};
use crate::config::diagnostic::{Code, Sink};
use crate::config::model::acme::Acme;
use crate::config::model::{CertificateName, OneOrMany};
use crate::config::source::Span;
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::limits::ACME_NAMES_MAX;

/// The certificate of an endpoint that is issued: a slot, which is wanted to be filled.
pub(super) fn source(
    names: &OneOrMany<CertificateName>,
    node: &Node,
    material: &mut Material<'_>,
    sink: &mut Sink,
) -> Option<(ServerNames, Source)> {
    let names = Names::new(names.0.iter().map(|name| name.0.as_str()));
    if names.iter().count() > ACME_NAMES_MAX {
        let span = node.get("acme").map_or_else(|| node.head(), Node::head);
        sink.error(Code::BadValue, span, format!("a certificate is for {ACME_NAMES_MAX} names at most")).help("use several endpoints");
        return None;
    }
    if let Some(key) = node.entry("key") {
        sink.error(Code::Conflict, key.key_span.clone(), "`key` belongs to `certificate`; with `acme` the gateway makes its own key")
            .help("remove `key`");
        return None;
    }
    let slot = Slot::default();
    let source = (ServerNames::new(names.iter()), Source::Issued(Arc::clone(&slot)));
    material.wanted.push(Wanted { names, slot });
    Some(source)
}

/// The section `acme` with all certificates that endpoints want.
pub(super) fn build(
    tree: &Node,
    listening: &mut HashMap<SocketAddr, Span>,
    material: &mut Material<'_>,
    sink: &mut Sink,
) -> Option<AcmeConfig> {
    let endpoints = tree.get("endpoints").map(Node::entries).unwrap_or_default();
    let mut users = endpoints.iter().filter_map(|endpoint| endpoint.value.get("tls")?.entry("acme"));
    let Some(section) = tree.entry("acme") else {
        for user in users {
            sink.error(Code::Conflict, user.key_span.clone(), "the section `acme` is missing, which says who issues this certificate")
                .help("add on the top level: `acme: { contact: postmaster@acme.example, accept_terms: true }`");
        }
        return None;
    };
    if users.next().is_none() {
        sink.warning(Code::Unused, section.key_span.clone(), "no endpoint has `tls: { acme: … }`, so no certificate is ordered")
            .help("name the hosts: `tls: { acme: [mx1.acme.example] }`");
    }
    let node = &section.value;
    let model: Acme = typed(node, sink)?;
    if !model.accept_terms {
        let span = node.get("accept_terms").map_or_else(|| node.head(), |value| value.span.clone());
        sink.error(Code::BadValue, span, "without your agreement to its terms of service an authority issues no certificate")
            .help("read them (Let's Encrypt: https://letsencrypt.org/repository/), then write `accept_terms: true`");
    }
    let listen = listen(&model, node, section.key_span.clone(), listening, sink);
    let ca = match &model.ca {
        None => None,
        Some(path) => {
            let named = tls::named(path, node, "ca");
            let (_, pem) = material.read(&named, sink)?;
            match roots(&pem) {
                Ok(roots) => Some(Arc::new(roots)),
                Err(why) => {
                    sink.error(Code::TlsFiles, named.span, format!("the CAs of the directory cannot be used: {why}"));
                    return None;
                }
            }
        }
    };
    Some(AcmeConfig {
        contact: model.contact.iter().flat_map(|contact| &contact.0).map(|address| mailto(&address.0.to_string())).collect(),
        directory: Arc::from(model.directory.map_or_else(|| LETS_ENCRYPT.to_owned(), |url| url.0)),
        listen,
        storage: material.folder.join(model.storage.map_or_else(|| "var/acme".to_owned(), |path| path.0)),
        roots: ca,
        wanted: std::mem::take(&mut material.wanted),
    })
}

/// Where challenges are answered, which is where nobody else listens.
fn listen(model: &Acme, node: &Node, section: Span, listening: &mut HashMap<SocketAddr, Span>, sink: &mut Sink) -> Vec<SocketAddr> {
    let Some(listen) = &model.listen else {
        // All addresses of both families, at the port that the authority asks (RFC 8555 §8.3).
        let addresses = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80))];
        for address in &addresses {
            once(*address, section.clone(), listening, sink);
        }
        return addresses;
    };
    let nodes = node.get("listen").map(Node::one_or_many).unwrap_or_default();
    for (address, node) in listen.0.iter().zip(nodes) {
        once(address.0, node.span.clone(), listening, sink);
    }
    listen.0.iter().map(|address| address.0).collect()
}

/// Port 0 is another port each time.
fn once(address: SocketAddr, span: Span, listening: &mut HashMap<SocketAddr, Span>, sink: &mut Sink) {
    match listening.get(&address).filter(|_| address.port() != 0) {
        Some(first) => {
            sink.error(Code::DuplicateListen, span, format!("{address} is listened on twice")).note(first.clone(), "the first");
        }
        None => {
            listening.insert(address, span);
        }
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("the file holds no certificate in PEM".to_owned()) } else { Ok(roots) }
}

/// The address as a URI (RFC 6068 §2): what has a meaning there, or is not ASCII, is encoded.
fn mailto(address: &str) -> String {
    let mut uri = "mailto:".to_owned();
    for byte in address.bytes() {
        if byte.is_ascii_alphanumeric() || b"@.-_~+!$'*:[]".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_uris() {
        assert_eq!(mailto("postmaster+acme@acme.example"), "mailto:postmaster+acme@acme.example");
        assert_eq!(mailto("a?b&c=d%@acme.example"), "mailto:a%3Fb%26c%3Dd%25@acme.example");
        assert_eq!(mailto("bücher@acme.example"), "mailto:b%C3%BCcher@acme.example");
    }
}
