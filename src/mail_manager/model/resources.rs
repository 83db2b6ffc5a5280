//! Rule sets, relays, ingress points, address lists, archives, add-ons.

use super::{Ignored, RuleAction, RuleCondition, Tag, structures, unions, words};

structures! {
    /// A rule set.
    RuleSet {
        /// Its name.
        rule_set_name: String,
        /// Its rules, which all run, in order.
        rules: Vec<Rule>,
        ;
        /// Its id.
        rule_set_id: String,
        /// Its ARN.
        rule_set_arn: String,
        /// Names the request.
        client_token: Ignored,
        /// Labels.
        tags: Vec<Tag>,
        /// When it was made.
        created_date: Ignored,
        /// When it was changed.
        last_modification_date: Ignored,
    }
    /// A rule.
    Rule {
        /// What is done, in order.
        #[schemars(length(min = 1))]
        actions: Vec<RuleAction>,
        ;
        /// Its name; a rule need not have one.
        name: String,
        /// All of these must match.
        conditions: Vec<RuleCondition>,
        /// None of these may match.
        unless: Vec<RuleCondition>,
    }
    /// A relay.
    Relay {
        /// Host name or IPv4 address.
        server_name: String,
        /// TCP port.
        #[schemars(range(min = 1, max = 65535))]
        server_port: u16,
        /// How to log in.
        authentication: RelayAuthentication,
        ;
        /// Its name.
        relay_name: String,
        /// Its id.
        relay_id: String,
        /// Its ARN.
        relay_arn: String,
        /// Names the request.
        client_token: Ignored,
        /// Labels.
        tags: Vec<Tag>,
        /// When it was made.
        created_timestamp: Ignored,
        /// When it was changed.
        last_modified_timestamp: Ignored,
    }
    /// No login.
    NoAuthentication {}
    /// Where mail comes in.
    IngressPoint {
        /// Its name.
        ingress_point_name: String,
        /// Who may use it.
        r#type: IngressPointType,
        ;
        /// The id of its rule set.
        rule_set_id: String,
        /// The id of its traffic policy.
        traffic_policy_id: String,
        /// Whether clients must use TLS.
        tls_policy: TlsPolicy,
        /// Who may log in, or whose certificates are believed: as it is set.
        ingress_point_configuration: IngressPointConfiguration,
        /// The same, as it is read.
        ingress_point_auth_configuration: IngressPointAuthConfiguration,
        /// Where it can be reached from.
        network_configuration: NetworkConfiguration,
        /// Its id; the user name of those who log in.
        ingress_point_id: String,
        /// Its ARN.
        ingress_point_arn: String,
        /// Whether it serves.
        status: IngressPointStatus,
        /// Whether it should serve.
        status_to_update: IngressPointStatus,
        /// The host name for MX records.
        a_record: String,
        /// Names the request.
        client_token: Ignored,
        /// Labels.
        tags: Vec<Tag>,
        /// When it was made.
        created_timestamp: Ignored,
        /// When it was changed.
        last_updated_timestamp: Ignored,
    }
    /// Who may log in, or whose certificates are believed, as it is read.
    IngressPointAuthConfiguration {
        ;
        /// About a password, which itself is not shown.
        ingress_point_password_configuration: IngressPointPasswordConfiguration,
        /// ARN of a secret with the key `password`.
        secret_arn: String,
        /// Whose certificates are believed.
        tls_auth_configuration: TlsAuthConfiguration,
    }
    /// About a password, which itself is not shown.
    IngressPointPasswordConfiguration {
        ;
        /// Its version.
        smtp_password_version: String,
        /// The version before it.
        previous_smtp_password_version: String,
        /// How long that one is taken.
        previous_smtp_password_expiry_timestamp: Ignored,
    }
    /// Whose certificates are believed.
    TlsAuthConfiguration {
        ;
        /// CAs and CRLs.
        trust_store: TrustStore,
    }
    /// CAs and CRLs in PEM.
    TrustStore {
        /// CAs.
        #[serde(rename = "CAContent")]
        ca_content: String,
        ;
        /// CRLs, one for each CA.
        crl_content: String,
        /// The key that they are encrypted with.
        kms_key_arn: String,
    }
    /// Reached from the internet.
    PublicNetworkConfiguration {
        /// Over which families of addresses.
        ip_type: IpType,
    }
    /// Reached from a VPC.
    PrivateNetworkConfiguration {
        /// The endpoint there.
        vpc_endpoint_id: String,
    }
    /// An address list; its members are listed by another operation.
    AddressList {
        /// Its name.
        address_list_name: String,
        ;
        /// Its id.
        address_list_id: String,
        /// Its ARN.
        address_list_arn: String,
        /// Names the request.
        client_token: Ignored,
        /// Labels.
        tags: Vec<Tag>,
        /// When it was made.
        created_timestamp: Ignored,
        /// When it was changed.
        last_updated_timestamp: Ignored,
    }
    /// Members of an address list, which the answer does not name.
    AddressListMembers {
        /// The members.
        addresses: Vec<SavedAddress>,
        ;
        /// There are more.
        next_token: String,
    }
    /// A member of an address list.
    SavedAddress {
        /// An address, or a pattern with a star.
        address: String,
        ;
        /// When it was added.
        created_timestamp: Ignored,
    }
    /// What an import job of an address list takes.
    AddressListImport {
        /// The members.
        #[serde(rename = "items")]
        items: Vec<AddressListImportItem>,
    }
    /// A member.
    AddressListImportItem {
        /// An address, or a pattern with a star.
        #[serde(rename = "address")]
        address: String,
    }
    /// An archive.
    Archive {
        /// Its name.
        archive_name: String,
        ;
        /// How long messages are kept; 180 days unless said.
        retention: ArchiveRetention,
        /// Its id.
        archive_id: String,
        /// Its ARN.
        archive_arn: String,
        /// Whether it is used.
        archive_state: ArchiveState,
        /// The key that it is encrypted with.
        kms_key_arn: String,
        /// Names the request.
        client_token: Ignored,
        /// Labels.
        tags: Vec<Tag>,
        /// When it was made.
        created_timestamp: Ignored,
        /// When it was changed.
        last_updated_timestamp: Ignored,
    }
    /// An add-on in use; conditions name its ARN.
    AddonInstance {
        ;
        /// What was subscribed to.
        addon_name: String,
        /// Its ARN.
        addon_instance_arn: String,
        /// Its id.
        addon_instance_id: String,
        /// The subscription.
        addon_subscription_id: String,
        /// Names the request.
        client_token: Ignored,
        /// Labels.
        tags: Vec<Tag>,
        /// When it was made.
        created_timestamp: Ignored,
    }
}

