//! The Sender Rewriting Scheme: a sender's address inside one of ours, so that SPF knows the next hop's client and bounces come back.
//!
//! - `SRS0=HASH=DAY=DOMAIN=LOCAL@OURS` stands for `LOCAL@DOMAIN`; `SRS1=HASH=FIRST==REST@OURS` for another gateway's `SRS0=REST@FIRST`,
//!   so that addresses do not grow with each gateway (Shevek's draft; libsrs2, Mail::SRS and postsrsd speak the same).
//! - The hash is HMAC-SHA1 as theirs is, over lower-case octets and without regard to case, because there are mail servers that
//!   change the case of addresses. Six characters of it are 31 bits even then; who guesses has a session's bad recipients for it.
//! - An address is good for 21 days, longer than a queue keeps mail and its bounce.

use crate::limits::{SRS_DAYS_MAX, SRS_HASH_CHARS};
use crate::smtp::{Address, AddressError};

/// HMAC-SHA1 of octets under each key; the first signs, all verify.
type Macs<'a> = &'a (dyn Fn(&[u8]) -> Vec<[u8; 20]> + Sync);

/// Rewrites addresses to those of one domain and back.
pub struct Srs<'a> {
    /// Our domain.
    pub domain: &'a str,
    /// The keys.
    pub macs: Macs<'a>,
}

/// What became of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// It has an address of ours.
    As(Address),
    /// It is an address of ours already.
    IsOurs,
    /// It does not fit into an address.
    TooLong,
}

/// Why there is no way back from an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrsError {
    /// It has not the form, or no key of ours made it.
    Forged,
    /// It was made too long ago.
    Expired,
}

/// The digits of the day.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Days are counted to this number and then anew.
const DAYS: u64 = 1024;

/// Whether a recipient claims to be an address that this domain has made. Nothing is said of its hash.
pub fn is_srs(address: &Address, domain: &str) -> bool {
    address.domain().eq_ignore_ascii_case(domain) && tag(&plain(address.local_part())).is_some()
}

impl Srs<'_> {
    /// The address that stands for `sender`, made on this day since the epoch.
    pub fn forward(&self, sender: &Address, day: u64) -> Rewritten {
        if sender.domain().eq_ignore_ascii_case(self.domain) {
            return Rewritten::IsOurs;
        }
        let local = plain(sender.local_part());
        let ours = match tag(&local) {
            Some((Tag::Zero, rest)) => {
                let hash = self.hash(&[sender.domain(), rest]);
                format!("SRS1={hash}={}={rest}", sender.domain())
            }
            Some((Tag::One, rest)) if once(rest).is_some() => {
                // The way back leads from us to the first gateway, past the one in the middle.
                let (_, first, rest) = once(rest).unwrap_or_default();
                format!("SRS1={}={first}={rest}", self.hash(&[first, rest]))
            }
            _ => {
                let day = day_digits(day);
                let hash = self.hash(&[&day, sender.domain(), &local]);
                format!("SRS0={hash}={day}={}={local}", sender.domain())
            }
        };
        match address(&ours, self.domain) {
            Ok(address) => Rewritten::As(address),
            Err(_) => Rewritten::TooLong,
        }
    }

    /// The address that `recipient` stands for, on this day.
    pub fn reverse(&self, recipient: &Address, day: u64) -> Result<Address, SrsError> {
        let local = plain(recipient.local_part());
        let (tag, rest) = tag(&local).ok_or(SrsError::Forged)?;
        // The separator behind the tag is anybody's choice.
        let rest_without = rest.get(1..).ok_or(SrsError::Forged)?;
        let back = match tag {
            Tag::Zero => {
                let mut parts = rest_without.splitn(4, '=');
                let (Some(hash), Some(made), Some(domain), Some(local)) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
                    return Err(SrsError::Forged);
                };
                self.verify(hash, &[made, domain, local])?;
                let age = age(made, day).ok_or(SrsError::Forged)?;
                if age > SRS_DAYS_MAX {
                    return Err(SrsError::Expired);
                }
                address(local, domain)
            }
            Tag::One => {
                let (hash, first, rest) = once(rest).ok_or(SrsError::Forged)?;
                self.verify(hash, &[first, rest])?;
                address(&format!("SRS0{rest}"), first)
            }
        };
        back.map_err(|_| SrsError::Forged)
    }

    fn hash(&self, parts: &[&str]) -> String {
        (self.macs)(&octets(parts)).first().map(shown).unwrap_or_default()
    }

    /// In the same time whatever differs, and for each key.
    fn verify(&self, hash: &str, parts: &[&str]) -> Result<(), SrsError> {
        if hash.len() != SRS_HASH_CHARS {
            return Err(SrsError::Forged);
        }
        let is_of = |mac: &[u8; 20]| {
            let pairs = shown(mac).into_bytes().into_iter().zip(hash.bytes());
            pairs.fold(0, |difference, (ours, theirs)| difference | (ours.to_ascii_lowercase() ^ theirs.to_ascii_lowercase())) == 0
        };
        let matching = (self.macs)(&octets(parts)).iter().fold(false, |any, mac| any | is_of(mac));
        if matching { Ok(()) } else { Err(SrsError::Forged) }
    }
}

