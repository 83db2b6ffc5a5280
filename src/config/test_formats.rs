//! The formats of values that stand in tests of rules alone.

use time::{Date, Month, OffsetDateTime, Time};

use super::diagnostic::Code;
use super::formats::{Mistake, address, clip};
use crate::dns::{GivenAnswer, GivenAnswers};
use crate::smtp::ReversePath;

/// An address, or nothing: the sender of bounces.
pub(crate) fn sender_address(text: &str) -> Result<ReversePath, Mistake> {
    if text.is_empty() { Ok(ReversePath::Null) } else { address(text).map(ReversePath::Address) }
}

/// `2026-11-22T10:00:00Z`: RFC 3339 in UTC, without parts of a second.
pub(crate) fn date_time(text: &str) -> Result<OffsetDateTime, Mistake> {
    read_date_time(text).ok_or_else(|| {
        Mistake::new(Code::BadValue, format!("`{}` is not a date and time", clip(text))).help("it is written `2026-11-22T10:00:00Z`")
    })
}

fn read_date_time(text: &str) -> Option<OffsetDateTime> {
    let (date, rest) = text.split_once('T')?;
    let (date, time) = (numbers(date, '-', [4, 2, 2])?, numbers(rest.strip_suffix('Z')?, ':', [2, 2, 2])?);
    let [year, month, day] = date;
    let [hour, minute, second] = time.map(|number| u8::try_from(number).ok());
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
    // Signatures count seconds from 1970.
    let time = Time::from_hms(hour?, minute?, second?).ok()?;
    Some(date.with_time(time).assume_utc()).filter(|time| time.unix_timestamp() >= 0)
}

/// Three numbers with so many digits each.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u16; 3]> {
    let mut parts = text.split(between);
    let mut next = |digits: usize| {
        let part = parts.next()?;
        (part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let [first, second, third] = digits;
    let found = [next(first)?, next(second)?, next(third)?];
    parts.next().is_none().then_some(found)
}

/// `acme.example TXT`, or `*` for all others.
pub(crate) fn dns_question(text: &str) -> Result<(), Mistake> {
    let added = GivenAnswers::default().add(text, GivenAnswer::NoName);
    added.map_err(|why| Mistake::new(Code::BadValue, format!("`{}` is not a question for DNS: {why}", clip(text))))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date_time("2026-11-22T10:00:01Z").unwrap(), datetime!(2026-11-22 10:00:01 UTC));
        for bad in [
            "2026-11-22",
            "2026-11-22T10:00:00",
            "2026-11-22T10:00:00+01:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:00:00:00Z",
            "26-11-22T10:00:00Z",
            "2026-1-22T10:00:00Z",
            "+026-11-22T10:00:00Z",
            "1969-12-31T23:59:59Z",
            "",
        ] {
            assert!(date_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn senders_and_questions() {
        assert_eq!(sender_address("").unwrap(), ReversePath::Null);
        assert!(sender_address("a@b.example").is_ok() && sender_address("a").is_err());
        assert!(dns_question("acme.example TXT").is_ok() && dns_question("*").is_ok() && dns_question("acme.example").is_err());
    }
}
