//! The actions of a rule, those that this version does not have included.

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;

/// An action.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) enum Action {
    /// Delivers through a relay.
    #[serde(rename = "SMTPRelay")]
    SmtpRelay(SmtpRelay),
    /// Adds a header field on top.
    AddHeader(AddHeader),
    /// Removes all header fields of a name.
    RemoveHeader(RemoveHeader),
    /// Puts a text before the subject, unless it begins with it already.
    PrefixSubject(PrefixSubject),
    /// Replaces the envelope recipients that matched.
    ReplaceRecipient(ReplaceRecipient),
    /// Ends the rule set for the recipients that matched; what was planned before stays planned.
    Drop,
    /// Ends the rule set for the recipients that matched; what was planned before stays planned.
    Stop,
    /// Refuses the recipients that matched, in the SMTP dialogue.
    Reject(Reject),
    /// Refuses the recipients that matched for now, in the SMTP dialogue.
    Defer(Defer),
    /// Keeps a copy in an archive.
    #[schemars(extend("x-not-available" = "error"))]
    Archive(Archive),
    /// Writes the message to S3.
    #[schemars(extend("x-not-available" = "error"))]
    WriteToS3(WriteToS3),
    /// Publishes the message to SNS.
    #[schemars(extend("x-not-available" = "error"))]
    PublishToSns(PublishToSns),
    /// Calls a Lambda function.
    #[schemars(extend("x-not-available" = "error"))]
    InvokeLambda(InvokeLambda),
    /// Sends to the internet through SES.
    #[schemars(extend("x-not-available" = "error"))]
    Send(Send),
    /// Delivers to a mailbox.
    #[schemars(extend("x-not-available" = "error"))]
    DeliverToMailbox(DeliverToMailbox),
    /// Delivers to Amazon Q Business.
    #[schemars(extend("x-not-available" = "error"))]
    DeliverToQBusiness(DeliverToQBusiness),
    /// Sends a bounce message to the sender.
    #[schemars(extend("x-not-available" = "error"))]
    Bounce(Bounce),
    /// Holds the message until it is released, dropped or expires.
    #[schemars(extend("x-not-available" = "error"))]
    Quarantine(Quarantine),
}

/// What a permanent failure of a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFailure {
    /// The sender gets a non-delivery report.
    Bounce,
    /// Logged; the other steps decide.
    Continue,
    /// Logged; nothing more for these recipients.
    Drop,
}

/// Delivers through a relay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmtpRelay {
    /// A relay of `gateway.yaml`.
    pub(crate) relay: RelayName,
    /// Which reverse-path the next hop sees; `preserve` unless said.
    pub(crate) mail_from: Option<MailFrom>,
    /// What a permanent failure does; `bounce` unless said.
    pub(crate) on_failure: Option<OnFailure>,
}

/// Which reverse-path the next hop sees.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MailFrom {
    /// The sender's own.
    Preserve,
    /// `postmaster@` and the host name of the gateway.
    Replace,
    /// An address of the section `srs` that stands for the sender, so that SPF passes at the next hop and bounces come back. Senders at one
    /// of `domains` are left as they are, and so is the null path.
    Srs,
}

/// Adds a header field on top.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddHeader {
    /// Name of the field.
    pub(crate) name: HeaderName,
    /// Its value; `{{ attribute }}` is filled in.
    pub(crate) value: TemplateText,
}

/// Removes all header fields of a name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveHeader {
    /// Name of the fields; case does not matter.
    pub(crate) name: HeaderName,
}

/// Puts a text before the subject.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrefixSubject {
    /// The text; a space behind it is part of it.
    pub(crate) text: Line,
}

/// Replaces the envelope recipients that matched: `with` or `map`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-one-of" = ["with", "map"]))]
pub(crate) struct ReplaceRecipient {
    /// These instead of whoever matched.
    pub(crate) with: Option<OneOrMany<MailAddress>>,
    /// By the first entry that fits; `*@old.example: "*@new.example"` keeps the local part.
    pub(crate) map: Option<AddressMap>,
}

