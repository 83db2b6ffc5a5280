//! Exchange Online: Microsoft's list of non-delivery codes, and what its servers were seen to say.

use super::{Class, HOUR, REFUSALS, ROW, Row, TEMPORARY, When, one, range};

/// Recipients of one domain that Exchange Online takes in a transaction.
const RECIPIENTS: usize = 200;

/// Codes that others use as well, some with another meaning.
pub(super) const ROWS: &[Row] = &[
    Row { codes: &[432], statuses: &[one(3, 2)], class: Class::Alone, words: "the mailbox is throttled", ..ROW },
    Row { codes: &[421, 451], statuses: &[range(3, 0, 999)], words: "the service is busy", ..ROW },
    Row {
        codes: TEMPORARY,
        statuses: &[range(7, 651, 652)],
        class: Class::Slow,
        words: "throttled: too many connections or too much mail",
        ..ROW
    },
    Row { codes: TEMPORARY, statuses: &[range(7, 500, 699)], class: Class::Slow, alarm: true, words: NO_CONNECTOR, ..ROW },
    Row { codes: TEMPORARY, statuses: &[range(7, 850, 899)], class: Class::Slow, alarm: true, words: NO_CONNECTOR, ..ROW },
    Row { codes: TEMPORARY, texts: &["server busy", "as780090"], class: Class::Slow, words: NO_CONNECTOR, ..ROW },
    Row {
        codes: TEMPORARY,
        statuses: &[range(7, 25, 26)],
        when: When::OverIpv6,
        class: Class::Slow,
        elsewhere: true,
        words: "over IPv6, without PTR record or without SPF and DKIM",
        ..ROW
    },
    Row { codes: REFUSALS, statuses: &[one(7, 25)], when: When::OverIpv6, class: Class::Hold, elsewhere: true, words: NO_PTR, ..ROW },
    Row { codes: REFUSALS, statuses: &[one(7, 25)], class: Class::Hold, words: NO_PTR, ..ROW },
    Row {
        codes: REFUSALS,
        statuses: &[one(2, 1)],
        when: When::OverIpv6,
        class: Class::Bounce,
        elsewhere: true,
        words: "over IPv6, which the tenant may not have",
        ..ROW
    },
    Row {
        codes: &[452],
        statuses: &[one(5, 3)],
        when: When::RecipientsUpTo(RECIPIENTS),
        class: Class::Slow,
        split: true,
        words: "too many recipients in a short time",
        ..ROW
    },
    Row { codes: &[452], statuses: &[one(5, 3)], class: Class::Alone, split: true, words: "no more recipients in this transaction", ..ROW },
    Row { codes: REFUSALS, statuses: &[one(1, 1), one(1, 10)], class: Class::Bounce, words: "there is no such recipient", ..ROW },
    Row {
        codes: REFUSALS,
        statuses: &[one(4, 1)],
        texts: &["relay access denied"],
        class: Class::Hold,
        words: "the domain is not of this tenant",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        statuses: &[one(4, 1)],
        when: When::DomainAccepted,
        class: Class::Bounce,
        words: "there is no such recipient",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        statuses: &[one(4, 1)],
        class: Class::Hold,
        words: "no recipient of the domain was accepted lately: the domain is not of this tenant, or the relay's host is another tenant's",
        ..ROW
    },
    Row { statuses: &[one(4, 6), one(4, 14)], class: Class::Bounce, alarm: true, words: "a mail loop", ..ROW },
    Row {
        codes: REFUSALS,
        statuses: &[one(7, 12), one(7, 124), range(7, 133, 136)],
        class: Class::Bounce,
        words: "the recipient takes mail from certain senders only",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        statuses: &[one(7, 23)],
        class: Class::Bounce,
        alarm: true,
        words: "SPF of the sender failed: does enhanced filtering skip this gateway's address?",
        ..ROW
    },
    Row { codes: &[550, 552, 554], statuses: &[one(2, 3), one(3, 4)], class: Class::Content, words: "the message is too large", ..ROW },
    Row { statuses: &[one(6, 11)], class: Class::Content, alarm: true, words: "a bare line feed in the message", ..ROW },
];

/// Codes that nobody else uses: they count also where the relay has no preset.
pub(super) const OWN: &[Row] = &[
    Row { statuses: &[range(2, 121, 122)], class: Class::Alone, wait: HOUR, words: "the mailbox gets too much mail in an hour", ..ROW },
    Row { codes: REFUSALS, statuses: &[one(2, 252)], class: Class::Bounce, words: "the login may not send as this sender", ..ROW },
    Row {
        codes: REFUSALS,
        statuses: &[one(7, 51)],
        class: Class::Hold,
        words: "a partner connector exists that does not list this gateway",
        ..ROW
    },
    Row { codes: REFUSALS, statuses: &[one(7, 57)], class: Class::Hold, words: "the next hop asks for a login", ..ROW },
    Row { codes: REFUSALS, statuses: &[one(7, 64)], class: Class::Hold, words: "no connector matches this gateway any more", ..ROW },
    Row {
        codes: REFUSALS,
        statuses: &[one(7, 68)],
        when: When::Known,
        class: Class::Hold,
        words: "direct send is refused and no connector matches this gateway",
        ..ROW
    },
    Row { codes: REFUSALS, statuses: &[one(7, 68)], class: Class::Bounce, words: "direct send is refused", ..ROW },
    Row { codes: REFUSALS, statuses: &[one(7, 506)], class: Class::Hold, words: "the next hop refuses this gateway's host name", ..ROW },
    Row {
        codes: REFUSALS,
        statuses: &[one(7, 507), one(7, 513)],
        class: Class::Hold,
        words: "the recipient's organization blocks this gateway's address",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        statuses: &[one(7, 508), one(7, 511), range(7, 606, 649)],
        class: Class::Hold,
        elsewhere: true,
        words: "this gateway's address is on a block list",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        statuses: &[one(7, 509), one(7, 515)],
        class: Class::Bounce,
        alarm: true,
        words: "the sender's authentication as Microsoft sees it: does enhanced filtering skip this gateway's address?",
        ..ROW
    },
    Row {
        codes: REFUSALS,
        statuses: &[one(7, 510)],
        when: When::OverIpv6,
        class: Class::Bounce,
        elsewhere: true,
        words: "over IPv6, which the recipient does not take",
        ..ROW
    },
    Row { codes: REFUSALS, statuses: &[one(7, 512)], class: Class::Content, words: "the From field is not valid", ..ROW },
    Row { codes: REFUSALS, statuses: &[range(7, 700, 750)], class: Class::Hold, words: "the tenant is barred", ..ROW },
];

const NO_CONNECTOR: &str = "this gateway's address is throttled: no connector matches it";
const NO_PTR: &str = "this gateway's address has no PTR record";
