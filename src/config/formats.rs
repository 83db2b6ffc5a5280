//! The formats that texts may have: one function each, used for checking and for building, so that they cannot disagree.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};

use super::diagnostic::{Code, Severity, Sink};
use super::relay_formats;
use super::scalar;
use super::source::Span;
use super::suggest::suggest;
use super::test_formats;

use crate::limits::{DNSBL_ZONE_BYTES_MAX, PATTERNS_REMEMBERED_MAX};
use crate::message::{a_labels, is_field_name};
use crate::rules::{self, Template, TemplateErrorKind};
use crate::smtp::{Address, AddressError, Status};

/// Why a text does not have its format.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// Under which code it is reported.
    pub(crate) code: Code,
    /// What is wrong.
    pub(crate) message: String,
    /// What is right.
    pub(crate) help: Option<String>,
    /// Texts to write instead, and whether it is surely what was meant.
    pub(crate) instead: Vec<(String, bool)>,
}

impl Mistake {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, instead: Vec::new() }
    }

    /// Surely this was meant.
    fn write(mut self, text: impl Into<String>) -> Self {
        self.instead.push((text.into(), true));
        self
    }

    /// This may have been meant.
    fn or_write(mut self, text: impl Into<String>) -> Self {
        self.instead.push((text.into(), false));
        self
    }

    /// Reports it for the text at `span`, which is a scalar of YAML unless `bare`.
    pub(crate) fn report(self, span: Span, severity: Severity, bare: bool, sink: &mut Sink) {
        let source = sink.source();
        let diagnostic = match severity {
            Severity::Warning => sink.warning(self.code, span.clone(), self.message),
            Severity::Error => sink.broken(self.code, span.clone(), self.message),
        };
        diagnostic.help.extend(self.help);
        for (text, is_sure) in self.instead {
            let shown = clip(&text);
            let title = if is_sure { format!("write `{shown}`") } else { format!("did you mean `{shown}`?") };
            let edits = vec![(span.clone(), if bare { text } else { scalar::written(&source, &span, &text) })];
            if is_sure {
                diagnostic.fix(title, edits)
            } else {
                diagnostic.suggest(title, edits)
            };
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Checks a text by the name of its format. `Ok` may hold a warning.
pub(crate) fn check(format: &str, text: &str) -> Result<Option<Mistake>, Mistake> {
    match format {
        "cidr" => return cidr(text).map(|(_, warning)| warning),
        "size" => size(text).map(drop)?,
        "duration" => duration(text).map(drop)?,
        "ip" => ip(text).map(drop)?,
        "listen" => listen(text).map(drop)?,
        "name-server" => name_server(text).map(drop)?,
        "domain" => domain(text).map(drop)?,
        "dns-name" => dns_name(text).map(drop)?,
        "certificate-name" => certificate_name(text).map(drop)?,
        "https-url" => https_url(text).map(drop)?,
        "http-url" => http_url(text).map(drop)?,
        "list-zone" => list_zone(text).map(drop)?,
        "list-code" => list_code(text).map(drop)?,
        "service-address" => service_address(text).map(drop)?,
        "relay-host" => relay_host(text).map(drop)?,
        "regex" => pattern(text).map(drop)?,
        "status-code" => status(text).map(drop)?,
        "address" => address(text).map(drop)?,
        "map-address" => map_address(text).map(drop)?,
        "sender-address" => test_formats::sender_address(text).map(drop)?,
        "expected-recipient" if text != "*" => address(text).map(drop)?,
        "date-time" => test_formats::date_time(text).map(drop)?,
        "dns-question" => test_formats::dns_question(text)?,
        "header-name" => header_name(text)?,
        "template" => template(text).map(drop)?,
        "pin" => relay_formats::pin(text).map(drop)?,
        "line" | "path" => line(text).map(drop)?,
        _ => {}
    }
    Ok(None)
}

/// `192.0.2.0/24` or one address; host bits are a warning.
pub(crate) fn cidr(text: &str) -> Result<(IpNet, Option<Mistake>), Mistake> {
    let wrong = || {
        Mistake::new(Code::Cidr, format!("`{}` is not a network", clip(text)))
            .help("a network is written `192.0.2.0/24` or `2001:db8::/32`, one address `192.0.2.7`")
    };
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| wrong())?),
    };
    if net.addr() == net.network() {
        return Ok((net, None));
    }
    // Written as the network it counts as, nothing is judged otherwise than before.
    let warning = Mistake::new(Code::CidrHostBits, format!("`{text}` has bits set behind the prefix; they do not count"))
        .help(format!("it counts as `{}`; if the one address was meant, leave the prefix out", net.trunc()))
        .write(net.trunc().to_string())
        .or_write(net.addr().to_string());
    Ok((net.trunc(), Some(warning)))
}

