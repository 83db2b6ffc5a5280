//! What header fields tell of how a message came: Received and Authentication-Results.

use std::net::IpAddr;

use crate::message::TlsVersion;

/// A Received field (RFC 5321 §4.4), as far as it can be read: what servers write there is their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) helo: Option<String>,
    pub(super) client: Option<IpAddr>,
    pub(super) by: Option<String>,
    /// The protocol, upper case.
    pub(super) with: String,
    pub(super) recipient: Option<String>,
    pub(super) tls: Option<TlsVersion>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Clause {
    Other,
    From,
    By,
    With,
    For,
}

impl Received {
    /// Reads the field's value.
    pub(super) fn parse(value: &[u8]) -> Self {
        let mut field = Self::default();
        let mut clause = Clause::Other;
        let mut is_begin = false;
        for token in tokens(&String::from_utf8_lossy(value)) {
            match token {
                Token::End => break,
                Token::Comment(text) => {
                    if clause == Clause::From {
                        field.client = field.client.or_else(|| address(&text));
                    }
                    let version = [("TLSv1.3", TlsVersion::Tls1_3), ("TLS1_3", TlsVersion::Tls1_3), ("TLSv1.2", TlsVersion::Tls1_2)];
                    let version = version.into_iter().chain([("TLS1_2", TlsVersion::Tls1_2)]).find(|(word, _)| text.contains(word));
                    field.tls = field.tls.or(version.map(|(_, version)| version));
                }
                Token::Word(word) if is_begin => {
                    is_begin = false;
                    match clause {
                        Clause::From => {
                            field.client = address(&word);
                            field.helo = Some(word);
                        }
                        Clause::By => field.by = Some(word.trim_end_matches('.').to_ascii_lowercase()),
                        Clause::With => field.with = word.to_ascii_uppercase(),
                        Clause::For => field.recipient = Some(word.trim_start_matches('<').trim_end_matches('>').to_owned()),
                        Clause::Other => {}
                    }
                }
                Token::Word(word) => {
                    let next = match word.to_ascii_lowercase().as_str() {
                        "from" => Clause::From,
                        "by" => Clause::By,
                        "with" => Clause::With,
                        "for" => Clause::For,
                        "id" | "via" => Clause::Other,
                        _ => continue,
                    };
                    (clause, is_begin) = (next, true);
                }
            }
        }
        field
    }

    /// Whether the client spoke TLS (RFC 3848).
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some() || ["ESMTPS", "ESMTPSA", "UTF8SMTPS", "UTF8SMTPSA", "SMTPS"].contains(&self.with.as_str())
    }

    /// Whether the client had logged in (RFC 3848).
    pub(super) fn is_authenticated(&self) -> bool {
        ["ESMTPA", "ESMTPSA", "UTF8SMTPA", "UTF8SMTPSA"].contains(&self.with.as_str())
    }
}

/// One result of an Authentication-Results field (RFC 8601 §2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MethodResult {
    pub(super) method: String,
    pub(super) result: String,
    pub(super) properties: Vec<(String, String)>,
    pub(super) comments: Vec<String>,
}

