//! TLS of endpoints: certificates, keys, CAs and CRLs from their files to what makes handshakes, with a word about their dates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::OffsetDateTime;

use super::acme;
use crate::acme::Wanted;
use crate::certificates::{
    Believed, Certificates, Dated, Expiry, Pair, PairMistake, ServerNames, Source, Standing, Trust, TrustMistake, pair, server_config,
};
use crate::config::EndpointTls;
use crate::config::diagnostic::{Code, Sink};
use crate::config::files;
use crate::config::model::FilePath;
use crate::config::model::deployment as model;
use crate::config::source::Span;
use crate::config::tree::Node;
use crate::limits::{CERTIFICATE_FILE_BYTES_MAX, TRUSTED_CAS_MAX};

/// Files that are read on the way, and what is to be remembered of them.
#[derive(Debug)]
pub(super) struct Material<'a> {
    /// Of `gateway.yaml`.
    pub(super) folder: &'a Path,
    pub(super) now: OffsetDateTime,
    /// All of them, as they were before they were used.
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
    /// What has an end.
    pub(super) expiries: Vec<Expiry>,
    /// What is to be issued.
    pub(super) wanted: Vec<Wanted>,
}

/// A file's name as it is written, and where.
pub(super) struct Named<'a> {
    path: &'a FilePath,
    pub(super) span: Span,
}

pub(super) fn named<'a>(path: &'a FilePath, node: &Node, key: &str) -> Named<'a> {
    Named { path, span: node.get(key).map_or_else(|| node.head(), |at| at.span.clone()) }
}

/// The TLS of an endpoint, and if its clients must show certificates, whose; `None` when something is wrong, which has been reported.
pub(super) fn endpoint(
    tls: &model::EndpointTls,
    node: &Node,
    trust: Option<Arc<Trust>>,
    material: &mut Material<'_>,
    sink: &mut Sink,
) -> Option<EndpointTls> {
    let sources: Vec<(ServerNames, Source)> = match &tls.acme {
        Some(names) => vec![acme::source(names, node, material, sink)?],
        None => pairs(tls, node, material, sink)?.into_iter().map(|pair| (pair.names, Source::Fixed(pair.certified))).collect(),
    };
    let mode = tls.mode.unwrap_or(if trust.is_some() { model::EndpointTlsMode::Required } else { model::EndpointTlsMode::Optional });
    if trust.is_some() && mode == model::EndpointTlsMode::Optional {
        let span = node.get("mode").map_or_else(|| node.head(), |mode| mode.span.clone());
        sink.error(Code::Conflict, span, "an `mtls` endpoint takes no mail without TLS").help("write `required` or `implicit`");
        return None;
    }
    match server_config(Arc::new(Certificates::new(sources))) {
        Ok(server) => Some(EndpointTls {
            required: mode != model::EndpointTlsMode::Optional,
            wrapped: mode == model::EndpointTlsMode::Implicit,
            server: Arc::new(server),
            trust,
        }),
        Err(error) => {
            sink.error(Code::TlsFiles, node.head(), format!("TLS cannot be set up: {error}"));
            None
        }
    }
}

/// The certificates of files, in either form; all of them are looked at, so that each mistake is reported.
fn pairs(tls: &model::EndpointTls, node: &Node, material: &mut Material<'_>, sink: &mut Sink) -> Option<Vec<Pair>> {
    if let Some(many) = &tls.certificates {
        if let Some(key) = node.entry("key") {
            sink.error(Code::Conflict, key.key_span.clone(), "`key` belongs to `certificate`")
                .help("each item of `certificates` has a key of its own");
        }
        let items = node.get("certificates").map(Node::items).unwrap_or_default();
        let built: Vec<_> = many
            .iter()
            .zip(items)
            .map(|(files, item)| one(&named(&files.certificate, item, "certificate"), &named(&files.key, item, "key"), material, sink))
            .collect();
        return built.into_iter().enumerate().map(|(index, pair)| pair.inspect(|pair| never_asked_for(index, pair, items, sink))).collect();
    }
    let certificate = tls.certificate.as_ref()?;
    let Some(key) = &tls.key else {
        let span = node.entry("certificate").map_or_else(|| node.head(), |entry| entry.key_span.clone());
        sink.error(Code::MissingKey, span, "the key `key` is missing").help("`key`: PEM file with the private key of the certificate");
        return None;
    };
    Some(vec![one(&named(certificate, node, "certificate"), &named(key, node, "key"), material, sink)?])
}

/// The first serves all whom nothing else fits; any other needs a name that a client can ask for.
fn never_asked_for(index: usize, pair: &Pair, items: &[Node], sink: &mut Sink) {
    if index > 0 && pair.names.is_empty() {
        let span = items.get(index).map_or(0..0, Node::head);
        sink.warning(Code::Unused, span, "this certificate has no DNS name: no client ever gets it")
            .help("clients ask by name (SNI), and names stand in the subjectAltName; only the first certificate goes without");
    }
}