/// `40MiB`, `25MB`, `1024`.
pub(crate) fn size(text: &str) -> Result<u64, Mistake> {
    let wrong = || {
        Mistake::new(Code::Size, format!("`{}` is not a size", clip(text)))
            .help("a size is written `40MiB`, `25MB`, `512KiB` or as a number of octets")
    };
    let (digits, unit) = split_unit(text);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// `30s`, `5m`, `2h`, `4d`.
pub(crate) fn duration(text: &str) -> Result<Duration, Mistake> {
    let wrong = || {
        Mistake::new(Code::Duration, format!("`{}` is not a length of time", clip(text)))
            .help("a time is written `30s`, `5m`, `2h` or `4d`")
    };
    let (digits, unit) = split_unit(text);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        other => {
            let factor = match other.to_ascii_lowercase().as_str() {
                "sec" | "secs" | "second" | "seconds" => Some((1, "s")),
                "min" | "mins" | "minute" | "minutes" => Some((1, "m")),
                "hour" | "hours" => Some((1, "h")),
                "day" | "days" => Some((1, "d")),
                "w" | "week" | "weeks" => Some((7, "d")),
                _ => None,
            };
            let written = factor.and_then(|(factor, unit)| Some(format!("{}{unit}", number.checked_mul(factor)?)));
            return Err(match written {
                Some(written) if duration(&written).is_ok() => wrong().write(written),
                _ => wrong(),
            });
        }
    };
    // Ten years are more than any wait, and keep all sums with times far from an overflow.
    number.checked_mul(seconds).filter(|total| *total <= 3650 * 86_400).map(Duration::from_secs).ok_or_else(wrong)
}

/// An IP address.
pub(crate) fn ip(text: &str) -> Result<IpAddr, Mistake> {
    text.parse().map_err(|_| Mistake::new(Code::Cidr, format!("`{}` is not an IP address", clip(text))))
}

/// `0.0.0.0:25`.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, Mistake> {
    text.parse().map_err(|_| {
        Mistake::new(Code::Listen, format!("`{}` is not an address and port", clip(text)))
            .help("write `0.0.0.0:25`, `127.0.0.1:2525` or `[::]:25`")
    })
}

/// The address of a DNS server, with a port or without.
pub(crate) fn name_server(text: &str) -> Result<SocketAddr, Mistake> {
    let wrong = |why: &str| {
        Mistake::new(Code::Listen, format!("`{}` is not the address of a DNS server{why}", clip(text)))
            .help("write `127.0.0.1`, `192.0.2.53:5353` or `[2001:db8::53]:5353`")
    };
    let address = match text.parse::<SocketAddr>() {
        Ok(address) => address,
        Err(_) => SocketAddr::new(text.parse::<IpAddr>().map_err(|_| wrong(""))?, 53),
    };
    match address.ip() {
        ip if ip.is_unspecified() => Err(wrong(": it stands for all of this machine")),
        ip if ip.is_multicast() => Err(wrong(": it stands for many")),
        IpAddr::V4(ip) if ip.is_broadcast() => Err(wrong(": it stands for many")),
        _ if address.port() == 0 => Err(wrong(": there is no port 0")),
        _ => Ok(address),
    }
}

