//! `check_host()` of RFC 7208 §4: one record, those that it includes, and the one that it redirects to.

use std::net::IpAddr;
use std::pin::Pin;

use futures_util::stream::{FuturesOrdered, StreamExt};

use super::lookups::Lookups;
use super::macros::{MacroString, Values};
use super::record::{Directive, Mechanism, Prefix, Record, is_spf};
use crate::dns::{DnsError, Records};
use crate::limits::{DNS_NAME_BYTES_MAX, DOMAIN_LABEL_BYTES_MAX, SPF_MX_NAMES_MAX, SPF_PTR_NAMES_MAX, SPF_TERMS_MAX, SPF_VOID_LOOKUPS_MAX};
use crate::message::SpfResult;

/// Who is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'s> {
    /// Never a v4-mapped IPv6 address.
    pub client_ip: IpAddr,
    pub local_part: &'s str,
    pub domain: &'s str,
    pub helo: &'s str,
    pub hostname: &'s str,
    pub unix_seconds: i64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub result: SpfResult,
    /// The directive that matched.
    pub mechanism: Option<String>,
    pub reason: String,
    pub explanation: Option<Box<str>>,
}

/// Judges the subject's domain.
pub(super) async fn evaluate(lookups: &impl Lookups, subject: Subject<'_>) -> Outcome {
    let mut evaluation = Evaluation { lookups, subject, terms: 0, voids: 0, void_term: 0, client_names: None };
    evaluation.check_host(subject.domain.to_owned(), Explain::Yes).await
}

/// Why an evaluation ends before its time (RFC 7208 §2.6.6, §2.6.7).
enum Stop {
    Temporary(String),
    Permanent(String),
}

/// RFC 7208 §5.2, §6.2: only the record that decides explains, not those it includes.
#[derive(Clone, Copy)]
enum Explain {
    Yes,
    No,
}

struct Evaluation<'e, L> {
    lookups: &'e L,
    subject: Subject<'e>,
    /// Terms so far that ask DNS.
    terms: u32,
    /// How many of them had a question that found nothing.
    voids: u32,
    /// The last of those, by its number among the terms.
    void_term: u32,
    /// Once they were asked for.
    client_names: Option<ClientNames>,
}

/// The names of the client (RFC 7208 §5.5).
struct ClientNames {
    /// Those that lead back to it.
    validated: Vec<Box<str>>,
    /// Its address has no name at all.
    is_void: bool,
}

