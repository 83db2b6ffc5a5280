//! Actions of rules.

use super::{structures, unions, words};

unions! {
    /// An action of a rule.
    RuleAction {
        /// Ends the rule set for the recipients that matched.
        Drop(DropAction),
        /// Delivers through a relay.
        Relay(RelayAction),
        /// Keeps a copy in an archive.
        Archive(ArchiveAction),
        /// Writes the message to S3.
        WriteToS3(S3Action),
        /// Sends to the internet.
        Send(SendAction),
        /// Adds a header field.
        AddHeader(AddHeaderAction),
        /// Replaces the recipients that matched.
        ReplaceRecipient(ReplaceRecipientAction),
        /// Delivers to a WorkMail mailbox.
        DeliverToMailbox(DeliverToMailboxAction),
        /// Delivers to Amazon Q Business.
        DeliverToQBusiness(DeliverToQBusinessAction),
        /// Publishes the message to SNS.
        PublishToSns(SnsAction),
        /// Sends a bounce message to the sender.
        Bounce(BounceAction),
        /// Calls a Lambda function.
        InvokeLambda(InvokeLambdaAction),
    }
}

structures! {
    /// Ends the rule set for the recipients that matched.
    DropAction {}
    /// Delivers through a relay.
    RelayAction {
        /// Id or ARN of the relay.
        relay: String,
        ;
        /// What happens when it cannot be carried out.
        action_failure_policy: ActionFailurePolicy,
        /// Which reverse-path the next hop sees.
        mail_from: MailFrom,
    }
    /// Keeps a copy in an archive.
    ArchiveAction {
        /// Id of the archive.
        target_archive: String,
        ;
        /// What happens when it cannot be carried out.
        action_failure_policy: ActionFailurePolicy,
    }
    /// Writes the message to S3.
    S3Action {
        /// The role to take on.
        role_arn: String,
        /// Name of the bucket.
        s3_bucket: String,
        ;
        /// What happens when it cannot be carried out.
        action_failure_policy: ActionFailurePolicy,
        /// What the object's key begins with.
        s3_prefix: String,
        /// The KMS key to encrypt with.
        s3_sse_kms_key_id: String,
    }
    /// Sends to the internet.
    SendAction {
        /// The role to take on.
        role_arn: String,
        ;
        /// What happens when it cannot be carried out.
        action_failure_policy: ActionFailurePolicy,
    }
    /// Adds a header field.
    AddHeaderAction {
        /// Its name, which begins with `X-`.
        header_name: String,
        /// Its value, as it stands here.
        header_value: String,
    }
    /// Replaces the recipients that matched.
    ReplaceRecipientAction {
        ;
        /// These instead.
        replace_with: Vec<String>,
    }
    /// Delivers to a WorkMail mailbox.
    DeliverToMailboxAction {
        /// ARN of the WorkMail organization.
        mailbox_arn: String,
        /// The role to take on.
        role_arn: String,
        ;
        /// What happens when it cannot be carried out.
        action_failure_policy: ActionFailurePolicy,
    }
    /// Delivers to Amazon Q Business.
    DeliverToQBusinessAction {
        /// The application.
        application_id: String,
        /// The index.
        index_id: String,
        /// The role to take on.
        role_arn: String,
        ;
        /// What happens when it cannot be carried out.
        action_failure_policy: ActionFailurePolicy,
    }
    /// Publishes the message to SNS.
    SnsAction {
        /// ARN of the topic.
        topic_arn: String,
        /// The role to take on.
        role_arn: String,
        ;
        /// What happens when it cannot be carried out.
        action_failure_policy: ActionFailurePolicy,
        /// How it is encoded.
        encoding: SnsEncoding,
        /// How much of the message is published.
        payload_type: SnsPayloadType,
    }
    /// Sends a bounce message to the sender.
    BounceAction {
        /// The role to take on.
        role_arn: String,
        /// The address it comes from.
        sender: String,
        /// The enhanced status code it reports.
        status_code: String,
        /// The reply code it reports.
        smtp_reply_code: String,
        /// The diagnostic text it reports.
        diagnostic_message: String,
        ;
        /// What happens when it cannot be carried out.
        action_failure_policy: ActionFailurePolicy,
        /// What the sender reads.
        message: String,
    }
    /// Calls a Lambda function.
    InvokeLambdaAction {
        /// ARN of the function.
        function_arn: String,
        /// Whether its answer is waited for.
        invocation_type: LambdaInvocationType,
        /// The role to take on.
        role_arn: String,
        ;
        /// What happens when it cannot be carried out.
        action_failure_policy: ActionFailurePolicy,
        /// How long it is tried again.
        #[schemars(range(max = 2160))]
        retry_time_minutes: u32,
    }
}

words! {
    /// What happens when an action cannot be carried out.
    ActionFailurePolicy {
        /// The actions after it go on.
        Continue = "CONTINUE",
        /// The message is dropped.
        Drop = "DROP",
    }
    /// Which reverse-path the next hop sees.
    MailFrom {
        /// One of the service.
        Replace = "REPLACE",
        /// The sender's own.
        Preserve = "PRESERVE",
    }
    /// How a message is encoded for SNS.
    SnsEncoding {
        /// As text.
        Utf8 = "UTF-8",
        /// In base64.
        Base64 = "BASE64",
    }
    /// How much of a message SNS gets.
    SnsPayloadType {
        /// The header section.
        Headers = "HEADERS",
        /// All of it.
        Content = "CONTENT",
    }
    /// Whether a function's answer is waited for.
    LambdaInvocationType {
        /// No.
        Event = "EVENT",
        /// Yes.
        RequestResponse = "REQUEST_RESPONSE",
    }
}
