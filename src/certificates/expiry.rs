//! Dates on which something stops to be valid, and when to speak of them.

use std::fmt;
use std::path::PathBuf;

use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use crate::limits::{CA_NOTICE, CERTIFICATE_NOTICE, CRL_NOTICE};

/// Something with an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// What it is.
    pub kind: Dated,
    /// Its subject, or the issuer of a list.
    pub name: String,
    /// Where it stands.
    pub file: PathBuf,
    /// Its whole life: `notBefore` or `thisUpdate`.
    pub begin: OffsetDateTime,
    /// `notAfter` or `nextUpdate`.
    pub end: OffsetDateTime,
}

/// What has a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dated {
    /// The certificate that clients are shown.
    Certificate,
    /// A CA whose clients are let in.
    Ca,
    /// A list of revoked certificates.
    Crl,
}

/// How an [`Expiry`] stands at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Far off.
    Good,
    /// Within the time of notice.
    Soon,
    /// Over.
    Expired,
}

impl Expiry {
    /// How it stands at `now`.
    pub fn standing(&self, now: OffsetDateTime) -> Standing {
        if now > self.end {
            Standing::Expired
        } else if self.end - now < self.notice() {
            Standing::Soon
        } else {
            Standing::Good
        }
    }

    /// Whole days left, negative since the end.
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        (self.end - now).whole_days()
    }

    /// The end, as `2026-11-21T19:44:38Z`.
    pub fn date(&self) -> String {
        date(self.end)
    }

    fn notice(&self) -> Duration {
        match self.kind {
            // Certificates that live for some days only are renewed by programs, at two thirds of their life.
            Dated::Certificate => (self.end - self.begin).checked_div(3).unwrap_or(Duration::ZERO).min(duration(CERTIFICATE_NOTICE)),
            Dated::Ca => duration(CA_NOTICE),
            Dated::Crl => duration(CRL_NOTICE),
        }
    }
}

/// A time as the log and diagnostics show it.
pub(super) fn date(time: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_else(|_| time.to_string())
}

fn duration(duration: std::time::Duration) -> Duration {
    Duration::try_from(duration).unwrap_or(Duration::MAX)
}

impl Dated {
    /// `certificate`, `ca`, `crl`: as the log writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Ca => "ca",
            Self::Crl => "crl",
        }
    }
}

impl fmt::Display for Dated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate of",
            Self::Ca => "CA",
            Self::Crl => "CRL of",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_is_given_in_time() {
        let end = OffsetDateTime::from_unix_timestamp(2_000_000_000).unwrap();
        let standing = |kind, life_days, days_before: i64| {
            let begin = end - Duration::days(life_days);
            Expiry { kind, name: String::new(), file: PathBuf::new(), begin, end }.standing(end - Duration::days(days_before))
        };
        for (kind, life, before, expected) in [
            (Dated::Ca, 3650, 91, Standing::Good),
            (Dated::Ca, 3650, 89, Standing::Soon),
            (Dated::Ca, 3650, 0, Standing::Soon),
            (Dated::Ca, 3650, -1, Standing::Expired),
            (Dated::Crl, 30, 29, Standing::Soon),
            (Dated::Crl, 365, 91, Standing::Good),
            (Dated::Certificate, 398, 31, Standing::Good),
            (Dated::Certificate, 398, 29, Standing::Soon),
            (Dated::Certificate, 6, 3, Standing::Good),
            (Dated::Certificate, 6, 1, Standing::Soon),
            (Dated::Certificate, 6, -1, Standing::Expired),
        ] {
            assert_eq!(standing(kind, life, before), expected, "{kind:?} {life} {before}");
        }
        assert_eq!(date(end), "2033-05-18T03:33:20Z");
    }
}