/// Refuses for good.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reject {
    /// The reply code, 500 to 599; 550 unless said.
    #[schemars(range(min = 500, max = 599), extend("format" = "reply-code"))]
    pub(crate) code: Option<u16>,
    /// The enhanced status code; 5.7.1 unless said.
    pub(crate) status: Option<StatusCode>,
    /// What the sender reads.
    pub(crate) text: Option<Line>,
}

/// Refuses for now.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defer {
    /// The reply code, 400 to 499; 450 unless said.
    #[schemars(range(min = 400, max = 499), extend("format" = "reply-code"))]
    pub(crate) code: Option<u16>,
    /// The enhanced status code; 4.7.1 unless said.
    pub(crate) status: Option<StatusCode>,
    /// What the sender reads.
    pub(crate) text: Option<Line>,
}

macro_rules! later {
    ($($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty,)+ })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name { $($(#[doc = $field_doc])+ pub(crate) $field: $type,)+ }
    )+};
}

later! {
    /// Keeps a copy in an archive.
    Archive {
        /// An archive of `gateway.yaml`.
        archive: ArchiveName,
        /// What a permanent failure does; `continue` unless said.
        on_failure: Option<OnFailure>,
    }
    /// Writes the message to S3.
    WriteToS3 {
        /// Name of the bucket.
        bucket: Line,
        /// What the object's key begins with.
        prefix: Option<Line>,
        /// The KMS key to encrypt with.
        kms_key: Option<Line>,
        /// The role to take on.
        role: Option<Line>,
        /// What a permanent failure does; `continue` unless said.
        on_failure: Option<OnFailure>,
    }
    /// Publishes the message to SNS.
    PublishToSns {
        /// ARN of the topic.
        topic: Line,
        /// How much of the message is published.
        payload: Option<SnsPayload>,
        /// How it is encoded.
        encoding: Option<SnsEncoding>,
        /// The role to take on.
        role: Option<Line>,
        /// What a permanent failure does; `continue` unless said.
        on_failure: Option<OnFailure>,
    }
    /// Calls a Lambda function.
    InvokeLambda {
        /// Name or ARN of the function.
        function: Line,
        /// Whether its answer is waited for.
        invocation: Option<LambdaInvocation>,
        /// How long it is tried again.
        retry_minutes: Option<u32>,
        /// The role to take on.
        role: Option<Line>,
        /// What a permanent failure does; `continue` unless said.
        on_failure: Option<OnFailure>,
    }
    /// Sends to the internet through SES.
    Send {
        /// The role to take on.
        role: Option<Line>,
        /// What a permanent failure does; `bounce` unless said.
        on_failure: Option<OnFailure>,
    }
    /// Delivers to a mailbox.
    DeliverToMailbox {
        /// A mailbox of `gateway.yaml`.
        mailbox: MailboxName,
        /// What a permanent failure does; `bounce` unless said.
        on_failure: Option<OnFailure>,
    }
    /// Delivers to Amazon Q Business.
    DeliverToQBusiness {
        /// The application.
        application: Line,
        /// The index.
        index: Line,
        /// The role to take on.
        role: Option<Line>,
        /// What a permanent failure does; `continue` unless said.
        on_failure: Option<OnFailure>,
    }
    /// Sends a bounce message to the sender.
    Bounce {
        /// The address it comes from.
        sender: MailAddress,
        /// The reply code it reports.
        smtp_reply_code: u16,
        /// The enhanced status code it reports.
        status_code: StatusCode,
        /// The diagnostic text it reports.
        diagnostic_message: Line,
        /// What the sender reads.
        message: Option<String>,
        /// What a permanent failure does; `continue` unless said.
        on_failure: Option<OnFailure>,
    }
    /// Holds the message.
    Quarantine {
        /// Why; the operator reads it.
        reason: Line,
    }
}

/// How much of the message is published.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SnsPayload {
    /// The header section.
    Headers,
    /// All of it.
    Content,
}

/// How it is encoded.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum SnsEncoding {
    /// As text.
    #[serde(rename = "utf-8")]
    Utf8,
    /// Base64.
    #[serde(rename = "base64")]
    Base64,
}

/// Whether the function's answer is waited for.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LambdaInvocation {
    /// No.
    Event,
    /// Yes.
    RequestResponse,
}