fn one(certificate: &Named<'_>, key: &Named<'_>, material: &mut Material<'_>, sink: &mut Sink) -> Option<Pair> {
    let read = (material.read(certificate, sink), material.read(key, sink));
    let (Some((file, chain)), Some((_, secret))) = read else { return None };
    match pair(&file, &chain, &secret) {
        Ok(pair) => {
            material.dated(pair.expiry.clone(), &certificate.span, sink);
            Some(pair)
        }
        Err(mistake) => {
            let (named, message) = match mistake {
                PairMistake::Certificate(message) => (certificate, message),
                PairMistake::Key(message) => (key, message),
            };
            sink.error(Code::TlsFiles, named.span.clone(), message);
            None
        }
    }
}

/// Whose clients are let in; `None` when something is wrong, which has been reported.
pub(super) fn trust(sets: &[model::Trust], node: &Node, material: &mut Material<'_>, sink: &mut Sink) -> Option<Arc<Trust>> {
    let built: Vec<_> = sets.iter().zip(node.one_or_many()).map(|(set, node)| believed(set, node, material, sink)).collect();
    let trust = Trust::new(built.into_iter().collect::<Option<Vec<_>>>()?);
    if trust.is_none() {
        sink.error(Code::TlsFiles, node.head(), format!("there are more than {TRUSTED_CAS_MAX} CAs"));
    }
    trust.map(Arc::new)
}

fn believed(set: &model::Trust, node: &Node, material: &mut Material<'_>, sink: &mut Sink) -> Option<Believed> {
    let ca = named(&set.ca, node, "ca");
    let crl = set.crl.as_ref().map(|crl| named(crl, node, "crl"));
    let read_ca = material.read(&ca, sink);
    let read_crl = match &crl {
        Some(crl) => Some(material.read(crl, sink)?),
        None => None,
    };
    let (ca_file, ca_bytes) = read_ca?;
    let crl_span = crl.map_or_else(|| ca.span.clone(), |crl| crl.span);
    match Believed::new((&ca_file, &ca_bytes), read_crl.as_ref().map(|(file, bytes)| (file.as_path(), bytes.as_slice()))) {
        Ok(believed) => {
            for expiry in &believed.expiries {
                let span = if expiry.kind == Dated::Crl { &crl_span } else { &ca.span };
                material.dated(expiry.clone(), span, sink);
            }
            for name in &believed.without_crl {
                let message = format!("there is no CRL of the CA `{name}`: every certificate that it has issued is refused");
                sink.warning(Code::CaWithoutCrl, crl_span.clone(), message).help(
                    "add its CRL to the file, or let it go without one in an item of its own: `trust: [{ ca: …, crl: … }, { ca: … }]`",
                );
            }
            Some(believed)
        }
        Err(mistake) => {
            let (span, message) = match mistake {
                TrustMistake::Ca(message) => (ca.span, message),
                TrustMistake::Crl(message) => (crl_span, message),
            };
            sink.error(Code::TlsFiles, span, message);
            None
        }
    }
}

impl Material<'_> {
    /// The path and the content of a file, counted in; one that cannot be read is reported.
    pub(super) fn read(&mut self, named: &Named<'_>, sink: &mut Sink) -> Option<(PathBuf, Vec<u8>)> {
        let path = self.folder.join(&named.path.0);
        let read = files::bytes(&path, CERTIFICATE_FILE_BYTES_MAX);
        self.files.push((path.clone(), read.as_ref().map(Clone::clone).unwrap_or_default()));
        match read {
            Ok(bytes) if u64::try_from(bytes.len()).is_ok_and(|length| length > CERTIFICATE_FILE_BYTES_MAX) => {
                let message = format!("the file is larger than {} MiB", CERTIFICATE_FILE_BYTES_MAX >> 20);
                sink.error(Code::TlsFiles, named.span.clone(), message);
                None
            }
            Ok(bytes) => Some((path, bytes)),
            Err(error) => {
                sink.error(Code::TlsFiles, named.span.clone(), format!("`{}` cannot be read: {}", path.display(), files::why(&error)))
                    .help("a relative path begins at the folder of gateway.yaml");
                None
            }
        }
    }

    /// Remembers a date, and speaks of it when it is near or over. That is never an error: an outdated list of one partner must not
    /// keep the gateway from starting, nor from taking another change.
    fn dated(&mut self, expiry: Expiry, span: &Span, sink: &mut Sink) {
        let (kind, name, date) = (expiry.kind, crate::config::formats::clip(&expiry.name), expiry.date());
        match expiry.standing(self.now) {
            Standing::Good => {}
            Standing::Soon => {
                let message = format!("the {kind} `{name}` expires on {date}, in {} days", expiry.days_left(self.now));
                let diagnostic = sink.warning(Code::ExpiresSoon, span.clone(), message);
                if kind != Dated::Certificate {
                    diagnostic.help("from then on every certificate of this CA is refused");
                }
            }
            Standing::Expired => {
                let message = format!("the {kind} `{name}` has expired on {date}");
                sink.warning(Code::Expired, span.clone(), message).help(match kind {
                    Dated::Certificate => "clients that check it do not send here",
                    Dated::Ca | Dated::Crl => "every certificate of this CA is refused",
                });
            }
        }
        if !self.expiries.contains(&expiry) {
            self.expiries.push(expiry);
        }
    }
}
