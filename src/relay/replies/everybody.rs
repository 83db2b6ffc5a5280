//! Replies of any next hop: the codes of the RFCs, and the words that MTAs agree on.

use super::{Class, PERMANENT_GREETINGS, REFUSALS, ROW, Row, TEMPORARY, When, one, range};

pub(super) const ROWS: &[Row] = &[
    // RFC 4954 §6, RFC 3207 §4.
    Row { codes: &[530], class: Class::Hold, words: "the next hop asks for a login or TLS", ..ROW },
    Row { codes: &[534, 535, 538], class: Class::Hold, words: "the next hop does not accept the login", ..ROW },
    // RFC 5321 §3.1, RFC 7504: nothing of the message is known yet.
    Row {
        codes: PERMANENT_GREETINGS,
        when: When::BeforeMail,
        class: Class::Hold,

        words: "the next hop does not talk to this gateway",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        texts: &["unable to relay", "relay access denied", "relaying denied", "relay not permitted"],
        class: Class::Hold,

        words: "the next hop does not relay for this gateway",
        ..ROW
    },
    // RFC 5321 §4.5.3.1.10: 552 was once the code for it.
    Row {
        codes: &[452, 552],
        statuses: &[one(5, 3)],
        when: When::ToRcpt,
        class: Class::Alone,
        split: true,
        words: "no more recipients in this transaction",
        ..ROW
    },
    // The same of those who give no enhanced status; such a 552 for a full mailbox is rare and costs retries.
    Row {
        codes: &[452, 552],
        when: When::ToRcptWithoutStatus,
        class: Class::Alone,
        split: true,
        words: "no more recipients in this transaction",
        ..ROW
    },
    Row { codes: TEMPORARY, statuses: &[one(2, 1)], class: Class::Alone, words: "the mailbox is busy", ..ROW },
    Row { codes: TEMPORARY, statuses: &[one(2, 2)], class: Class::Alone, words: "the mailbox is full", ..ROW },
    Row { codes: TEMPORARY, texts: &["greylist", "graylist", "grey list"], class: Class::Alone, words: "greylisting", ..ROW },
    // RFC 5321 §3.8: the service is about to go, or wants to be left alone for a while.
    Row { codes: &[421], class: Class::Slow, words: "the next hop wants a pause", ..ROW },
    Row { codes: TEMPORARY, statuses: &[range(7, 0, 999)], class: Class::Slow, words: "the next hop mistrusts this gateway", ..ROW },
];
