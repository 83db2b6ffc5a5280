//! Commands of the client: one line, CRLF already removed, becomes a typed command or the reply that refuses it.
//!
//! Nothing of the line is echoed. What has passed is safe to log: no controls, lengths limited, addresses checked.

use std::sync::Arc;

use super::address::is_domain;
use super::dsn::xtext_octets;
use super::login::AuthArgument;
use super::{Address, AddressError, EnvelopeId, MailTerms, Notify, OriginalRecipient, RcptParameters, Reply, Return, ReversePath, replies};
use crate::limits::DOMAIN_BYTES_MAX;

/// A command with checked arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// HELO or EHLO.
    Helo {
        /// The argument.
        name: Arc<str>,
        /// EHLO.
        extended: bool,
    },
    /// MAIL.
    Mail {
        /// The path; a source route is already gone.
        reverse_path: ReversePath,
        /// The parameters.
        parameters: MailParameters,
    },
    /// RCPT.
    Rcpt {
        /// The address; a source route is already gone.
        address: Address,
        /// The parameters.
        parameters: RcptParameters,
    },
    /// DATA.
    Data,
    /// BDAT (RFC 3030).
    Bdat {
        /// Octets that follow the line.
        bytes: u64,
        /// They end the message.
        last: bool,
    },
    /// STARTTLS.
    StartTls,
    /// AUTH; its argument is read where it is known whether a login is possible at all.
    Auth {
        /// Mechanism and initial response.
        argument: AuthArgument,
    },
    /// RSET.
    Rset,
    /// NOOP, with or without text.
    Noop,
    /// VRFY of something.
    Vrfy,
    /// HELP, with or without text.
    Help,
    /// QUIT.
    Quit,
}

/// Parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `SIZE` (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=8BITMIME` (RFC 6152).
    pub eight_bit: bool,
    /// `SMTPUTF8` (RFC 6531).
    pub smtputf8: bool,
    /// `AUTH=` with a valid value (RFC 4954 §5), which nobody believes.
    pub auth: bool,
    /// `REQUIRETLS`, `RET` and `ENVID`.
    pub terms: MailTerms,
}

impl Command {
    /// Reads a command line. `smtputf8` says whether the transaction under way has the parameter; MAIL brings its own.
    pub fn parse(line: &[u8], smtputf8: bool) -> Result<Self, Reply> {
        // RFC 5321 §4.1.1: white space before CRLF is to be tolerated; tabs are, there alone.
        let line = std::str::from_utf8(line).map_err(|_| replies::BAD_CHARACTERS)?.trim_end_matches([' ', '\t']);
        // CR, LF and NUL within a line come here too: only CRLF ends a line (RFC 5321 §2.3.8).
        if line.chars().any(char::is_control) {
            return Err(replies::BAD_CHARACTERS);
        }
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let argument = argument.trim_start_matches(' ');
        let verb = verb.to_ascii_uppercase();
        if !line.is_ascii() && !matches!(verb.as_str(), "MAIL" | "RCPT") {
            return Err(replies::BAD_CHARACTERS);
        }
        match verb.as_str() {
            "HELO" => Ok(Self::Helo { name: helo_name(argument)?, extended: false }),
            "EHLO" => Ok(Self::Helo { name: helo_name(argument)?, extended: true }),
            "MAIL" => mail(argument),
            "RCPT" => rcpt(argument, smtputf8),
            "DATA" => alone(argument, Self::Data),
            "BDAT" => bdat(argument),
            "STARTTLS" => alone(argument, Self::StartTls),
            "AUTH" => Ok(Self::Auth { argument: AuthArgument::new(argument) }),
            "RSET" => alone(argument, Self::Rset),
            "QUIT" => alone(argument, Self::Quit),
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "VRFY" if argument.is_empty() => Err(replies::ARGUMENT_MISSING),
            "VRFY" => Ok(Self::Vrfy),
            "EXPN" | "ETRN" | "ATRN" | "TURN" | "SEND" | "SOML" | "SAML" => Err(replies::NOT_IMPLEMENTED),
            _ => Err(replies::UNKNOWN_COMMAND),
        }
    }
}