unions! {
    /// How to log in at a relay.
    RelayAuthentication {
        /// ARN of a secret with the keys `username` and `password`.
        SecretArn(String),
        /// Not at all.
        NoAuthentication(NoAuthentication),
    }
    /// Who may log in, or whose certificates are believed, as it is set.
    IngressPointConfiguration {
        /// The password itself.
        SmtpPassword(String),
        /// ARN of a secret with the key `password`.
        SecretArn(String),
        /// Whose certificates are believed.
        TlsAuthConfiguration(TlsAuthConfiguration),
    }
    /// Where an ingress point can be reached from.
    NetworkConfiguration {
        /// The internet.
        PublicNetworkConfiguration(PublicNetworkConfiguration),
        /// A VPC.
        PrivateNetworkConfiguration(PrivateNetworkConfiguration),
    }
    /// How long an archive keeps messages.
    ArchiveRetention {
        /// So long.
        RetentionPeriod(RetentionPeriod),
    }
}

words! {
    /// Who may use an ingress point.
    IngressPointType {
        /// Everybody.
        Open = "OPEN",
        /// Who logs in.
        Auth = "AUTH",
        /// Who shows a certificate.
        Mtls = "MTLS",
    }
    /// Whether an ingress point serves.
    IngressPointStatus {
        /// It is being made.
        Provisioning = "PROVISIONING",
        /// It is being taken away.
        Deprovisioning = "DEPROVISIONING",
        /// It is being changed.
        Updating = "UPDATING",
        /// It serves.
        Active = "ACTIVE",
        /// It does not.
        Closed = "CLOSED",
        /// It could not be made.
        Failed = "FAILED",
        /// Its VPC endpoint is gone.
        AssociatedVpcEndpointDoesNotExist = "ASSOCIATED_VPC_ENDPOINT_DOES_NOT_EXIST",
    }
    /// Whether clients must use TLS.
    TlsPolicy {
        /// They must.
        Required = "REQUIRED",
        /// They may.
        Optional = "OPTIONAL",
        /// They must, by FIPS.
        Fips = "FIPS",
    }
    /// Families of addresses.
    IpType {
        /// IPv4.
        Ipv4 = "IPV4",
        /// Both.
        DualStack = "DUAL_STACK",
    }
    /// Whether an archive is used.
    ArchiveState {
        /// It is.
        Active = "ACTIVE",
        /// It will be gone.
        PendingDeletion = "PENDING_DELETION",
    }
    /// How long an archive keeps messages.
    RetentionPeriod {
        /// 3 months.
        ThreeMonths = "THREE_MONTHS",
        /// 6 months.
        SixMonths = "SIX_MONTHS",
        /// 9 months.
        NineMonths = "NINE_MONTHS",
        /// 1 year.
        OneYear = "ONE_YEAR",
        /// 18 months.
        EighteenMonths = "EIGHTEEN_MONTHS",
        /// 2 years.
        TwoYears = "TWO_YEARS",
        /// 30 months.
        ThirtyMonths = "THIRTY_MONTHS",
        /// 3 years.
        ThreeYears = "THREE_YEARS",
        /// 4 years.
        FourYears = "FOUR_YEARS",
        /// 5 years.
        FiveYears = "FIVE_YEARS",
        /// 6 years.
        SixYears = "SIX_YEARS",
        /// 7 years.
        SevenYears = "SEVEN_YEARS",
        /// 8 years.
        EightYears = "EIGHT_YEARS",
        /// 9 years.
        NineYears = "NINE_YEARS",
        /// 10 years.
        TenYears = "TEN_YEARS",
        /// For good.
        Permanent = "PERMANENT",
    }
}