/// A domain of letters, digits and hyphens (RFC 5321 §2.3.5, RFC 1035 §2.3.4), or of U-labels (RFC 6531 §3.3); lower case.
pub(crate) fn domain(text: &str) -> Result<String, Mistake> {
    let wrong = |why: &str| Mistake::new(Code::HostName, format!("`{}` is not a domain: {why}", clip(text)));
    if text.is_empty() {
        return Err(Mistake::new(Code::HostName, "a domain is missing"));
    }
    if text.len() > 253 {
        return Err(wrong("it is longer than 253 octets"));
    }
    if text.ends_with('.') {
        let name = text.trim_end_matches('.');
        return Err(if domain(name).is_ok() { wrong("it ends with a dot").write(name) } else { wrong("it ends with a dot") });
    }
    if let Some((_, domain)) = text.rsplit_once('@') {
        let is_domain = !domain.is_empty() && self::domain(domain).is_ok();
        return Err(match text.starts_with('@') && is_domain {
            true => wrong("it has an `@`").write(domain),
            false if is_domain => wrong("it has an `@`").or_write(domain),
            false => wrong("it has an `@`"),
        });
    }
    for label in text.split('.') {
        if label.is_empty() {
            return Err(wrong("there is nothing between two dots"));
        }
        if label.len() > 63 {
            return Err(wrong("a part of it is longer than 63 octets"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(wrong("a part of it begins or ends with a hyphen"));
        }
        if let Some(c) =
            label.chars().find(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && *c != '-' || c.is_control() || c.is_whitespace())
        {
            return Err(wrong(&format!("{c:?} cannot be part of it")));
        }
    }
    Ok(text.to_lowercase())
}

/// What stands in DNS as it is: our own name, a domain or a selector of ASCII letters, digits and hyphens (RFC 6376 §3.1).
pub(crate) fn dns_name(text: &str) -> Result<String, Mistake> {
    let name = domain(text)?;
    if name.is_ascii() {
        return Ok(name);
    }
    let mistake = Mistake::new(Code::HostName, format!("`{}` is not ASCII, and it stands in header fields and in DNS", clip(text)));
    Err(match a_labels(&name) {
        Some(ascii) => mistake.write(ascii),
        None => mistake.help("write the A-label, which begins with `xn--`"),
    })
}

/// A host name for which HTTP-01 can prove something (RFC 8555 §8.3); internationalised ones as A-labels.
pub(crate) fn certificate_name(text: &str) -> Result<String, Mistake> {
    let wrong = |why: &str, help: &str| {
        Err(Mistake::new(Code::HostName, format!("no certificate can be issued for `{}`: {why}", clip(text))).help(help))
    };
    if text.contains('*') {
        return wrong("a challenge over HTTP proves one name, not a wildcard", "name each host");
    }
    if text.parse::<IpAddr>().is_ok() {
        return wrong("it is an address", "write the host's name");
    }
    if !text.is_ascii() {
        return wrong("it is not ASCII", "write the A-label, which begins with `xn--`");
    }
    domain(text)
}

/// A URL with `https` and a host.
pub(crate) fn https_url(text: &str) -> Result<String, Mistake> {
    url(text, &["https"], "an https URL", "it is written `https://host.example/path`")
}

/// A URL with `http` or `https` and a host.
pub(crate) fn http_url(text: &str) -> Result<String, Mistake> {
    url(text, &["http", "https"], "an http or https URL", "it is written `http://127.0.0.1:9000/path` or `https://host.example/path`")
}

fn url(text: &str, schemes: &[&str], what: &str, help: &str) -> Result<String, Mistake> {
    let wrong = |why: String| Mistake::new(Code::Url, format!("`{}` is not {what}{why}", clip(text))).help(help);
    let url = text.parse::<hyper::Uri>().map_err(|error| wrong(format!(": {error}")))?;
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Mistake::new(Code::SecretInline, "credentials do not belong into a URL").help(help));
    }
    match (url.scheme_str(), url.host()) {
        (Some(scheme), Some(host)) if schemes.contains(&scheme) && !host.is_empty() => Ok(text.to_owned()),
        _ => Err(wrong(String::new())),
    }
}

/// The domain of a DNS list, before which an IPv6 address or a domain has room.
pub(crate) fn list_zone(text: &str) -> Result<String, Mistake> {
    let zone = domain(text)?;
    if !zone.is_ascii() {
        return Err(
            Mistake::new(Code::HostName, format!("`{}` is not ASCII", clip(text))).help("write the A-label, which begins with `xn--`")
        );
    }
    if zone.len() > DNSBL_ZONE_BYTES_MAX {
        return Err(Mistake::new(Code::HostName, format!("`{}` leaves no room for an IPv6 address before it", clip(text))));
    }
    Ok(zone)
}