fn alone(argument: &str, command: Command) -> Result<Command, Reply> {
    if argument.is_empty() { Ok(command) } else { Err(replies::ARGUMENT_UNEXPECTED) }
}

/// RFC 5321 §4.1.1.1 asks for a domain or an address literal. Clients in the field send bare names, underscores, template markers (`%h`)
/// and addresses without brackets too, and §4.1.4 wants no mail lost for it. So the rule is the alphabet, that of atoms and literals
/// (RFC 5322 §3.2.3): it has no space, no quote, no parenthesis and no bracket but the outer pair, so that a name cannot pass for the
/// `name [address]` of a Received field. SPF finds nothing to ask for in such a name.
fn helo_name(argument: &str) -> Result<Arc<str>, Reply> {
    if argument.is_empty() {
        return Err(replies::ARGUMENT_MISSING);
    }
    let inner = argument.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(argument);
    let good = inner.bytes().all(|b| b.is_ascii_alphanumeric() || b".:!#$%&'*+-/=?^_`{|}~".contains(&b))
        && !inner.bytes().all(|b| matches!(b, b'.' | b'-' | b'_'))
        && argument.len() <= DOMAIN_BYTES_MAX;
    if good { Ok(argument.into()) } else { Err(replies::HELO_INVALID) }
}

fn mail(argument: &str) -> Result<Command, Reply> {
    let (path, rest) = strip_keyword(argument, "FROM:").and_then(split_path).ok_or(replies::MAIL_SYNTAX)?;
    let parameters = mail_parameters(rest)?;
    let reverse_path = match path {
        "" => ReversePath::Null,
        path => {
            let address = parse_path(path, parameters.smtputf8).map_err(|error| match error {
                AddressError::Syntax => replies::SENDER_INVALID,
                AddressError::TooLong => replies::SENDER_TOO_LONG,
                AddressError::NeedsSmtpUtf8 => replies::ADDRESS_NEEDS_SMTPUTF8,
            })?;
            // The bare postmaster is a forward-path only (RFC 5321 §4.1.1.3).
            if address.domain().is_empty() {
                return Err(replies::SENDER_INVALID);
            }
            ReversePath::Address(address)
        }
    };
    Ok(Command::Mail { reverse_path, parameters })
}

fn rcpt(argument: &str, smtputf8: bool) -> Result<Command, Reply> {
    let (path, rest) = strip_keyword(argument, "TO:").and_then(split_path).ok_or(replies::RCPT_SYNTAX)?;
    let parameters = rcpt_parameters(rest, smtputf8)?;
    let address = parse_path(path, smtputf8).map_err(|error| match error {
        AddressError::Syntax => replies::RECIPIENT_INVALID,
        AddressError::TooLong => replies::RECIPIENT_TOO_LONG,
        AddressError::NeedsSmtpUtf8 => replies::ADDRESS_NEEDS_SMTPUTF8,
    })?;
    if address.carries_route() {
        return Err(replies::RECIPIENT_ROUTED);
    }
    Ok(Command::Rcpt { address, parameters })
}

/// RFC 3030 §2: the number of octets, then perhaps LAST.
fn bdat(argument: &str) -> Result<Command, Reply> {
    let (digits, rest) = argument.split_once(' ').unwrap_or((argument, ""));
    let bytes = (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let bytes = bytes.then(|| digits.parse().ok()).flatten();
    let last = match rest.trim_start_matches(' ') {
        "" => Some(false),
        word => word.eq_ignore_ascii_case("LAST").then_some(true),
    };
    bytes.zip(last).map(|(bytes, last)| Command::Bdat { bytes, last }).ok_or(replies::BDAT_SYNTAX)
}

fn strip_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, rest) = argument.split_at_checked(keyword.len())?;
    // A space after the colon is wrong (RFC 5321 §3.3) and widespread.
    head.eq_ignore_ascii_case(keyword).then(|| rest.trim_start_matches(' '))
}

