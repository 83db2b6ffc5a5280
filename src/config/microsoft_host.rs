//! The host that takes the mail of a domain at Microsoft 365, as far as its name says it.
//!
//! - A domain without a hyphen has its dots made hyphens before `.mail.protection.outlook.com`, as Microsoft documents it.
//! - A hyphen is left out, and a suffix says where it was. Nobody documents that; all names with one hyphen that are publicly known agree.
//! - Domains that were added to a tenant from July 2026 on, or whose DNSSEC was switched on, are at `NAME.LETTER-v1.mx.microsoft`, with a
//!   letter that cannot be derived: no certainty here speaks of them.

use std::fmt::Write;

/// A host that was derived from a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedHost {
    /// Its name.
    pub host: String,
    /// How sure that is.
    pub certainty: Certainty,
}

/// How sure a derived host is, for a domain that was added to its tenant before July 2026.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// By the rule that Microsoft documents.
    Sure,
    /// By the rule that all known samples follow.
    Likely,
    /// By a rule without any sample: not to be relied on.
    Unsure,
}

/// Derives the host of a domain, whose case does not matter.
pub fn microsoft_host(domain: &str) -> DerivedHost {
    let domain = domain.trim_end_matches('.').to_lowercase();
    let name = domain.replace('-', "").replace('.', "-");
    let (suffix, certainty) = match domain.bytes().filter(|byte| *byte == b'-').count() {
        0 => (String::new(), Certainty::Sure),
        1 => (suffix(&domain), Certainty::Likely),
        _ => (suffix(&domain), Certainty::Unsure),
    };
    let label = name + &suffix;
    // RFC 1035 §2.3.4: a label has 63 octets at most; how longer ones are cut nobody knows.
    let certainty = if label.len() > 63 || !label.is_ascii() { Certainty::Unsure } else { certainty };
    DerivedHost { host: format!("{label}.mail.protection.outlook.com"), certainty }
}

/// Where the hyphens were: four characters of the domain make one digit, each hyphen one of its bits; a digit that is not zero is a letter
/// from `a` on, and a number says how many zeros are left out before it.
fn suffix(domain: &str) -> String {
    let mut text = String::from("0");
    let mut zeros = 0_u32;
    for group in domain.as_bytes().chunks(4) {
        let bits = group.iter().enumerate().filter(|(_, byte)| **byte == b'-');
        let digit = bits.fold(0_u8, |digit, (place, _)| digit | (1_u8 << (place & 3)));
        if digit == 0 {
            zeros = zeros.saturating_add(1);
            continue;
        }
        if zeros > 0 {
            // Writing to a text does not fail.
            let _ = write!(text, "{zeros}");
            zeros = 0;
        }
        text.push(char::from(b'a'.saturating_add(digit)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_names() {
        for (domain, label, certainty) in [
            ("contoso.com", "contoso-com", Certainty::Sure),
            ("acme.com", "acme-com", Certainty::Sure),
            ("Acme.CO.uk.", "acme-co-uk", Certainty::Sure),
            // Seen in public DNS and in headers of mail.
            ("1-2.co.uk", "12-co-uk0c", Certainty::Likely),
            ("pi-hf.com", "pihf-com0e", Certainty::Likely),
            ("clb-sa.com", "clbsa-com0i", Certainty::Likely),
            ("octo-bot.io", "octobot-io01b", Certainty::Likely),
            ("heig-vd.ch", "heigvd-ch01b", Certainty::Likely),
            ("rose-hulman.edu", "rosehulman-edu01b", Certainty::Likely),
            ("rolls-roycemotorcars.com", "rollsroycemotorcars-com01c", Certainty::Likely),
            ("arkham-advisory.com", "arkhamadvisory-com01e", Certainty::Likely),
            ("akshaya-inc.com", "akshayainc-com01i", Certainty::Likely),
            ("practice-labs.com", "practicelabs-com02b", Certainty::Likely),
            ("international-am.com", "internationalam-com03c", Certainty::Likely),
            ("Heig-VD.ch", "heigvd-ch01b", Certainty::Likely),
            // No sample has several.
            ("a-b-c.com", "abc-com0k", Certainty::Unsure),
            ("one-two.three-four.com", "onetwo-threefour-com0i2c", Certainty::Unsure),
            ("xn--bcher-kva.example", "xnbcherkva-example0m1c", Certainty::Unsure),
        ] {
            let expected = DerivedHost { host: format!("{label}.mail.protection.outlook.com"), certainty };
            assert_eq!(microsoft_host(domain), expected, "{domain}");
        }
    }

    #[test]
    fn the_position_of_the_hyphen_alone_makes_the_suffix() {
        for (position, expected) in
            [(1, "0c"), (2, "0e"), (3, "0i"), (4, "01b"), (5, "01c"), (6, "01e"), (7, "01i"), (8, "02b"), (13, "03c")]
        {
            let domain = format!("{}-x.example", "a".repeat(position));
            assert_eq!(suffix(&domain), expected, "{domain}");
        }
    }

    #[test]
    fn a_label_that_dns_cannot_hold_is_nothing_to_rely_on() {
        assert_eq!(microsoft_host(&format!("{}.example", "a".repeat(55))).certainty, Certainty::Sure);
        assert_eq!(microsoft_host(&format!("{}.example", "a".repeat(56))).certainty, Certainty::Unsure);
    }
}