#[derive(Clone, Copy)]
enum Tag {
    Zero,
    One,
}

/// The tag in any case, and what follows, its separator included.
fn tag(local: &str) -> Option<(Tag, &str)> {
    let (tag, rest) = local.split_at_checked(4)?;
    let tag = match () {
        () if tag.eq_ignore_ascii_case("SRS0") => Tag::Zero,
        () if tag.eq_ignore_ascii_case("SRS1") => Tag::One,
        () => return None,
    };
    rest.starts_with(['=', '-', '+']).then_some((tag, rest))
}

/// What follows the tag of an SRS1 address: hash, first gateway, and what followed the tag there, its separator included.
fn once(rest: &str) -> Option<(&str, &str, &str)> {
    let mut parts = rest.get(1..)?.splitn(3, '=');
    let (hash, first, rest) = (parts.next()?, parts.next()?, parts.next()?);
    (!first.is_empty() && rest.starts_with(['=', '-', '+'])).then_some((hash, first, rest))
}

fn octets(parts: &[&str]) -> Vec<u8> {
    parts.concat().to_ascii_lowercase().into_bytes()
}

/// The beginning of a hash in base64 (RFC 4648 §4).
fn shown(mac: &[u8; 20]) -> String {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = mac.iter().take(8).fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    let digit = |at: usize| BASE64.get(usize::try_from((bits >> 58_usize.saturating_sub(at.saturating_mul(6))) & 63).unwrap_or_default());
    (0..SRS_HASH_CHARS).filter_map(digit).map(|byte| char::from(*byte)).collect()
}

fn day_digits(day: u64) -> String {
    let digit = |bits: u64| BASE32.get(usize::try_from(bits & 31).unwrap_or_default()).map(|byte| char::from(*byte));
    digit(day >> 5).into_iter().chain(digit(day)).collect()
}

/// Days from the one that these digits name to `day`.
fn age(digits: &str, day: u64) -> Option<u64> {
    let value = |byte: u8| BASE32.iter().position(|digit| *digit == byte.to_ascii_uppercase()).and_then(|at| u64::try_from(at).ok());
    let &[first, second] = digits.as_bytes() else { return None };
    let made = (value(first)? << 5) | value(second)?;
    Some((day % DAYS).checked_add(DAYS)?.checked_sub(made)? % DAYS)
}

/// A local part without its quoting.
fn plain(local: &str) -> String {
    let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return local.to_owned() };
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// An address with this plain local part, quoted where it must be.
fn address(local: &str, domain: &str) -> Result<Address, AddressError> {
    let parse = |text: String| Address::parse(&text, !text.is_ascii());
    let quoted = || format!("\"{}\"@{domain}", local.replace('\\', "\\\\").replace('"', "\\\""));
    match parse(format!("{local}@{domain}")) {
        Ok(address) if address.local_part() == local && address.domain() == domain => Ok(address),
        Err(AddressError::TooLong) => Err(AddressError::TooLong),
        _ => parse(quoted()),
    }
}

#[cfg(test)]
#[path = "srs_tests.rs"]
mod tests;
