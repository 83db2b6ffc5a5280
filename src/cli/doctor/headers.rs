//! Whether a provider judged a message by the address that sent it to the gateway, from the header that its reader sees.
//!
//! A provider that does not know the gateway takes the gateway for the sender: SPF fails for everybody, and what lists say of the gateway's
//! address is said of all mail.

use std::net::IpAddr;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The address that sent the message to the gateway, by the gateway's own Received field.
    pub(super) sender: Option<IpAddr>,
    /// What the provider took for the sender's address, with the name of the field that says so.
    pub(super) judged: Vec<(&'static str, IpAddr)>,
}

impl Found {
    /// `None`: the header does not say enough.
    pub(super) fn is_right(&self) -> Option<bool> {
        let sender = self.sender?;
        let (first, others) = self.judged.split_first()?;
        Some(first.1 == sender && others.iter().all(|(_, address)| *address == sender))
    }
}

/// Reads the header of a message as its reader sees it; `hostname` is that of the gateway.
pub(super) fn read(header: &str, hostname: &str) -> Found {
    let fields = unfolded(header);
    let sender = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Received")).find_map(|(_, body)| sender(body, hostname));
    let judged = fields.iter().filter_map(|(name, body)| judged(name, body, hostname)).collect();
    Found { sender, judged }
}

/// Name and body of each field (RFC 5322 §2.2.3), up to the empty line.
fn unfolded(header: &str) -> Vec<(&str, String)> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    for line in header.lines().take_while(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            if let Some((_, body)) = fields.last_mut() {
                body.push(' ');
                body.push_str(line.trim());
            }
        } else if let Some((name, body)) = line.split_once(':') {
            fields.push((name.trim(), body.trim().to_owned()));
        }
    }
    fields
}

/// The client of a Received field that the gateway wrote: `from HELO (NAME [ADDRESS]) … by HOSTNAME …`.
fn sender(body: &str, hostname: &str) -> Option<IpAddr> {
    let (from, by) = body.split_once(" by ")?;
    let host = by.split_ascii_whitespace().next()?;
    // What stands in the last parentheses; HELO may be an address in brackets itself.
    let (_, client) = from.split_once('(')?;
    if host.eq_ignore_ascii_case(hostname) { bracketed(client) } else { None }
}

/// What a field says that the provider took for the sender's address.
fn judged(name: &str, body: &str, hostname: &str) -> Option<(&'static str, IpAddr)> {
    const SKIPPED: &str = "X-MS-Exchange-SkipListedInternetSender";
    const ORIGINAL: &str = "X-MS-Exchange-ExternalOriginalInternetSender";
    const SPF: &str = "Received-SPF";
    for field in [SKIPPED, ORIGINAL] {
        if name.eq_ignore_ascii_case(field) {
            return Some((field, bracketed(body)?));
        }
    }
    let value = |key: &str| body.split([' ', ';']).find_map(|word| word.trim().strip_prefix(key));
    // The gateway may have written one, too.
    let is_ours = value("receiver=").is_some_and(|receiver| receiver.eq_ignore_ascii_case(hostname));
    if !name.eq_ignore_ascii_case(SPF) || is_ours {
        return None;
    }
    Some((SPF, address(value("client-ip=")?)?))
}

fn bracketed(text: &str) -> Option<IpAddr> {
    let (_, rest) = text.split_once('[')?;
    address(rest.split_once(']')?.0)
}

fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches('"');
    let text = text.strip_prefix("IPv6:").unwrap_or(text);
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: &str = "Received: from mail.sender.example (out.sender.example [104.47.22.106])\r\n\
                            \t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n\
                            \tby mx1.acme.example (gateway) with ESMTPS id 1a2b\r\n\tfor <bob@acme.example>;\r\n\tSat, 21 Nov 2026 16:00:00 +0000\r\n";

    #[test]
    fn what_providers_stamp() {
        const SKIPPED: &str = "X-MS-Exchange-SkipListedInternetSender: ip=[104.47.22.106];domain=mail.sender.example\r\n";
        const ORIGINAL: &str = "X-MS-Exchange-ExternalOriginalInternetSender:\r\n ip=[104.47.22.106];domain=mail.sender.example\r\n";
        const MICROSOFT: &str = "Received-SPF: Pass (protection.outlook.com: domain of sender.example designates 104.47.22.106 as permitted\r\n \
                                 sender) receiver=protection.outlook.com; client-ip=104.47.22.106; helo=mail.sender.example; pr=C\r\n";
        const GOOGLE: &str = "Received-SPF: pass (google.com: domain of a@sender.example designates 104.47.22.106 as permitted sender)\r\n \
                              client-ip=104.47.22.106;\r\n";
        const OF_THE_GATEWAY: &str = "Received-SPF: fail (google.com: domain of a@sender.example does not designate 192.0.2.25 as permitted\r\n \
                                      sender) client-ip=192.0.2.25;\r\n";
        const OURS: &str = "Received-SPF: pass (mx1.acme.example: …) receiver=mx1.acme.example; client-ip=198.51.100.1; helo=x\r\n";
        for (header, expected) in [
            (format!("{SKIPPED}{ORIGINAL}{MICROSOFT}{RECEIVED}"), Some(true)),
            (format!("{GOOGLE}{RECEIVED}"), Some(true)),
            (format!("{OF_THE_GATEWAY}{RECEIVED}"), Some(false)),
            // One that is right does not make up for one that is wrong.
            (format!("{SKIPPED}{OF_THE_GATEWAY}{RECEIVED}"), Some(false)),
            (format!("{GOOGLE}{RECEIVED}{OURS}"), Some(true)),
            (format!("Received-SPF: pass client-ip=\"104.47.22.106\"\r\n{RECEIVED}"), Some(true)),
            (format!("{RECEIVED}{OURS}"), None),
            (GOOGLE.to_owned(), None),
            // Another hop's field, and what stands in the body.
            (format!("{GOOGLE}{}", RECEIVED.replace("mx1.", "mx2.")), None),
            (format!("{RECEIVED}\r\n{GOOGLE}"), None),
            (String::new(), None),
        ] {
            assert_eq!(read(&header, "mx1.acme.example").is_right(), expected, "{header}");
        }
    }

    #[test]
    fn senders_in_every_form() {
        for (client, expected) in [
            ("from x (unknown [IPv6:2001:db8::1])", Some("2001:db8::1")),
            ("from [192.0.2.1] (unknown [203.0.113.9])", Some("203.0.113.9")),
            ("from x (y [::ffff:203.0.113.9])", Some("203.0.113.9")),
            ("from x (y)", None),
            ("from x", None),
        ] {
            let found = read(&format!("Received: {client}\n\tby MX1.acme.example (gateway) with ESMTP;\n\tdate\n"), "mx1.acme.example");
            assert_eq!(found.sender.map(|address| address.to_string()).as_deref(), expected, "{client}");
        }
    }
}