/// Answers of a DNS list that mean one thing: `127.0.0.2`, `127.0.0.4/30` (RFC 5782 §2.1).
pub(crate) fn list_code(text: &str) -> Result<Ipv4Net, Mistake> {
    let wrong = |why: &str| {
        Mistake::new(Code::BadValue, format!("`{}` is no answer of a DNS list{why}", clip(text)))
            .help("an answer is written `127.0.0.2`, several `127.0.0.4/30`")
    };
    let (net, warning) = cidr(text).map_err(|_| wrong(""))?;
    let IpNet::V4(net) = net else { return Err(wrong("")) };
    if warning.is_some() {
        return Err(wrong(&format!(": bits are set behind its prefix, did you mean `{net}`?")));
    }
    let (all, errors) = (Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8), Ipv4Net::new_assert(Ipv4Addr::new(127, 255, 255, 0), 24));
    if !all.contains(&net) {
        return Err(wrong(": it is not within 127.0.0.0/8"));
    }
    if errors.contains(&net) {
        return Err(wrong(": with 127.255.255.0/24 lists say that they do not answer, and these are always errors"));
    }
    Ok(net)
}

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceAddress {
    /// Host name or address, and port.
    Tcp(String, u16),
    /// The absolute path of a socket.
    Unix(String),
}

/// `127.0.0.1:3310`, `[::1]:3310`, `clamd.example:3310` or `unix:/run/clamav/clamd.ctl`.
pub(crate) fn service_address(text: &str) -> Result<ServiceAddress, Mistake> {
    let wrong = || {
        Mistake::new(Code::BadValue, format!("`{}` is not the address of a service", clip(text)))
            .help("it is written `127.0.0.1:3310`, `clamd.example:3310` or `unix:/run/clamav/clamd.ctl`")
    };
    if let Some(path) = text.strip_prefix("unix:") {
        // sockaddr_un has 108 octets (unix(7)).
        let is_path = path.starts_with('/') && path.len() < 108 && line(path).is_ok();
        return if is_path { Ok(ServiceAddress::Unix(path.to_owned())) } else { Err(wrong()) };
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 { Err(wrong()) } else { Ok(ServiceAddress::Tcp(address.ip().to_string(), address.port())) };
    }
    let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    Ok(ServiceAddress::Tcp(domain(name).map_err(|_| wrong())?, port))
}

/// A host name or an IP address.
fn host(text: &str) -> Result<String, Mistake> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && port.bytes().all(|b| b.is_ascii_digit())
        && domain(name).is_ok()
    {
        return Err(Mistake::new(Code::HostName, format!("`{}` is not a host name: it has a port", clip(text)))
            .help(format!("write `host: {name}` and `port: {port}`")));
    }
    domain(text)
}

/// A host, or `unix:/run/dovecot/lmtp`.
pub(crate) fn relay_host(text: &str) -> Result<String, Mistake> {
    let Some(path) = text.strip_prefix("unix:") else { return host(text) };
    // sockaddr_un has 108 octets (unix(7)).
    if path.starts_with('/') && path.len() < 108 && line(path).is_ok() {
        return Ok(text.to_owned());
    }
    Err(Mistake::new(Code::HostName, format!("`{}` is not the path of a socket", clip(text)))
        .help("it is written `unix:/run/dovecot/lmtp`"))
}

/// Expressions between the check of a file and its building: compiling is what takes longest of both.
static COMPILED: LazyLock<Mutex<HashMap<String, regex::Regex>>> = LazyLock::new(Mutex::default);

/// Forgets the expressions that were checked; those that were built into rules are theirs.
pub(crate) fn forget_patterns() {
    *COMPILED.lock().unwrap_or_else(PoisonError::into_inner) = HashMap::new();
}

/// A regular expression within the bounds of rules.
pub(crate) fn pattern(text: &str) -> Result<regex::Regex, Mistake> {
    let remembered = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = remembered().get(text) {
        return Ok(regex.clone());
    }
    let regex = compile(text)?;
    let mut remembered = remembered();
    if remembered.len() < PATTERNS_REMEMBERED_MAX {
        remembered.insert(text.to_owned(), regex.clone());
    }
    Ok(regex)
}

