//! Traffic policies.

use super::{Analysis, BooleanOperator, Ignored, IpOperator, Network, StringOperator, Tag, structures, unions, words};

structures! {
    /// A traffic policy.
    TrafficPolicy {
        /// Its name.
        traffic_policy_name: String,
        ;
        /// What happens when no statement matches.
        default_action: AcceptAction,
        /// The largest message that is taken, in octets.
        #[schemars(range(min = 1))]
        max_message_size_bytes: u64,
        /// Statements; those that deny are looked at first, whatever their order.
        policy_statements: Vec<PolicyStatement>,
        /// Its id.
        traffic_policy_id: String,
        /// Its ARN.
        traffic_policy_arn: String,
        /// Names the request.
        client_token: Ignored,
        /// Labels.
        tags: Vec<Tag>,
        /// When it was made.
        created_timestamp: Ignored,
        /// When it was changed.
        last_updated_timestamp: Ignored,
    }
    /// A statement: it matches when all its conditions do.
    PolicyStatement {
        /// Its conditions.
        #[schemars(length(min = 1))]
        conditions: Vec<PolicyCondition>,
        /// What it says.
        action: AcceptAction,
    }
    /// About a text.
    IngressStringExpression {
        /// Which text.
        evaluate: IngressStringToEvaluate,
        /// How it is compared.
        operator: StringOperator,
        /// With what.
        #[schemars(length(min = 1))]
        values: Vec<String>,
    }
    /// About an IPv4 address.
    IngressIpv4Expression {
        /// Which address.
        evaluate: IngressIpv4ToEvaluate,
        /// Whether it should be in a network.
        operator: IpOperator,
        /// The networks.
        #[schemars(length(min = 1), with = "Vec<Network>")]
        values: Vec<String>,
    }
    /// About an IPv6 address.
    IngressIpv6Expression {
        /// Which address.
        evaluate: IngressIpv6ToEvaluate,
        /// Whether it should be in a network.
        operator: IpOperator,
        /// The networks.
        #[schemars(length(min = 1), with = "Vec<Network>")]
        values: Vec<String>,
    }
    /// About the TLS version.
    IngressTlsProtocolExpression {
        /// What it is about.
        evaluate: IngressTlsProtocolToEvaluate,
        /// How it is compared.
        operator: IngressTlsProtocolOperator,
        /// With which version: one, not a list.
        value: IngressTlsProtocol,
    }
    /// About what is or is not.
    IngressBooleanExpression {
        /// What it is about.
        evaluate: IngressBooleanToEvaluate,
        /// Whether it should be.
        operator: BooleanOperator,
    }
    /// Whether an address is in a list.
    IngressIsInAddressList {
        /// Which address.
        attribute: IngressAddressListAttribute,
        /// ARN of exactly one list.
        #[schemars(length(min = 1, max = 1))]
        address_lists: Vec<String>,
    }
}

unions! {
    /// A condition of a statement.
    PolicyCondition {
        /// About a text.
        StringExpression(IngressStringExpression),
        /// About an IPv4 address.
        IpExpression(IngressIpv4Expression),
        /// About an IPv6 address.
        Ipv6Expression(IngressIpv6Expression),
        /// About the TLS version.
        TlsExpression(IngressTlsProtocolExpression),
        /// About what is or is not.
        BooleanExpression(IngressBooleanExpression),
    }
    /// A text.
    IngressStringToEvaluate {
        /// A property of the session.
        Attribute(IngressStringAttribute),
        /// What an add-on found.
        Analysis(Analysis),
    }
    /// An IPv4 address.
    IngressIpv4ToEvaluate {
        /// A property of the session.
        Attribute(IngressIpv4Attribute),
    }
    /// An IPv6 address.
    IngressIpv6ToEvaluate {
        /// A property of the session.
        Attribute(IngressIpv6Attribute),
    }
    /// A TLS version.
    IngressTlsProtocolToEvaluate {
        /// A property of the session.
        Attribute(IngressTlsAttribute),
    }
    /// What is or is not.
    IngressBooleanToEvaluate {
        /// What an add-on found.
        Analysis(Analysis),
        /// Whether an address is in a list.
        IsInAddressList(IngressIsInAddressList),
    }
}

words! {
    /// What a policy says.
    AcceptAction {
        /// Take it.
        Allow = "ALLOW",
        /// Refuse it.
        Deny = "DENY",
    }
    /// Texts.
    IngressStringAttribute {
        /// The address given in RCPT.
        Recipient = "RECIPIENT",
    }
    /// IPv4 addresses.
    IngressIpv4Attribute {
        /// The client's.
        SenderIp = "SENDER_IP",
    }
    /// IPv6 addresses.
    IngressIpv6Attribute {
        /// The client's.
        SenderIpv6 = "SENDER_IPV6",
    }
    /// TLS versions.
    IngressTlsAttribute {
        /// The session's.
        TlsProtocol = "TLS_PROTOCOL",
    }
    /// Operators of TLS versions.
    IngressTlsProtocolOperator {
        /// This version or a later one.
        MinimumTlsVersion = "MINIMUM_TLS_VERSION",
        /// This version.
        Is = "IS",
    }
    /// TLS versions.
    IngressTlsProtocol {
        /// TLS 1.2.
        Tls1_2 = "TLS1_2",
        /// TLS 1.3.
        Tls1_3 = "TLS1_3",
    }
    /// Addresses that may be in a list.
    IngressAddressListAttribute {
        /// The address given in RCPT.
        Recipient = "RECIPIENT",
    }
}
