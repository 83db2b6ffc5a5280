//! What is said of things whose meaning is uncertain or changes: in full where a file has it first, shortly after that.

use std::collections::HashSet;

use super::super::yaml::Comment;

/// A subject that is spoken of in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    DmarcPolicy,
    HeaderAddress,
    Verdict,
    TlsWrapped,
    Analysis,
    FailureDefault,
    FailureContinue,
    FailureDrop,
    MailFromDefault,
    MailFromReplace,
    NotAvailable,
    Role,
    PlainText,
    OtherFamily,
    AddHeaderSubset,
    Bounce,
}

impl Subject {
    /// In full, and shortly.
    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::DmarcPolicy => (
                "Mail Manager does not say whether DmarcExpression is about the policy of the domain's record, or about what becomes of a message that \
                 failed. Taken as the record's `p=`, whether the message passes or not; a domain without a record counts as NONE. A condition on \
                 the result is `dmarc_result: { equals: fail }`.",
                "DmarcExpression, as above: the policy of the record.",
            ),
            Self::HeaderAddress => (
                "Compared with the address alone, not with the display name beside it. What Mail Manager compares is not documented.",
                "As above: compared with the address alone.",
            ),
            Self::Verdict => (
                "Mail Manager's verdicts are made here as its guide has it for SES: GRAY is none, neutral and softfail, for DKIM also a valid signature \
                 of another domain than From's. The results themselves are `spf_result`, `dkim_result` and `dmarc_result`.",
                "Verdicts as above.",
            ),
            Self::TlsWrapped => (
                "Mail Manager has no TLS from the first byte, so this was never true there. Here it is, at endpoints with `tls: { mode: implicit }`.",
                "As above: never true in Mail Manager.",
            ),
            Self::Analysis => (
                "What an add-on found. Here an analyzer of gateway.yaml is asked, under this name and for this field; look whether it has such a field. \
                 Mail Manager leaves such conditions out for IPv6 clients, the gateway does not. What happens without an answer is `on_error`, \
                 `defer` unless said.",
                "An analyzer, as above.",
            ),
            Self::FailureDefault => (
                "No ActionFailurePolicy is given, and what then counts is disputed (CONTINUE or DROP). Mail that is refused for good goes back to its sender \
                 here; `on_failure: continue` or `on_failure: drop` does not.",
                "No ActionFailurePolicy, as above: what is refused for good goes back.",
            ),
            Self::FailureContinue => (
                "ActionFailurePolicy CONTINUE is about faults of the set-up there. Here `continue` also counts when the mail is refused for good: it is \
                 logged, and nobody is told. `on_failure: bounce` tells the sender.",
                "CONTINUE, as above.",
            ),
            Self::FailureDrop => (
                "ActionFailurePolicy DROP is about faults of the set-up there. Here `drop` also counts when the mail is refused for good: it is forgotten, \
                 with a log line. `on_failure: bounce` tells the sender.",
                "DROP, as above.",
            ),
            Self::MailFromDefault => (
                "No MailFrom is given, and its default is not documented. Here the sender's own address is kept; `mail_from: replace` and `mail_from: srs` \
                 change it.",
                "No MailFrom, as above: the sender's address is kept.",
            ),
            Self::MailFromReplace => (
                "What REPLACE puts there is not documented. Here it is `postmaster@` and the gateway's host name, and bounces end there; with \
                 `mail_from: srs` they find the sender.",
                "REPLACE, as above.",
            ),
            Self::NotAvailable => ("This version does not have this action: `gateway validate` says so.", "Not available, as above."),
            Self::Role => {
                ("The role is kept as it was; the gateway must be allowed to take it on, where Mail Manager was.", "Its role, as above.")
            }
            Self::PlainText => {
                ("What TLS_PROTOCOL is without TLS is not documented. Here plain text is below every version.", "Plain text, as above.")
            }
            Self::OtherFamily => (
                "Whether this matches clients of the other family of addresses is not documented. Here it does: none of their addresses is in these networks.",
                "The other family, as above.",
            ),
            Self::AddHeaderSubset => (
                "Whether recipients that this rule does not match see the field, and later rules, is not documented. Here only these recipients get it, and \
                 later rules see it.",
                "The field, as above: for these recipients, and seen by later rules.",
            ),
            Self::Bounce => (
                "A bounce by mail, after the message was accepted, reaches the wrong people when the sender is forged. `Reject` refuses in the dialogue, and \
                 is available.",
                "A bounce by mail, as above.",
            ),
        }
    }
}

/// What was said in a file.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    said: HashSet<Subject>,
}

impl Remarks {
    /// A comment about a subject.
    pub(super) fn on(&mut self, subject: Subject) -> Comment {
        let (full, short) = subject.texts();
        if self.said.insert(subject) { Comment::remark(full) } else { Comment::remark(short) }
    }
}