fn compile(text: &str) -> Result<regex::Regex, Mistake> {
    rules::regex(text).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => Mistake::new(Code::Regex, "the regular expression is too large")
            .help("large repetitions like `{1,1000}` of classes grow it most; an address list may be what is needed"),
        error => {
            let text = error.to_string();
            let why = text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it cannot be read");
            Mistake::new(Code::Regex, format!("not a regular expression: {why}"))
        }
    })
}

/// `5.7.1` (RFC 3463 §2).
pub(crate) fn status(text: &str) -> Result<Status, Mistake> {
    Status::parse(text).ok_or_else(|| {
        Mistake::new(Code::StatusCode, format!("`{}` is not an enhanced status code", clip(text))).help("it is written `5.7.1` (RFC 3463)")
    })
}

/// A mail address with a domain.
pub(crate) fn address(text: &str) -> Result<Address, Mistake> {
    let wrong = |why: &str| {
        Mistake::new(Code::Address, format!("`{}` is not a mail address{why}", clip(text))).help("it is written `local@domain.example`")
    };
    let address = Address::parse(text, true).map_err(|error| match error {
        AddressError::TooLong => wrong(": it is too long"),
        _ => wrong(""),
    })?;
    // What the strict parser lets pass as an address literal or a quoted local part is right here too.
    if address.local_part().is_empty() || address.domain().is_empty() || text.chars().any(char::is_control) {
        return Err(wrong(""));
    }
    if !address.domain().starts_with('[') && domain(address.domain()).is_err() {
        return Err(wrong(": its domain is none"));
    }
    Ok(address)
}

/// An address or `*@domain`: a side of a `map` of ReplaceRecipient.
pub(crate) fn map_address(text: &str) -> Result<Result<Address, String>, Mistake> {
    match text.strip_prefix("*@") {
        Some(rest) => domain(rest).map(Err).map_err(|mistake| Mistake { code: Code::Address, ..mistake }),
        None => address(text).map(Ok),
    }
}

/// A field name (RFC 5322 §2.2, at most 77 octets so that it stays within a line).
pub(crate) fn header_name(text: &str) -> Result<(), Mistake> {
    if is_field_name(text) {
        return Ok(());
    }
    let mistake = Mistake::new(Code::HeaderName, format!("`{}` is not the name of a header field", clip(text)));
    Err(match text.strip_suffix(':') {
        Some(name) if is_field_name(name) => mistake.help("the colon is not part of the name").write(name),
        _ => mistake.help("printable ASCII characters without spaces and colons (RFC 5322 §2.2)"),
    })
}

/// A text with `{{ attribute }}`.
pub(crate) fn template(text: &str) -> Result<Template, Mistake> {
    line(text)?;
    Template::parse(text).map_err(|error| {
        let meant = match &error.kind {
            TemplateErrorKind::UnknownAttribute(name) => suggest(name, Template::names()),
            TemplateErrorKind::Unclosed => None,
        };
        let mistake = Mistake::new(Code::Template, error.to_string());
        match meant {
            Some(name) => mistake.help(format!("did you mean `{name}`?")),
            None => mistake.help(
                "attributes are written `{{ subject }}`; the text attributes and verdicts of conditions, `source_ip` and `message_size` can be filled in",
            ),
        }
    })
}

/// A text without line breaks and control characters.
pub(crate) fn line(text: &str) -> Result<String, Mistake> {
    if text.is_empty() {
        return Err(Mistake::new(Code::Empty, "the text is empty"));
    }
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some(c) => Err(Mistake::new(
            Code::ControlCharacter,
            format!("the text holds {c:?}; line breaks and control characters are not allowed here"),
        )),
        None => Ok(text.to_owned()),
    }
}