impl MethodResult {
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The word behind `name=` in a comment.
    pub(super) fn noted(&self, name: &str) -> Option<&str> {
        let words = self.comments.iter().flat_map(|comment| comment.split_whitespace());
        words.filter_map(|word| word.split_once('=')).find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// The authserv-id of an Authentication-Results field, lower case, and its results.
pub(super) fn authentication_results(value: &[u8]) -> (String, Vec<MethodResult>) {
    let mut parts = vec![MethodResult::default()];
    let mut id = String::new();
    for token in tokens(&String::from_utf8_lossy(value)) {
        let is_first = parts.len() == 1;
        let Some(part) = parts.last_mut() else { break };
        match token {
            Token::End => parts.push(MethodResult::default()),
            Token::Comment(text) => part.comments.push(text),
            Token::Word(word) if is_first => {
                if id.is_empty() {
                    id = word.trim_matches('"').to_ascii_lowercase();
                }
            }
            Token::Word(word) => match word.split_once('=') {
                Some((method, result)) if part.method.is_empty() => {
                    let method = method.split('/').next().unwrap_or_default();
                    (part.method, part.result) = (method.to_ascii_lowercase(), result.to_ascii_lowercase());
                }
                Some((name, value)) => part.properties.push((name.to_ascii_lowercase(), value.trim_matches('"').to_owned())),
                None => {}
            },
        }
    }
    (id, parts.into_iter().filter(|part| !part.method.is_empty()).collect())
}

enum Token {
    Word(String),
    /// What stands in the outermost brackets.
    Comment(String),
    /// `;`
    End,
}

fn tokens(text: &str) -> Vec<Token> {
    let (mut tokens, mut word) = (Vec::new(), String::new());
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for char in text.chars() {
        let is_divider = !escaped && !quoted && depth == 0 && (char.is_whitespace() || matches!(char, ';' | '('));
        if is_divider && !word.is_empty() {
            tokens.push(Token::Word(std::mem::take(&mut word)));
        }
        match char {
            _ if escaped => {
                escaped = false;
                word.push(char);
            }
            '\\' if quoted || depth > 0 => escaped = true,
            '"' if depth == 0 => {
                quoted = !quoted;
                word.push(char);
            }
            '(' if !quoted => {
                if depth > 0 {
                    word.push(char);
                }
                depth = depth.saturating_add(1);
            }
            ')' if depth == 1 => {
                depth = 0;
                tokens.push(Token::Comment(std::mem::take(&mut word)));
            }
            ')' if depth > 1 => {
                depth = depth.saturating_sub(1);
                word.push(char);
            }
            ';' if !quoted && depth == 0 => tokens.push(Token::End),
            char if is_divider && char.is_whitespace() => {}
            char => word.push(char),
        }
    }
    if !word.is_empty() {
        tokens.push(Token::Word(word));
    }
    tokens
}

/// The address in a text: in square brackets, or bare.
fn address(text: &str) -> Option<IpAddr> {
    let bare = |text: &str| {
        let text = text.trim();
        let text = text.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).and_then(|_| text.get(5..)).unwrap_or(text);
        text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
    };
    let bracketed = text.rsplit_once('[').and_then(|(_, rest)| bare(rest.split(']').next()?));
    bracketed.or_else(|| text.split_whitespace().find_map(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_fields_of_many_servers_are_read() {
        for (value, helo, client, by, with, recipient, tls) in [
            (
                " from mail.x.example (mail.x.example [203.0.113.9])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n\tby mx1.acme.example (Gateway) with ESMTPS id 06-1\r\n\tfor <bob@acme.example>;\r\n\tSun, 22 Nov 2026 07:00:00 +0000\r\n",
                Some("mail.x.example"),
                Some("203.0.113.9"),
                "mx1.acme.example",
                "ESMTPS",
                Some("bob@acme.example"),
                Some(TlsVersion::Tls1_3),
            ),
            (
                " from mail-a.google.com (mail-a.google.com. [2001:db8::5]) by mx.google.com with ESMTPS id x (version=TLS1_3 cipher=TLS_AES_128_GCM_SHA256 bits=128/128); Sat",
                Some("mail-a.google.com"),
                Some("2001:db8::5"),
                "mx.google.com",
                "ESMTPS",
                None,
                Some(TlsVersion::Tls1_3),
            ),
            (
                " from a.prod.outlook.com (2001:db8::7) by\r\n b.prod.outlook.com with HTTPS; Sat",
                Some("a.prod.outlook.com"),
                Some("2001:db8::7"),
                "b.prod.outlook.com",
                "HTTPS",
                None,
                None,
            ),
            (" from [192.0.2.1] (unknown [IPv6:2001:db8::9]) by x", Some("[192.0.2.1]"), Some("192.0.2.1"), "x", "", None, None),
            (" by 2002:a17:906::1 with SMTP id y; Sat", None, None, "2002:a17:906::1", "SMTP", None, None),
        ] {
            let field = Received::parse(value.as_bytes());
            let client = client.map(|client| client.parse().expect("an address"));
            assert_eq!((field.helo.as_deref(), field.client, field.by.as_deref()), (helo, client, Some(by)), "{value}");
            assert_eq!((field.with.as_str(), field.recipient.as_deref(), field.tls), (with, recipient, tls), "{value}");
        }
        for broken in ["", ";;;", "from", "from (", "((((", "from \"", "by by by", "\u{0}\u{ff}"] {
            Received::parse(broken.as_bytes());
        }
    }

    #[test]
    fn results_are_read_with_properties_and_notes() {
        let value = b" mx1.acme.example;\r\n\tspf=pass (matched ip4:203.0.113.0/24) smtp.mailfrom=x.example;\r\n\tdkim=pass header.d=x.example header.s=a;\r\n\tdmarc=fail (p=reject dis=reject none aligns) header.from=x.example polrec.p=reject\r\n";
        let (id, results) = authentication_results(value);
        assert_eq!(id, "mx1.acme.example");
        let words: Vec<_> = results.iter().map(|one| (one.method.as_str(), one.result.as_str())).collect();
        assert_eq!(words, [("spf", "pass"), ("dkim", "pass"), ("dmarc", "fail")]);
        assert_eq!((results[0].property("smtp.mailfrom"), results[1].property("header.d")), (Some("x.example"), Some("x.example")));
        assert_eq!(results[2].noted("p"), Some("reject"));
        assert_eq!(authentication_results(b" x; none").1, []);
    }
}
