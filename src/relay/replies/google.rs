//! Google Workspace and Gmail: Google's list of SMTP errors, and what its servers were seen to say. Every one ends with `gsmtp`, those for
//! a customer's own policy hold `gcdp`.

use super::{Class, REFUSALS, ROW, Row, TEMPORARY, TEN_MINUTES, When, one, range};

const SIZES: &[u16] = &[550, 552, 554];

pub(super) const ROWS: &[Row] = &[
    Row {
        codes: TEMPORARY,
        statuses: &[one(7, 0)],
        texts: &["not in whitelist for rcpt domain"],
        class: Class::Hold,
        words: "the domain takes mail from its inbound gateways only, and this gateway's address is not among them",
        ..ROW
    },
    Row {
        codes: TEMPORARY,
        statuses: &[one(7, 0)],
        texts: &["tls required for rcpt domain"],
        when: When::InClear,
        class: Class::Hold,
        elsewhere: true,
        words: "the domain takes mail over TLS only, and the session was in clear",
        ..ROW
    },
    Row {
        codes: TEMPORARY,
        statuses: &[one(7, 0)],
        texts: &["tls required for rcpt domain"],
        class: Class::Hold,
        words: "the domain takes mail over TLS only, and other TLS than this session's",
        ..ROW
    },
    Row {
        codes: TEMPORARY,
        statuses: &[one(7, 0)],
        texts: &["unusual rate of unsolicited mail"],
        class: Class::Slow,
        words: "this gateway's address is throttled",
        ..ROW
    },
    Row { codes: TEMPORARY, statuses: &[one(7, 28)], class: Class::Slow, words: "this gateway's address is throttled", ..ROW },
    Row { codes: &[421], statuses: &[one(3, 0), one(4, 5), one(7, 0)], words: "the service is busy", ..ROW },
    Row { codes: &[450], statuses: &[one(2, 1)], class: Class::Alone, wait: TEN_MINUTES, words: "the mailbox gets mail too fast", ..ROW },
    Row {
        codes: &[451],
        statuses: &[one(3, 0)],
        texts: &["multiple destination domains"],
        split: true,
        alarm: true,
        words: "recipients of several domains in one transaction: `one_domain_per_message` is off",
        ..ROW
    },
    Row { codes: &[451, 454], statuses: &[one(5, 0)], alarm: true, words: "a violation of the protocol, says the next hop", ..ROW },
    Row { codes: &[452], statuses: &[one(2, 2)], class: Class::Alone, wait: TEN_MINUTES, words: "the mailbox is full", ..ROW },
    Row { codes: &[452], statuses: &[one(5, 3)], class: Class::Alone, split: true, words: "no more recipients in this transaction", ..ROW },
    Row {
        codes: &[421, 450, 451],
        statuses: &[one(7, 23), one(7, 27), range(7, 29, 32), one(7, 40)],
        class: Class::Slow,
        alarm: true,
        words: "SPF, DKIM, DMARC, PTR or TLS of the sender: Google did not see the sender's own address behind this gateway",
        ..ROW
    },
    Row { codes: REFUSALS, statuses: &[one(1, 1)], class: Class::Bounce, words: "there is no such user", ..ROW },
    Row { codes: REFUSALS, statuses: &[one(2, 1)], class: Class::Bounce, words: "the mailbox is disabled", ..ROW },
    Row {
        codes: SIZES,
        statuses: &[one(7, 1)],
        texts: &["gcdp"],
        class: Class::Content,
        words: "the customer's own content policy",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        statuses: &[one(7, 1)],
        texts: NOT_DIRECTLY,
        when: When::OverIpv6,
        class: Class::Hold,
        elsewhere: true,
        words: "this gateway's IPv6 address has no PTR record or a bad name",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        statuses: &[one(7, 1)],
        texts: NOT_DIRECTLY,
        class: Class::Hold,
        words: "this gateway's address has a bad name",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        statuses: &[range(7, 25, 40)],
        class: Class::Bounce,
        alarm: true,
        words: "SPF, DKIM, DMARC or PTR of the sender as Google sees it: does the inbound gateway detect the external address?",
        ..ROW
    },
    Row { codes: SIZES, statuses: &[one(2, 3), one(3, 4)], class: Class::Content, words: "the message is too large", ..ROW },
    Row { codes: SIZES, statuses: &[one(7, 0)], class: Class::Content, words: "an attachment that Google does not take", ..ROW },
];

const NOT_DIRECTLY: &[&str] = &["not authorized to send email directly", "not authorised to send", "ipv6 sending guidelines"];
