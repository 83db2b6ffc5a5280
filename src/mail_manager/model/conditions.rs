//! Conditions of rules.

use super::{Analysis, BooleanOperator, IpOperator, Network, StringOperator, structures, unions, words};

unions! {
    /// A condition of a rule.
    RuleCondition {
        /// About what is or is not.
        BooleanExpression(RuleBooleanExpression),
        /// About a text.
        StringExpression(RuleStringExpression),
        /// About a number.
        NumberExpression(RuleNumberExpression),
        /// About an address of the network.
        IpExpression(RuleIpExpression),
        /// About a verdict.
        VerdictExpression(RuleVerdictExpression),
        /// About the DMARC policy.
        DmarcExpression(RuleDmarcExpression),
    }
    /// What is or is not.
    RuleBooleanToEvaluate {
        /// A property of the message.
        Attribute(RuleBooleanAttribute),
        /// What an add-on found.
        Analysis(Analysis),
        /// Whether an address is in a list.
        IsInAddressList(RuleIsInAddressList),
    }
    /// A text.
    RuleStringToEvaluate {
        /// A property of the message or the session.
        Attribute(RuleStringAttribute),
        /// A header field by its name, which begins with `X-`.
        MimeHeaderAttribute(String),
        /// What an add-on found.
        Analysis(Analysis),
        /// A field of the client's certificate.
        ClientCertificateAttribute(RuleClientCertificateAttribute),
    }
    /// A number.
    RuleNumberToEvaluate {
        /// A property of the message.
        Attribute(RuleNumberAttribute),
    }
    /// An address of the network.
    RuleIpToEvaluate {
        /// A property of the session.
        Attribute(RuleIpAttribute),
    }
    /// A verdict.
    RuleVerdictToEvaluate {
        /// Of an authentication method.
        Attribute(RuleVerdictAttribute),
        /// Of an add-on.
        Analysis(Analysis),
    }
}

structures! {
    /// About what is or is not.
    RuleBooleanExpression {
        /// What it is about.
        evaluate: RuleBooleanToEvaluate,
        /// Whether it should be.
        operator: BooleanOperator,
    }
    /// About a text.
    RuleStringExpression {
        /// Which text.
        evaluate: RuleStringToEvaluate,
        /// How it is compared.
        operator: StringOperator,
        /// With what; any of them for positive operators, none of them for `NOT_EQUALS`.
        #[schemars(length(min = 1))]
        values: Vec<String>,
    }
    /// About a number.
    RuleNumberExpression {
        /// Which number.
        evaluate: RuleNumberToEvaluate,
        /// How it is compared.
        operator: RuleNumberOperator,
        /// With what.
        value: f64,
    }
    /// About an address of the network.
    RuleIpExpression {
        /// Which address.
        evaluate: RuleIpToEvaluate,
        /// Whether it should be in a network.
        operator: IpOperator,
        /// The networks, of both families.
        #[schemars(length(min = 1), with = "Vec<Network>")]
        values: Vec<String>,
    }
    /// About a verdict.
    RuleVerdictExpression {
        /// Which verdict.
        evaluate: RuleVerdictToEvaluate,
        /// Whether it should be one of the words.
        operator: EqualityOperator,
        /// The words.
        #[schemars(length(min = 1))]
        values: Vec<RuleVerdict>,
    }
    /// About the DMARC policy; there is no `Evaluate`.
    RuleDmarcExpression {
        /// Whether it should be one of the words.
        operator: EqualityOperator,
        /// The words.
        #[schemars(length(min = 1))]
        values: Vec<RuleDmarcPolicy>,
    }
    /// Whether an address is in a list.
    RuleIsInAddressList {
        /// Which address.
        attribute: RuleAddressListAttribute,
        /// ARN of exactly one list.
        #[schemars(length(min = 1, max = 1))]
        address_lists: Vec<String>,
    }
}

words! {
    /// What is or is not.
    RuleBooleanAttribute {
        /// The sender asks for a read receipt.
        ReadReceiptRequested = "READ_RECEIPT_REQUESTED",
        /// The session is encrypted.
        Tls = "TLS",
        /// TLS began with the first byte.
        TlsWrapped = "TLS_WRAPPED",
    }
    /// Texts.
    RuleStringAttribute {
        /// The envelope's sender.
        MailFrom = "MAIL_FROM",
        /// What the client called itself.
        Helo = "HELO",
        /// The envelope's recipient.
        Recipient = "RECIPIENT",
        /// The Sender field.
        Sender = "SENDER",
        /// The From field.
        From = "FROM",
        /// The Subject field.
        Subject = "SUBJECT",
        /// The To field.
        To = "TO",
        /// The Cc field.
        Cc = "CC",
    }
    /// Fields of a client's certificate.
    RuleClientCertificateAttribute {
        /// Common name.
        Cn = "CN",
        /// Mail address.
        SanRfc822Name = "SAN_RFC822_NAME",
        /// Host name.
        SanDnsName = "SAN_DNS_NAME",
        /// Directory name.
        SanDirectoryName = "SAN_DIRECTORY_NAME",
        /// URI.
        SanUniformResourceIdentifier = "SAN_UNIFORM_RESOURCE_IDENTIFIER",
        /// IP address.
        SanIpAddress = "SAN_IP_ADDRESS",
        /// Object identifier.
        SanRegisteredId = "SAN_REGISTERED_ID",
        /// Serial number.
        SerialNumber = "SERIAL_NUMBER",
    }
    /// Numbers.
    RuleNumberAttribute {
        /// Octets of the message.
        MessageSize = "MESSAGE_SIZE",
    }
    /// Operators of numbers.
    RuleNumberOperator {
        /// Is this.
        Equals = "EQUALS",
        /// Is not this.
        NotEquals = "NOT_EQUALS",
        /// Is less.
        LessThan = "LESS_THAN",
        /// Is more.
        GreaterThan = "GREATER_THAN",
        /// Is at most this.
        LessThanOrEqual = "LESS_THAN_OR_EQUAL",
        /// Is at least this.
        GreaterThanOrEqual = "GREATER_THAN_OR_EQUAL",
    }
    /// Addresses of the network.
    RuleIpAttribute {
        /// The client's.
        SourceIp = "SOURCE_IP",
    }
    /// Verdicts.
    RuleVerdictAttribute {
        /// Of SPF.
        Spf = "SPF",
        /// Of DKIM.
        Dkim = "DKIM",
    }
    /// Words of verdicts.
    RuleVerdict {
        /// It is authentic.
        Pass = "PASS",
        /// It is not.
        Fail = "FAIL",
        /// Neither can be said.
        Gray = "GRAY",
        /// It could not be found out.
        ProcessingFailed = "PROCESSING_FAILED",
    }
    /// Operators of words.
    EqualityOperator {
        /// One of them.
        Equals = "EQUALS",
        /// None of them.
        NotEquals = "NOT_EQUALS",
    }
    /// Words of DMARC policies.
    RuleDmarcPolicy {
        /// `p=none`.
        None = "NONE",
        /// `p=quarantine`.
        Quarantine = "QUARANTINE",
        /// `p=reject`.
        Reject = "REJECT",
    }
    /// Addresses that may be in a list.
    RuleAddressListAttribute {
        /// The envelope's recipient.
        Recipient = "RECIPIENT",
        /// The envelope's sender.
        MailFrom = "MAIL_FROM",
        /// In the Sender field.
        Sender = "SENDER",
        /// In the From field.
        From = "FROM",
        /// In the To field.
        To = "TO",
        /// In the Cc field.
        Cc = "CC",
    }
}
