//! The time of a line, in the form of RFC 3339 with milliseconds. Each line has one, so it is made without a formatter.

use time::OffsetDateTime;

/// `2026-11-22T10:00:00.000Z`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timestamp([u8; 24]);

impl Timestamp {
    /// The time of day.
    pub(super) fn now() -> Self {
        Self::of(OffsetDateTime::now_utc())
    }

    /// A moment in UTC; years have four digits.
    fn of(moment: OffsetDateTime) -> Self {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second, milli) = moment.to_hms_milli();
        put(&mut text, 0..4, year.unsigned_abs());
        put(&mut text, 5..7, u32::from(u8::from(month)));
        put(&mut text, 8..10, u32::from(day));
        put(&mut text, 11..13, u32::from(hour));
        put(&mut text, 14..16, u32::from(minute));
        put(&mut text, 17..19, u32::from(second));
        put(&mut text, 20..23, u32::from(milli));
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        // Digits and the characters between them.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Writes the last digits of a number to a place.
fn put(text: &mut [u8; 24], place: std::ops::Range<usize>, number: u32) {
    let mut rest = number;
    for digit in text.get_mut(place).into_iter().flatten().rev() {
        // Less than ten.
        *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::format_description::well_known::Rfc3339;

    use super::*;

    #[test]
    fn it_has_the_form_of_the_log() {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(1_795_341_600_007_999_999).expect("a moment");
        assert_eq!(Timestamp::of(moment).as_str(), "2026-11-22T10:00:00.007Z");
    }

    proptest! {
        #[test]
        fn it_is_read_back_as_the_same_moment(unix_ms in 0..253_402_300_800_000_i64) {
            let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000).expect("a moment");
            prop_assert_eq!(OffsetDateTime::parse(Timestamp::of(moment).as_str(), &Rfc3339).expect("RFC 3339"), moment);
        }
    }
}
