//! What was probably meant: other spellings, names of Mail Manager and Postfix, typing mistakes.

/// The candidate that the word was probably meant to be.
pub(crate) fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes that much; and comparing a text of megabytes takes long.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let plain = normalize(word);
    let same = |wanted: &str| candidates.iter().copied().find(|candidate| normalize(candidate) == wanted);
    if let Some(found) = same(&plain) {
        return Some(found);
    }
    let known = OTHER_NAMES.iter().filter(|(other, _)| *other == plain);
    if let Some(found) =
        known.flat_map(|(_, names)| names.iter()).find_map(|name| candidates.iter().copied().find(|candidate| candidate == name))
    {
        return Some(found);
    }
    let allowed = (plain.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&plain, &normalize(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `RecipientDomain`, `RECIPIENT_DOMAIN` and `recipient-domain` are one word.
fn normalize(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// What other systems call it, normalized, with what it is called here; the first that is possible at the place counts.
const OTHER_NAMES: &[(&str, &[&str])] = &[
    ("accept", &["allow", "Stop"]),
    ("acceptaction", &["default"]),
    ("action", &["actions"]),
    ("actionfailurepolicy", &["on_failure"]),
    ("addrecipient", &["ReplaceRecipient"]),
    ("addresslist", &["address_lists", "in_list"]),
    ("applicationid", &["application"]),
    ("applyto", &["when"]),
    ("authentication", &["auth"]),
    ("block", &["deny", "reject", "Reject"]),
    ("ccaddress", &["cc"]),
    ("cert", &["certificate"]),
    ("cidr", &["cidr_matches"]),
    ("clientcertificateattribute", &["client_certificate"]),
    ("condition", &["when"]),
    ("conditions", &["when"]),
    ("copy", &["Archive"]),
    ("credentials", &["auth"]),
    ("defaultaction", &["default", "otherwise"]),
    ("deliver", &["SMTPRelay"]),
    ("deny", &["Reject"]),
    ("discard", &["Drop", "drop"]),
    ("dmarc", &["dmarc_result", "dmarc_policy"]),
    ("dmarcexpression", &["dmarc_policy"]),
    ("domain", &["domains"]),
    ("emailrecipientsrewrite", &["ReplaceRecipient"]),
    ("envelopefrom", &["mail_from"]),
    ("envelopeto", &["recipient"]),
    ("except", &["unless"]),
    ("fromaddress", &["from"]),
    ("functionarn", &["function"]),
    ("headerfrom", &["from"]),
    ("headername", &["name"]),
    ("headers", &["header"]),
    ("headervalue", &["value"]),
    ("if", &["when"]),
    ("in", &["equals"]),
    ("inaddresslist", &["in_list"]),
    ("indexid", &["index"]),
    ("ingresspoint", &["endpoints"]),
    ("ingresspoints", &["endpoints"]),
    ("invocationtype", &["invocation"]),
    ("ip", &["source_ip", "sender_ip"]),
    ("iprange", &["source_ip", "sender_ip"]),
    ("is", &["equals"]),
    ("isinaddresslist", &["in_list"]),
    ("isinlist", &["in_list"]),
    ("istls", &["tls"]),
    ("listeners", &["endpoints"]),
    ("mailboxarn", &["mailbox"]),
    ("mailfromdomain", &["mail_from_domain"]),
    ("maxmessagesizebytes", &["max_message_size"]),
    ("messagemaxsize", &["message_size"]),
    ("messagesizebytes", &["message_size"]),
    ("messagesizemax", &["max_message_size"]),
    ("mimeheader", &["header"]),
    ("mimeheaderattribute", &["header"]),
    ("neutral", &["gray"]),
    ("notin", &["not_equals"]),
    ("payloadtype", &["payload"]),
    ("permerror", &["processing_failed"]),
    ("policystatement", &["deny", "allow"]),
    ("policystatements", &["deny", "allow"]),
    ("privatekey", &["key"]),
    ("publishtosns", &["PublishToSns"]),
    ("rcptto", &["recipient"]),
    ("readreceipt", &["read_receipt_requested"]),
    ("recipientaddress", &["recipient"]),
    ("recipients", &["recipient"]),
    ("regex", &["matches"]),
    ("regexp", &["matches"]),
    ("relay", &["SMTPRelay"]),
    ("relayid", &["relay"]),
    ("relayname", &["relay"]),
    ("replacerecipients", &["ReplaceRecipient"]),
    ("replacewith", &["with"]),
    ("retrytimeminutes", &["retry_minutes"]),
    ("returnpath", &["mail_from"]),
    ("rolearn", &["role"]),
    ("rule", &["rules"]),
    ("rulename", &["name"]),
    ("ruleset", &["rules"]),
    ("rulesetid", &["rules"]),
    ("s3bucket", &["bucket"]),
    ("s3prefix", &["prefix"]),
    ("s3ssekmskeyid", &["kms_key"]),
    ("secretarn", &["secret"]),
    ("sender", &["mail_from"]),
    ("senderip", &["source_ip"]),
    ("senderipv6", &["sender_ip", "source_ip"]),
    ("sendtointernet", &["Send"]),
    ("server", &["host"]),
    ("servername", &["host"]),
    ("serverport", &["port"]),
    ("smarthost", &["host"]),
    ("smtppassword", &["credentials"]),
    ("sns", &["PublishToSns"]),
    ("softfail", &["gray"]),
    ("sourceip", &["sender_ip"]),
    ("targetarchive", &["archive"]),
    ("temperror", &["processing_failed"]),
    ("tempfail", &["Defer", "defer"]),
    ("tlsexpression", &["tls_protocol"]),
    ("tlspolicy", &["tls"]),
    ("to", &["recipient"]),
    ("toaddress", &["to"]),
    ("topicarn", &["topic"]),
    ("trafficpolicy", &["policy"]),
    ("trafficpolicyid", &["policy"]),
    ("value", &["equals"]),
    ("values", &["equals", "value"]),
    ("writetos3bucket", &["WriteToS3"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_and_other_systems() {
        assert_eq!(suggest("SENDER_IP", ["source_ip", "sender"]), Some("source_ip"));
        assert_eq!(suggest("source_ip", ["sender_ip", "recipient"]), Some("sender_ip"));
        assert_eq!(suggest("drop", ["Drop", "Stop"]), Some("Drop"));
        assert_eq!(suggest("Values", ["equals", "contains"]), Some("equals"));
        assert_eq!(suggest("smtp_relay", ["SMTPRelay", "Send"]), Some("SMTPRelay"));
        assert_eq!(suggest("contians", ["contains", "equals"]), Some("contains"));
        assert_eq!(suggest("zebra", ["contains", "equals"]), None);
        assert_eq!(suggest(&"x".repeat(100_000), ["contains"]), None);
    }

    #[test]
    fn every_other_name_is_normalized() {
        for (other, _) in OTHER_NAMES {
            assert_eq!(*other, normalize(other));
        }
    }
}