impl<L: Lookups> Evaluation<'_, L> {
    async fn check_host(&mut self, mut domain: String, explain: Explain) -> Outcome {
        let mut is_redirected = false;
        loop {
            match self.check_record(&domain, explain).await {
                Ok(Next::Redirect(target)) => (domain, is_redirected) = (target, true),
                // RFC 7208 §6.1
                Ok(Next::Done(outcome)) if is_redirected && outcome.result == SpfResult::None => {
                    return Outcome::new(SpfResult::Permerror, format!("redirect: {}", outcome.reason));
                }
                Ok(Next::Done(outcome)) => return outcome,
                Err(Stop::Temporary(reason)) => return Outcome::new(SpfResult::Temperror, reason),
                Err(Stop::Permanent(reason)) => return Outcome::new(SpfResult::Permerror, reason),
            }
        }
    }

    async fn check_record(&mut self, domain: &str, explain: Explain) -> Result<Next, Stop> {
        let none = |reason| Ok(Next::Done(Outcome::new(SpfResult::None, reason)));
        // RFC 7208 §4.3
        if !is_name(domain) || !domain.contains('.') {
            return none(format!("\"{domain}\" is no domain to ask for"));
        }
        let texts = answer(self.lookups.txt(domain).await, "TXT", domain)?;
        let mut records = texts.records.iter().filter(|record| is_spf(record));
        let record = match (records.next(), records.next()) {
            (None, _) => return none(format!("{domain} has no SPF record")),
            (Some(record), None) => record,
            (Some(_), Some(_)) => return Err(Stop::Permanent(format!("{domain} has several SPF records"))),
        };
        let record = Record::parse(record).map_err(|error| Stop::Permanent(format!("the record of {domain}: {error}")))?;
        for directive in record.directives() {
            if let Some(inner) = self.matches(&directive.mechanism, domain).await? {
                return Ok(Next::Done(self.matched(&record, &directive, domain, &inner, explain).await));
            }
        }
        let Some(redirect) = &record.redirect else {
            // RFC 7208 §4.7
            return Ok(Next::Done(Outcome::new(
                SpfResult::Neutral,
                format!("nothing in the record of {domain} matches {}", self.subject.client_ip),
            )));
        };
        self.count_term()?;
        Ok(Next::Redirect(self.expand(redirect, domain).await))
    }

    async fn matched(&mut self, record: &Record<'_>, directive: &Directive<'_>, domain: &str, inner: &str, explain: Explain) -> Outcome {
        let Directive { result, text, .. } = directive;
        let reason = format!("{} matches {text} of {domain}{inner}", self.subject.client_ip);
        let mut outcome = Outcome { mechanism: Some((*text).to_owned()), ..Outcome::new(*result, reason) };
        if let (SpfResult::Fail, Explain::Yes, Some(explanation)) = (result, explain, &record.explanation) {
            outcome.explanation = self.explanation(explanation, domain).await;
        }
        outcome
    }

    /// Whether the client matches; the text is empty, or what an included record says.
    async fn matches(&mut self, mechanism: &Mechanism<'_>, domain: &str) -> Result<Option<String>, Stop> {
        let client = self.subject.client_ip;
        let is_match = match mechanism {
            Mechanism::All => true,
            Mechanism::Ip4(network, bits) => is_in(client, IpAddr::V4(*network), Prefix { ipv4: *bits, ipv6: 128 }),
            Mechanism::Ip6(network, bits) => is_in(client, IpAddr::V6(*network), Prefix { ipv4: 32, ipv6: *bits }),
            Mechanism::Include(target) => return self.include(target, domain).await,
            Mechanism::A { domain: target, prefix } => {
                let target = self.target(target.as_ref(), domain).await?;
                self.has_client(&target, *prefix).await?
            }
            Mechanism::Mx { domain: target, prefix } => {
                let target = self.target(target.as_ref(), domain).await?;
                self.mx_has_client(&target, *prefix).await?
            }
            Mechanism::Ptr(target) => {
                let target = self.target(target.as_ref(), domain).await?;
                self.ptr_is_below(&target).await?
            }
            Mechanism::Exists(target) => {
                let target = self.target(Some(target), domain).await?;
                // RFC 7208 §5.7: A, whatever the client's address is.
                is_name(&target) && {
                    let addresses = answer(self.lookups.ipv4(&target).await, "A", &target)?;
                    !self.count_void(addresses)?.is_empty()
                }
            }
        };
        Ok(is_match.then(String::new))
    }

    /// RFC 7208 §5.2.
    async fn include(&mut self, target: &MacroString<'_>, domain: &str) -> Result<Option<String>, Stop> {
        let target = self.target(Some(target), domain).await?;
        let outcome = self.check_included(target).await;
        match outcome.result {
            SpfResult::Pass => Ok(Some(format!(" ({})", outcome.reason))),
            SpfResult::Fail | SpfResult::Softfail | SpfResult::Neutral | SpfResult::Policy => Ok(None),
            SpfResult::Temperror => Err(Stop::Temporary(format!("include: {}", outcome.reason))),
            SpfResult::Permerror | SpfResult::None => Err(Stop::Permanent(format!("include: {}", outcome.reason))),
        }
    }

    /// As deep as there may be terms that include.
    fn check_included(&mut self, domain: String) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(self.check_host(domain, Explain::No))
    }

    /// The name that a term asks for, which counts the term.
    async fn target(&mut self, target: Option<&MacroString<'_>>, domain: &str) -> Result<String, Stop> {
        self.count_term()?;
        match target {
            Some(target) => Ok(self.expand(target, domain).await),
            None => Ok(domain.to_owned()),
        }
    }

    async fn has_client(&mut self, name: &str, prefix: Prefix) -> Result<bool, Stop> {
        let presence = presence(self.lookups, self.subject.client_ip, name, prefix).await?;
        self.is_present(presence)
    }

    fn is_present(&mut self, presence: Presence) -> Result<bool, Stop> {
        if presence == Presence::Void {
            self.another_void()?;
        }
        Ok(presence == Presence::Here)
    }

    /// RFC 7208 §5.4.
    async fn mx_has_client(&mut self, name: &str, prefix: Prefix) -> Result<bool, Stop> {
        if !is_name(name) {
            return Ok(false);
        }
        let hosts = answer(self.lookups.mx(name).await, "MX", name)?;
        let hosts = self.count_void(hosts)?;
        // RFC 7208 §4.6.4. Whether one of the first ten matches does not count, for their order is chance.
        if hosts.len() > SPF_MX_NAMES_MAX {
            return Err(Stop::Permanent(format!("{name} has more than {SPF_MX_NAMES_MAX} mail exchangers")));
        }
        let mut hosts: Vec<&(u16, Box<str>)> = hosts.iter().collect();
        hosts.sort_by_key(|(preference, _)| *preference);
        // All are asked side by side, and judged in their order: whether one matches before another finds nothing, or is in trouble, is
        // what it would be one after the other.
        let (lookups, client) = (self.lookups, self.subject.client_ip);
        let mut presences: FuturesOrdered<_> = hosts.into_iter().map(|(_, host)| presence(lookups, client, host, prefix)).collect();
        while let Some(presence) = presences.next().await {
            if self.is_present(presence?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// RFC 7208 §5.5: a name of the client that leads back to it is the target, or below it.
    async fn ptr_is_below(&mut self, target: &str) -> Result<bool, Stop> {
        let names = self.client_names().await;
        let is_match = names.validated.iter().any(|name| is_below(name, target));
        if names.is_void {
            self.another_void()?;
        }
        Ok(is_match)
    }

    /// Asks for the names of the client, once. Trouble with DNS is a name less (RFC 7208 §5.5).
    ///
    /// That names do not lead back is no void lookup: the sender's domain does not choose the names of a client.
    async fn client_names(&mut self) -> &ClientNames {
        let names = match self.client_names.take() {
            Some(names) => names,
            None => self.ask_client_names().await,
        };
        self.client_names.insert(names)
    }

    async fn ask_client_names(&self) -> ClientNames {
        let client = self.subject.client_ip;
        let Ok(names) = self.lookups.ptr(client).await else { return ClientNames { validated: Vec::new(), is_void: false } };
        let mut validated = Vec::new();
        // RFC 7208 §4.6.4: further names are ignored.
        for name in names.records.iter().take(SPF_PTR_NAMES_MAX).filter(|name| is_name(name)) {
            let leads_back = match client {
                IpAddr::V4(client) => self.lookups.ipv4(name).await.is_ok_and(|addresses| addresses.records.contains(&client)),
                IpAddr::V6(client) => self.lookups.ipv6(name).await.is_ok_and(|addresses| addresses.records.contains(&client)),
            };
            if leads_back {
                validated.push(name.clone());
            }
        }
        ClientNames { validated, is_void: names.records.is_empty() }
    }

    async fn expand(&mut self, text: &MacroString<'_>, domain: &str) -> String {
        self.need_names_of(text).await;
        text.to_name(&self.values(domain))
    }

    /// RFC 7208 §6.2: whatever goes wrong, there is no explanation. Its question counts for nothing (§4.6.4).
    async fn explanation(&mut self, target: &MacroString<'_>, domain: &str) -> Option<Box<str>> {
        let name = self.expand(target, domain).await;
        if !is_name(&name) {
            return None;
        }
        let texts = self.lookups.txt(&name).await.ok()?;
        let [text] = texts.records.as_ref() else { return None };
        let text = MacroString::explanation(std::str::from_utf8(text).ok()?).ok()?;
        self.need_names_of(&text).await;
        text.to_explanation(&self.values(domain))
    }

    async fn need_names_of(&mut self, text: &MacroString<'_>) {
        if text.asks_for_validated_name() {
            self.client_names().await;
        }
    }

    fn values<'v>(&'v self, domain: &'v str) -> Values<'v> {
        let Subject { client_ip, local_part, domain: sender_domain, helo, hostname, unix_seconds } = self.subject;
        // RFC 7208 §7.3: the domain itself, else a name below it, else any.
        let names = self.client_names.as_ref().map_or(&[][..], |names| &names.validated);
        let validated_name =
            names.iter().find(|name| name.eq_ignore_ascii_case(domain)).or_else(|| names.iter().find(|name| is_below(name, domain)));
        let validated_name = validated_name.or(names.first()).map_or("unknown", |name| &**name);
        Values { local_part, sender_domain, domain, client_ip, validated_name, helo, hostname, unix_seconds }
    }

    /// RFC 7208 §4.6.4.
    fn count_term(&mut self) -> Result<(), Stop> {
        self.terms = self.terms.saturating_add(1);
        if self.terms > SPF_TERMS_MAX {
            return Err(Stop::Permanent(format!("more than {SPF_TERMS_MAX} terms that ask DNS")));
        }
        Ok(())
    }

    /// RFC 7208 §4.6.4.
    fn count_void<T>(&mut self, answer: Records<T>) -> Result<std::sync::Arc<[T]>, Stop> {
        if answer.records.is_empty() {
            self.another_void()?;
        }
        Ok(answer.records)
    }

    /// RFC 7208 §4.6.4 counts terms, not questions: an `mx` whose three hosts have IPv4 alone is one for a client with IPv6.
    fn another_void(&mut self) -> Result<(), Stop> {
        if self.void_term == self.terms {
            return Ok(());
        }
        self.void_term = self.terms;
        self.voids = self.voids.saturating_add(1);
        if self.voids > SPF_VOID_LOOKUPS_MAX {
            return Err(Stop::Permanent(format!("more than {SPF_VOID_LOOKUPS_MAX} terms whose DNS questions find nothing")));
        }
        Ok(())
    }
}

/// Whether a name has an address with the client's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Here,
    Elsewhere,
    /// It has no address at all.
    Void,
}

/// RFC 7208 §5: A or AAAA by the kind of the client's address.
async fn presence(lookups: &impl Lookups, client: IpAddr, name: &str, prefix: Prefix) -> Result<Presence, Stop> {
    if !is_name(name) {
        return Ok(Presence::Elsewhere);
    }
    let of = |is_void: bool, is_here: bool| {
        if is_void {
            Presence::Void
        } else if is_here {
            Presence::Here
        } else {
            Presence::Elsewhere
        }
    };
    Ok(if client.is_ipv4() {
        let found = answer(lookups.ipv4(name).await, "A", name)?.records;
        of(found.is_empty(), found.iter().any(|address| is_in(client, IpAddr::V4(*address), prefix)))
    } else {
        let found = answer(lookups.ipv6(name).await, "AAAA", name)?.records;
        of(found.is_empty(), found.iter().any(|address| is_in(client, IpAddr::V6(*address), prefix)))
    })
}

enum Next {
    Done(Outcome),
    Redirect(String),
}

impl Outcome {
    pub(super) fn new(result: SpfResult, reason: String) -> Self {
        Self { result, mechanism: None, reason, explanation: None }
    }
}

/// What was asked, or why the evaluation ends.
fn answer<T>(answer: Result<Records<T>, DnsError>, kind: &str, name: &str) -> Result<Records<T>, Stop> {
    match answer {
        Ok(records) => Ok(records),
        // A name that cannot be asked for is one that does not exist.
        Err(DnsError::NoName) => Ok(Records { records: std::sync::Arc::new([]), exists: false }),
        Err(error) => Err(Stop::Temporary(format!("{kind} of {name}: {error}"))),
    }
}

/// Whether a name can be asked for. RFC 8616 §4: what holds more than ASCII, by way of a local part, matches nothing.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= DNS_NAME_BYTES_MAX
        && name.is_ascii()
        && name.split('.').all(|label| !label.is_empty() && label.len() <= DOMAIN_LABEL_BYTES_MAX)
}

/// Whether the name is the domain or below it.
fn is_below(name: &str, domain: &str) -> bool {
    let Some(start) = name.len().checked_sub(domain.len()) else { return false };
    let Some((before, end)) = name.split_at_checked(start) else { return false };
    end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
}

/// Whether two addresses of one kind have the first bits in common.
fn is_in(client: IpAddr, network: IpAddr, prefix: Prefix) -> bool {
    match (client, network) {
        (IpAddr::V4(client), IpAddr::V4(network)) => {
            let differing = client.to_bits() ^ network.to_bits();
            differing.checked_shr(32_u32.saturating_sub(prefix.ipv4.into())).unwrap_or(0) == 0
        }
        (IpAddr::V6(client), IpAddr::V6(network)) => {
            let differing = client.to_bits() ^ network.to_bits();
            differing.checked_shr(128_u32.saturating_sub(prefix.ipv6.into())).unwrap_or(0) == 0
        }
        _ => false,
    }
}
