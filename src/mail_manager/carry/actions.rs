//! Actions of rules.

use super::super::model::{
    ActionFailurePolicy, BounceAction, InvokeLambdaAction, LambdaInvocationType, MailFrom, RelayAction, RuleAction, S3Action, SnsAction,
    SnsEncoding, SnsPayloadType,
};
use super::super::yaml::{Comment, Item, Yaml};
use super::names::Names;
use super::remarks::{Remarks, Subject};

/// An action as an item with its comments, or why there is none.
pub(super) fn action(action: &RuleAction, names: &mut Names, remarks: &mut Remarks) -> Result<Item, String> {
    Ok(match action {
        RuleAction::Drop(_) => Item::of(Yaml::text("Drop")),
        RuleAction::Relay(relay) => smtp_relay(relay, names, remarks),
        RuleAction::AddHeader(header) => {
            let fields = vec![Item::entry("name", Yaml::text(&header.header_name)), Item::entry("value", Yaml::text(&header.header_value))];
            Item::of(Yaml::one("AddHeader", Yaml::map(fields))).with([remarks.on(Subject::AddHeaderSubset)])
        }
        RuleAction::ReplaceRecipient(replace) => {
            let with = replace.replace_with.as_deref().filter(|with| !with.is_empty());
            let with = with.ok_or("ReplaceRecipient has no ReplaceWith, and what that means is not documented")?;
            Item::of(Yaml::one("ReplaceRecipient", Yaml::one("with", Yaml::texts(with))))
        }
        RuleAction::Archive(archive) => {
            let fields = vec![Item::entry("archive", Yaml::text(names.archive(&archive.target_archive)))];
            later("Archive", fields, archive.action_failure_policy, false, remarks)
        }
        RuleAction::WriteToS3(s3) => write_to_s3(s3, remarks),
        RuleAction::Send(send) => later("Send", vec![role(&send.role_arn)], send.action_failure_policy, true, remarks),
        RuleAction::DeliverToMailbox(deliver) => {
            let fields = vec![Item::entry("mailbox", Yaml::text(names.mailbox(&deliver.mailbox_arn)))];
            later("DeliverToMailbox", fields, deliver.action_failure_policy, true, remarks).with([Comment::remark(format!(
                "A WorkMail organization there ({}), with the role {}: a mailbox of gateway.yaml here.",
                deliver.mailbox_arn, deliver.role_arn
            ))])
        }
        RuleAction::DeliverToQBusiness(deliver) => {
            let fields = vec![
                Item::entry("application", Yaml::text(&deliver.application_id)),
                Item::entry("index", Yaml::text(&deliver.index_id)),
                role(&deliver.role_arn),
            ];
            later("DeliverToQBusiness", fields, deliver.action_failure_policy, false, remarks)
        }
        RuleAction::PublishToSns(sns) => publish(sns, remarks),
        RuleAction::Bounce(bounce) => bounce_of(bounce, remarks),
        RuleAction::InvokeLambda(lambda) => invoke(lambda, remarks),
    })
}

fn smtp_relay(relay: &RelayAction, names: &mut Names, remarks: &mut Remarks) -> Item {
    let mut comments = Vec::new();
    let mut fields = vec![Item::entry("relay", Yaml::text(names.relay(&relay.relay)))];
    match relay.mail_from {
        None => comments.push(remarks.on(Subject::MailFromDefault)),
        Some(MailFrom::Preserve) => fields.push(Item::entry("mail_from", Yaml::text("preserve"))),
        Some(MailFrom::Replace) => {
            comments.push(remarks.on(Subject::MailFromReplace));
            fields.push(Item::entry("mail_from", Yaml::text("replace")));
        }
    }
    failure(relay.action_failure_policy, true, &mut fields, &mut comments, remarks);
    Item::of(Yaml::one("SMTPRelay", Yaml::map(fields))).with(comments)
}

fn write_to_s3(s3: &S3Action, remarks: &mut Remarks) -> Item {
    let mut fields = vec![Item::entry("bucket", Yaml::text(&s3.s3_bucket))];
    fields.extend(s3.s3_prefix.as_ref().map(|prefix| Item::entry("prefix", Yaml::text(prefix))));
    fields.extend(s3.s3_sse_kms_key_id.as_ref().map(|key| Item::entry("kms_key", Yaml::text(key))));
    fields.push(role(&s3.role_arn));
    later("WriteToS3", fields, s3.action_failure_policy, false, remarks)
}