/// Divides `<path> parameters`; a `>` within quotes does not end the path.
///
/// RFC 5321 §4.1.2 wants the brackets. Firmware and old programs leave them out, and Postfix, Exim and Exchange take that from them:
/// then the path ends at the first space. The null path needs its brackets.
fn split_path(text: &str) -> Option<(&str, &str)> {
    let Some(text) = text.strip_prefix('<') else {
        let end = unquoted(text, b' ').unwrap_or(text.len());
        return text.split_at_checked(end).filter(|(path, _)| !path.is_empty());
    };
    let (path, rest) = text.split_at_checked(unquoted(text, b'>')?)?;
    let rest = rest.strip_prefix('>')?;
    (rest.is_empty() || rest.starts_with(' ')).then_some((path, rest))
}

/// Where the character stands for the first time outside quotes.
fn unquoted(text: &str, wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            byte if byte == wanted => return !quoted,
            _ => {}
        }
        false
    })
}

/// Reads a non-empty path. A source route, `@a,@b:`, is checked, then ignored (RFC 5321 §3.3, appendix C).
fn parse_path(path: &str, smtputf8: bool) -> Result<Address, AddressError> {
    if !smtputf8 && !path.is_ascii() {
        return Err(AddressError::NeedsSmtpUtf8);
    }
    if !path.starts_with('@') {
        return Address::parse(path, smtputf8);
    }
    let (route, mailbox) = path.split_once(':').ok_or(AddressError::Syntax)?;
    let valid = route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(|domain| is_domain(domain, smtputf8)));
    if valid { Address::parse(mailbox, smtputf8) } else { Err(AddressError::Syntax) }
}

/// The parameters, keyword in upper case; RFC 5321 §4.1.2 esmtp-param.
fn parameters(text: &str) -> impl Iterator<Item = Result<(String, Option<&str>), Reply>> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| {
        let (keyword, value) = word.split_once('=').map_or((word, None), |(keyword, value)| (keyword, Some(value)));
        let keyword_good =
            keyword.starts_with(|c: char| c.is_ascii_alphanumeric()) && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        // RFC 6531 §3.3 lets values have UTF-8; each value says whether it may.
        let value_good =
            value.is_none_or(|value| !value.is_empty() && value.bytes().all(|b| (b.is_ascii_graphic() && b != b'=') || !b.is_ascii()));
        if keyword_good && value_good { Ok((keyword.to_ascii_uppercase(), value)) } else { Err(replies::PARAMETER_SYNTAX) }
    })
}

fn mail_parameters(text: &str) -> Result<MailParameters, Reply> {
    let mut parsed = MailParameters::default();
    let mut seen: Vec<String> = Vec::new();
    for parameter in parameters(text) {
        let (keyword, value) = parameter?;
        // RFC 5321 §4.1.1.11: a parameter stands at most once.
        if seen.contains(&keyword) {
            return Err(replies::PARAMETER_SYNTAX);
        }
        match (keyword.as_str(), value) {
            ("SIZE", Some(digits)) => parsed.size = Some(size_value(digits)?),
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("8BITMIME") => parsed.eight_bit = true,
            ("BODY", Some(value)) if value.eq_ignore_ascii_case("7BIT") => {}
            // BINARYMIME (RFC 3030) is known, if not offered; other values are known to nobody.
            ("BODY", Some(value)) if !value.eq_ignore_ascii_case("BINARYMIME") => return Err(replies::PARAMETER_SYNTAX),
            ("SMTPUTF8", None) => parsed.smtputf8 = true,
            ("REQUIRETLS", None) => parsed.terms.require_tls = true,
            ("RET", Some(value)) => parsed.terms.ret = Some(Return::parse(value).ok_or(replies::PARAMETER_SYNTAX)?),
            ("ENVID", Some(value)) => parsed.terms.envelope_id = Some(EnvelopeId::parse(value).ok_or(replies::PARAMETER_SYNTAX)?),
            ("AUTH", Some(value)) if is_submitter(value) => parsed.auth = true,
            ("SIZE" | "BODY" | "RET" | "ENVID", None) | ("AUTH", _) | ("SMTPUTF8" | "REQUIRETLS", Some(_)) => {
                return Err(replies::PARAMETER_SYNTAX);
            }
            _ => return Err(replies::PARAMETER_UNKNOWN),
        }
        seen.push(keyword);
    }
    Ok(parsed)
}