/// So much of a text as fits into a message.
pub(crate) fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(80).is_some() {
        clipped.push('…');
    }
    clipped
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!(size("40MiB").ok(), Some(40 << 20));
        assert_eq!(size("25 MB").ok(), Some(25_000_000));
        assert_eq!(size("7").ok(), Some(7));
        for bad in ["", "MiB", "4.5MiB", "-1", "40mib", "99999999999GiB", "18446744073709551616"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(duration("4d").ok(), Some(Duration::from_secs(345_600)));
        for bad in ["30", "", "5 minutes", "1w", "99999999999d", "-5m"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_lose_their_host_bits_with_a_warning() {
        let (net, warning) = cidr("192.0.2.7/24").unwrap();
        assert_eq!(net.to_string(), "192.0.2.0/24");
        assert!(warning.is_some_and(|w| w.code == Code::CidrHostBits));
        assert_eq!(cidr("::1").unwrap().0.to_string(), "::1/128");
        for bad in ["192.0.2.0/33", "300.0.0.1", "192.0.2", "acme.example", "1.2.3.4/", ""] {
            assert!(cidr(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn domains() {
        assert_eq!(domain("ACME.Example").ok().as_deref(), Some("acme.example"));
        assert!(domain("bücher.example").is_ok());
        let long = "a".repeat(64);
        for bad in ["", "acme.example.", ".", "a..b", "-a.b", "a_b.c", "a@b.c", "a b", "a\n", long.as_str()] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_for_certificates_and_urls() {
        assert_eq!(certificate_name("MX1.acme.example").ok().as_deref(), Some("mx1.acme.example"));
        assert!(certificate_name("xn--bcher-kva.example").is_ok() && certificate_name("localhost").is_ok());
        for bad in ["*.acme.example", "192.0.2.1", "::1", "bücher.example", "", "a b"] {
            assert!(certificate_name(bad).is_err(), "{bad}");
        }
        assert!(https_url("https://127.0.0.1:14000/dir").is_ok() && https_url("https://ca.example").is_ok());
        for bad in ["http://ca.example/", "ca.example", "https://", "https://user:word@ca.example/", "/directory", "https://a b/", ""] {
            assert!(https_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dns_lists_and_services() {
        assert!(relay_host("unix:/run/lmtp").is_ok() && relay_host("a.example").is_ok() && relay_host("unix:lmtp").is_err());
        assert!(list_zone("zen.spamhaus.org").is_ok() && list_zone("bücher.example").is_err());
        assert!(list_zone(&["a"; 95].join(".")).is_ok() && list_zone(&["a"; 96].join(".")).is_err());
        for good in ["127.0.0.2", "127.0.0.4/30", "127.0.0.0/8", "127.0.1.255", "127.255.0.0/16"] {
            assert!(list_code(good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.5/30", "127.255.255.254", "127.255.255.0/24", "126.0.0.0/7", "192.0.2.1", "::1", "2", "sbl", ""] {
            assert!(list_code(bad).is_err(), "{bad}");
        }
        assert_eq!(service_address("127.0.0.1:3310").ok(), Some(ServiceAddress::Tcp("127.0.0.1".into(), 3310)));
        assert_eq!(service_address("[::1]:3310").ok(), Some(ServiceAddress::Tcp("::1".into(), 3310)));
        assert_eq!(service_address("clamd:3310").ok(), Some(ServiceAddress::Tcp("clamd".into(), 3310)));
        assert_eq!(service_address("unix:/run/clamd.ctl").ok(), Some(ServiceAddress::Unix("/run/clamd.ctl".into())));
        for bad in ["127.0.0.1", ":3310", "clamd:0", "clamd:65536", "127.0.0.1:0", "unix:", "unix:run/x", "/run/clamd.ctl", "a b:1", ""] {
            assert!(service_address(bad).is_err(), "{bad}");
        }
        assert!(http_url("http://127.0.0.1:11333").is_ok() && http_url("https://[::1]/x?y").is_ok());
        for bad in ["ftp://x/", "127.0.0.1:11333", "http://", "http://user:word@x/", "http:///path", ""] {
            assert!(http_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn name_servers() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(name_server(text).unwrap().to_string(), expected);
        }
        let bad =
            ["", "dns.example", "dns.example:53", "0.0.0.0", "[::]:53", "224.0.0.251:5353", "255.255.255.255", "127.0.0.1:0", "127.0.0.1:"];
        for bad in bad {
            assert!(name_server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses() {
        for good in ["bob@acme.example", "\"b b\"@acme.example", "bob@[192.0.2.1]"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["bob", "@acme.example", "bob@", "postmaster", "bob@a..b", "bob@x\r\n"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
