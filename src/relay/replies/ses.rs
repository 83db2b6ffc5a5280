//! Amazon SES: the SMTP responses of its developer guide.

use super::{Class, HOUR, REFUSALS, ROW, Row, TEMPORARY};

pub(super) const ROWS: &[Row] = &[
    Row {
        codes: TEMPORARY,
        texts: &["daily message quota exceeded", "daily sending quota"],
        class: Class::Slow,
        wait: HOUR,
        alarm: true,
        words: "the account's daily quota is used up",
        ..ROW
    },
    Row {
        codes: TEMPORARY,
        texts: &["throttling failure", "maximum sending rate", "too many", "concurrent"],
        class: Class::Slow,
        words: "above the account's sending rate",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        texts: &["access denied", "not authorized to perform"],
        class: Class::Hold,
        words: "the login has no permission to send",
        ..ROW
    },
    Row { codes: REFUSALS, texts: &["sending paused", "sending suspended"], class: Class::Hold, words: "sending is paused", ..ROW },
    Row {
        codes: REFUSALS,
        texts: &["is not verified", "are not verified"],
        class: Class::Bounce,
        alarm: true,
        words: "the sender is no verified identity, or the account is in the sandbox",
        ..ROW
    },
    Row { codes: &[552], class: Class::Content, words: "the message is too large", ..ROW },
    Row { codes: REFUSALS, texts: &["message rejected"], class: Class::Content, words: "the content is refused", ..ROW },
];