fn rcpt_parameters(text: &str, smtputf8: bool) -> Result<RcptParameters, Reply> {
    let mut parsed = RcptParameters::default();
    for parameter in parameters(text) {
        let (keyword, value) = parameter?;
        match (keyword.as_str(), value) {
            ("NOTIFY", Some(value)) if parsed.notify.is_none() => {
                parsed.notify = Some(Notify::parse(value).ok_or(replies::PARAMETER_SYNTAX)?);
            }
            ("ORCPT", Some(value)) if parsed.original.is_none() => {
                parsed.original = Some(OriginalRecipient::parse(value, smtputf8).ok_or(replies::PARAMETER_SYNTAX)?);
            }
            // Without a value, or a second time (RFC 5321 §4.1.1.11).
            ("NOTIFY" | "ORCPT", _) => return Err(replies::PARAMETER_SYNTAX),
            _ => return Err(replies::PARAMETER_UNKNOWN),
        }
    }
    Ok(parsed)
}

/// RFC 1870 §3: 1 to 20 digits. What exceeds 64 bits is too large for any limit, so it may saturate.
fn size_value(digits: &str) -> Result<u64, Reply> {
    let good = (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if good { Ok(digits.parse().unwrap_or(u64::MAX)) } else { Err(replies::PARAMETER_SYNTAX) }
}

/// RFC 4954 §5: `<>`, or an address in xtext (RFC 3461 §4).
fn is_submitter(value: &str) -> bool {
    value == "<>"
        || xtext_octets(value)
            .and_then(|octets| String::from_utf8(octets).ok())
            .is_some_and(|mailbox| Address::parse(&mailbox, true).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(path: &str, parameters: MailParameters) -> Command {
        let reverse_path = match path {
            "" => ReversePath::Null,
            path => ReversePath::Address(Address::parse(path, true).expect(path)),
        };
        Command::Mail { reverse_path, parameters }
    }

    fn terms(path: &str, terms: MailTerms) -> Command {
        mail(path, MailParameters { terms, ..MailParameters::default() })
    }

    fn rcpt(address: &str) -> Command {
        Command::Rcpt { address: Address::parse(address, true).expect(address), parameters: RcptParameters::default() }
    }

    #[test]
    fn commands_are_read_in_any_case() {
        let plain = MailParameters::default;
        for (line, command) in [
            ("HELO mx.example", Command::Helo { name: "mx.example".into(), extended: false }),
            ("ehlo  [IPv6:2001:db8::1] ", Command::Helo { name: "[IPv6:2001:db8::1]".into(), extended: true }),
            ("EHLO my_pc", Command::Helo { name: "my_pc".into(), extended: true }),
            ("EHLO %%%", Command::Helo { name: "%%%".into(), extended: true }),
            ("HELO ann's_pc/{1}", Command::Helo { name: "ann's_pc/{1}".into(), extended: false }),
            ("EHLO 192.0.2.1", Command::Helo { name: "192.0.2.1".into(), extended: true }),
            ("MAIL FROM:<>", mail("", plain())),
            ("mail from: <a@x>", mail("a@x", plain())),
            ("MAIL FROM:<@r.example,@s.example:a@x>", mail("a@x", plain())),
            ("MAIL FROM:<\"a>b\"@x>", mail("\"a>b\"@x", plain())),
            ("MAIL FROM:<a%b@x>", mail("a%b@x", plain())),
            ("MAIL FROM:<a@x> size=10 BODY=8bitmime", mail("a@x", MailParameters { size: Some(10), eight_bit: true, ..plain() })),
            ("MAIL FROM:<ü@x> SMTPUTF8 BODY=7BIT", mail("ü@x", MailParameters { smtputf8: true, ..plain() })),
            ("MAIL FROM:<a@x> SIZE=99999999999999999999", mail("a@x", MailParameters { size: Some(u64::MAX), ..plain() })),
            (
                "MAIL FROM:<a@x> RequireTLS ret=hdrs",
                terms("a@x", MailTerms { require_tls: true, ret: Some(Return::Headers), envelope_id: None }),
            ),
            (
                "MAIL FROM:<> RET=FULL ENVID=a+2Bb",
                terms("", MailTerms { require_tls: false, ret: Some(Return::Full), envelope_id: EnvelopeId::parse("a+2Bb") }),
            ),
            ("MAIL FROM:<a@x> AUTH=<>", mail("a@x", MailParameters { auth: true, ..plain() })),
            ("MAIL FROM:<e=mc2@x> auth=e+3Dmc2@example.com", mail("e=mc2@x", MailParameters { auth: true, ..plain() })),
            ("MAIL FROM: a@x", mail("a@x", plain())),
            ("MAIL FROM:\"a b\"@x SIZE=10", mail("\"a b\"@x", MailParameters { size: Some(10), ..plain() })),
            ("RCPT TO:<b@x>", rcpt("b@x")),
            ("RCPT TO:b@x ", rcpt("b@x")),
            ("RCPT TO:postmaster", rcpt("postmaster")),
            ("rcpt to: <PostMaster>", rcpt("PostMaster")),
            ("RCPT TO:<@r.example:b@x>  ", rcpt("b@x")),
            ("DATA", Command::Data),
            ("data  ", Command::Data),
            ("RSET\t \t", Command::Rset),
            ("MAIL FROM:<a@x>\t", mail("a@x", plain())),
            ("BDAT 0", Command::Bdat { bytes: 0, last: false }),
            ("bdat 007  last ", Command::Bdat { bytes: 7, last: true }),
            ("BDAT 18446744073709551615", Command::Bdat { bytes: u64::MAX, last: false }),
            ("StartTLS", Command::StartTls),
            ("RSET", Command::Rset),
            ("NOOP whatever", Command::Noop),
            ("HELP mail", Command::Help),
            ("VRFY bob", Command::Vrfy),
            ("QUIT", Command::Quit),
        ] {
            assert_eq!(Command::parse(line.as_bytes(), false), Ok(command), "{line}");
        }
        assert_eq!(Command::parse("RCPT TO:<ü@x>".as_bytes(), true), Ok(rcpt("ü@x")));
        let asking = |smtputf8, original| Command::Rcpt {
            address: Address::parse("b@x", false).expect("an address"),
            parameters: RcptParameters { notify: Notify::parse("SUCCESS,DELAY"), original: OriginalRecipient::parse(original, smtputf8) },
        };
        let line = b"RCPT TO:<b@x> notify=delay,success ORCPT=rfc822;c@y";
        assert_eq!(Command::parse(line, false), Ok(asking(false, "rfc822;c@y")));
        let line = "RCPT TO:<b@x> ORCPT=utf-8;ü@y NOTIFY=SUCCESS,DELAY".as_bytes();
        assert_eq!(Command::parse(line, true), Ok(asking(true, "utf-8;ü@y")));
    }

    #[test]
    fn each_mistake_has_its_reply() {
        let long_name = format!("EHLO {}", "a".repeat(256));
        let long_sender = format!("MAIL FROM:<{}@x>", "a".repeat(129));
        for (line, reply) in [
            ("", "500 5.5.2"),
            (" NOOP", "500 5.5.2"),
            ("FOO", "500 5.5.2"),
            ("NOOP\n", "500 5.5.2"),
            ("NOOP\rQUIT", "500 5.5.2"),
            ("NOOP\0", "500 5.5.2"),
            ("NOOP\tx", "500 5.5.2"),
            ("NOOP \r", "500 5.5.2"),
            ("MAIL FROM:\t<a@x>", "500 5.5.2"),
            ("MAIL FROM:<a\t@x>", "500 5.5.2"),
            ("NOOP ü", "500 5.5.2"),
            ("HELO ü.example", "500 5.5.2"),
            ("MAIL FROM:<a@x>\u{85}", "500 5.5.2"),
            ("EXPN all", "502 5.5.1"),
            ("BDAT", "501 5.5.4"),
            ("BDAT x", "501 5.5.4"),
            ("BDAT -1", "501 5.5.4"),
            ("BDAT +1", "501 5.5.4"),
            ("BDAT 0x10", "501 5.5.4"),
            ("BDAT 1 2", "501 5.5.4"),
            ("BDAT 1 LAST LAST", "501 5.5.4"),
            ("BDAT LAST", "501 5.5.4"),
            ("BDAT 18446744073709551616", "501 5.5.4"),
            ("BDAT 000000000000000000001", "501 5.5.4"),
            ("MAIL FROM:<a@x> AUTH", "501 5.5.4"),
            ("MAIL FROM:<a@x> AUTH=a+3dx@y", "501 5.5.4"),
            ("MAIL FROM:<a@x> AUTH=a+4@y", "501 5.5.4"),
            ("MAIL FROM:<a@x> AUTH=a+FF@y", "501 5.5.4"),
            ("MAIL FROM:<a@x> AUTH=nobody", "501 5.5.4"),
            ("MAIL FROM:<a@x> AUTH=<a@x>", "501 5.5.4"),
            ("MAIL FROM:<a@x> AUTH=a+0D+0A@y", "501 5.5.4"),
            ("MAIL FROM:<a@x> AUTH=<> AUTH=<>", "501 5.5.4"),
            ("HELO", "501 5.5.4"),
            ("EHLO ", "501 5.5.4"),
            ("EHLO a ([9.9.9.9])", "501 5.5.2"),
            ("EHLO a(9.9.9.9)", "501 5.5.2"),
            ("EHLO a[9.9.9.9]", "501 5.5.2"),
            ("EHLO []", "501 5.5.2"),
            ("EHLO <a>", "501 5.5.2"),
            ("EHLO \"a\"", "501 5.5.2"),
            ("EHLO a\\b", "501 5.5.2"),
            ("EHLO a;b", "501 5.5.2"),
            ("EHLO a,b", "501 5.5.2"),
            ("EHLO a@b", "501 5.5.2"),
            ("EHLO _._", "501 5.5.2"),
            ("EHLO -", "501 5.5.2"),
            (&long_name, "501 5.5.2"),
            ("DATA x", "501 5.5.4"),
            ("QUIT now", "501 5.5.4"),
            ("STARTTLS x", "501 5.5.4"),
            ("VRFY", "501 5.5.4"),
            ("MAIL", "501 5.5.2"),
            ("MAIL FROM", "501 5.5.2"),
            ("MAIL FROM:", "501 5.5.2"),
            ("MAIL FROM: SIZE=1", "501 5.1.7"),
            ("MAIL FROM:a@x>", "501 5.1.7"),
            ("MAIL FROM:a@x,b@x", "501 5.1.7"),
            ("MAIL FROM:\"a b@x", "501 5.1.7"),
            ("MAIL FROM: Anne <a@x>", "501 5.5.4"),
            ("MAIL FROM:a@x b@x", "501 5.5.4"),
            ("MAIL FROM <a@x>", "501 5.5.2"),
            ("MAIL FROM:<a@x", "501 5.5.2"),
            ("MAIL FROM:<a@x>SIZE=1", "501 5.5.2"),
            ("MAIL FROM:<\"a@x>", "501 5.5.2"),
            ("MAIL FROM:<a@x>>", "501 5.5.2"),
            ("MAIL TO:<a@x>", "501 5.5.2"),
            ("MAIL FROM:<<a@x>", "501 5.1.7"),
            ("MAIL FROM:< >", "501 5.1.7"),
            ("MAIL FROM:<a>", "501 5.1.7"),
            ("MAIL FROM:<postmaster>", "501 5.1.7"),
            ("MAIL FROM:<@r:>", "501 5.1.7"),
            ("MAIL FROM:<@r.example,s.example:a@x>", "501 5.1.7"),
            (&long_sender, "501 5.1.7"),
            ("MAIL FROM:<ü@x>", "553 5.6.7"),
            ("MAIL FROM:<@ü:a@x>", "553 5.6.7"),
            ("MAIL FROM:<a@x> SIZE", "501 5.5.4"),
            ("MAIL FROM:<a@x> SIZE=", "501 5.5.4"),
            ("MAIL FROM:<a@x> SIZE=-1", "501 5.5.4"),
            ("MAIL FROM:<a@x> SIZE=1 SIZE=1", "501 5.5.4"),
            ("MAIL FROM:<a@x> SIZE=999999999999999999999", "501 5.5.4"),
            ("MAIL FROM:<a@x> SMTPUTF8=1", "501 5.5.4"),
            ("MAIL FROM:<a@x> =1", "501 5.5.4"),
            ("MAIL FROM:<a@x> BODY=BINARYMIME", "555 5.5.4"),
            ("MAIL FROM:<a@x> BODY=ü", "501 5.5.4"),
            ("MAIL FROM:<a@x> SIZE=ü", "501 5.5.4"),
            ("MAIL FROM:<a@x> RET", "501 5.5.4"),
            ("MAIL FROM:<a@x> RET=BODY", "501 5.5.4"),
            ("MAIL FROM:<a@x> RET=FULL RET=FULL", "501 5.5.4"),
            ("MAIL FROM:<a@x> ENVID", "501 5.5.4"),
            ("MAIL FROM:<a@x> ENVID=", "501 5.5.4"),
            ("MAIL FROM:<a@x> ENVID=a+0D+0AX:y", "501 5.5.4"),
            ("MAIL FROM:<a@x> ENVID=ü", "501 5.5.4"),
            ("MAIL FROM:<a@x> REQUIRETLS=1", "501 5.5.4"),
            ("MAIL FROM:<a@x> NOTIFY=NEVER", "555 5.5.4"),
            ("MAIL FROM:<a@x> BODY=9BIT", "501 5.5.4"),
            ("MAIL FROM:<a@x> BODY 8BITMIME", "501 5.5.4"),
            ("MAIL FROM:<a@x> SIZE 10", "501 5.5.4"),
            ("MAIL FROM:<a@x> #$%=!@#", "501 5.5.4"),
            ("MAIL FROM:<a@x> FOO=BAR", "555 5.5.4"),
            ("RCPT TO:<>", "501 5.1.3"),
            ("RCPT TO:<b>", "501 5.1.3"),
            ("RCPT TO:", "501 5.5.2"),
            ("RCPT TO:b", "501 5.1.3"),
            ("RCPT TO:b@y,b@x", "501 5.1.3"),
            ("RCPT TO:b@y@x", "501 5.1.3"),
            ("RCPT TO:<ü@x>", "553 5.6.7"),
            ("RCPT TO:<b%y@x>", "553 5.1.3"),
            ("RCPT TO:<y!b@x>", "553 5.1.3"),
            ("RCPT TO:<\"b@y\"@x>", "553 5.1.3"),
            ("RCPT TO:<b@x> NOTIFY", "501 5.5.4"),
            ("RCPT TO:<b@x> NOTIFY=NEVER,DELAY", "501 5.5.4"),
            ("RCPT TO:<b@x> NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4"),
            ("RCPT TO:<b@x> ORCPT", "501 5.5.4"),
            ("RCPT TO:<b@x> ORCPT=b@x", "501 5.5.4"),
            ("RCPT TO:<b@x> ORCPT=utf-8;ü@x", "501 5.5.4"),
            ("RCPT TO:<b@x> ORCPT=rfc822;b@x ORCPT=rfc822;b@x", "501 5.5.4"),
            ("RCPT TO:<b@x> RET=FULL", "555 5.5.4"),
            ("RCPT TO:<b@x> ?", "501 5.5.4"),
        ] {
            let got = Command::parse(line.as_bytes(), false).expect_err(line);
            assert!(got.to_string().starts_with(reply), "{line:?}: {got}, not {reply}");
        }
        assert_eq!(Command::parse(b"NOOP \xff", false), Err(replies::BAD_CHARACTERS));
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line: Vec<u8>, smtputf8: bool) {
            let _ = Command::parse(&line, smtputf8);
        }

        #[test]
        fn what_passes_is_safe_to_log(tail in "[ -~\u{80}-\u{ff}\u{2028}-\u{202f}]{0,40}") {
            for head in ["EHLO ", "MAIL FROM:<a@x", "RCPT TO:<"] {
                match Command::parse(format!("{head}{tail}>").as_bytes(), true) {
                    Ok(Command::Helo { name, .. }) => proptest::prop_assert!(name.bytes().all(|b| b.is_ascii_graphic())),
                    Ok(Command::Rcpt { address, .. }) => proptest::prop_assert!(!address.as_str().chars().any(char::is_control)),
                    _ => {}
                }
            }
        }
    }
}