fn publish(sns: &SnsAction, remarks: &mut Remarks) -> Item {
    let payload = match sns.payload_type {
        Some(SnsPayloadType::Headers) => "headers",
        // The defaults of the service.
        Some(SnsPayloadType::Content) | None => "content",
    };
    let encoding = match sns.encoding {
        Some(SnsEncoding::Base64) => "base64",
        Some(SnsEncoding::Utf8) | None => "utf-8",
    };
    let fields = vec![
        Item::entry("topic", Yaml::text(&sns.topic_arn)),
        Item::entry("payload", Yaml::text(payload)),
        Item::entry("encoding", Yaml::text(encoding)),
        role(&sns.role_arn),
    ];
    later("PublishToSns", fields, sns.action_failure_policy, false, remarks)
}

fn bounce_of(bounce: &BounceAction, remarks: &mut Remarks) -> Item {
    let mut fields = vec![
        Item::entry("sender", Yaml::text(&bounce.sender)),
        Item::entry("smtp_reply_code", Yaml::Plain(bounce.smtp_reply_code.clone())),
        Item::entry("status_code", Yaml::text(&bounce.status_code)),
        Item::entry("diagnostic_message", Yaml::text(&bounce.diagnostic_message)),
    ];
    fields.extend(bounce.message.as_ref().map(|message| Item::entry("message", Yaml::text(message))));
    let instead = if bounce.smtp_reply_code.starts_with('5') { "Reject" } else { "Defer" };
    let comments = [
        remarks.on(Subject::Bounce),
        Comment::plain(format!(
            "{instead}: {{ code: {}, status: {}, text: {:?} }}",
            bounce.smtp_reply_code, bounce.status_code, bounce.diagnostic_message
        )),
        Comment::remark(format!("Its role {} is not carried over.", bounce.role_arn)),
    ];
    later("Bounce", fields, bounce.action_failure_policy, false, remarks).with(comments)
}

fn invoke(lambda: &InvokeLambdaAction, remarks: &mut Remarks) -> Item {
    let invocation = match lambda.invocation_type {
        LambdaInvocationType::Event => "event",
        LambdaInvocationType::RequestResponse => "request_response",
    };
    let mut fields = vec![Item::entry("function", Yaml::text(&lambda.function_arn)), Item::entry("invocation", Yaml::text(invocation))];
    fields.extend(lambda.retry_time_minutes.map(|minutes| Item::entry("retry_minutes", Yaml::Plain(minutes.to_string()))));
    fields.push(role(&lambda.role_arn));
    later("InvokeLambda", fields, lambda.action_failure_policy, false, remarks)
}

fn role(arn: &str) -> Item {
    Item::entry("role", Yaml::text(arn))
}

/// An action that this version does not have.
fn later(name: &str, mut fields: Vec<Item>, policy: Option<ActionFailurePolicy>, disposes: bool, remarks: &mut Remarks) -> Item {
    let mut comments = vec![remarks.on(Subject::NotAvailable)];
    if fields.iter().any(|field| field.key() == Some("role")) {
        comments.push(remarks.on(Subject::Role));
    }
    failure(policy, disposes, &mut fields, &mut comments, remarks);
    Item::of(Yaml::one(name, Yaml::map(fields))).with(comments)
}

/// `on_failure`; an action that keeps copies goes on without it, one that disposes of the message bounces.
fn failure(
    policy: Option<ActionFailurePolicy>,
    disposes: bool,
    fields: &mut Vec<Item>,
    comments: &mut Vec<Comment>,
    remarks: &mut Remarks,
) {
    let word = match policy {
        None if disposes => return comments.push(remarks.on(Subject::FailureDefault)),
        None => return,
        Some(ActionFailurePolicy::Continue) => {
            if disposes {
                comments.push(remarks.on(Subject::FailureContinue));
            }
            "continue"
        }
        Some(ActionFailurePolicy::Drop) => {
            comments.push(remarks.on(Subject::FailureDrop));
            "drop"
        }
    };
    fields.push(Item::entry("on_failure", Yaml::text(word)));
}
