//! Who is asked about clients and messages: the section `analyzers` of `gateway.yaml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::limits::ANALYZER_CONNECTIONS_MAX;

/// An analyzer, asked by conditions `analysis: { analyzer: NAME, field: FIELD, … }`. Which keys it takes is its type's affair:
/// `dnsbl`: `of`, `zone` with `codes`, `weight` and `weights`, or `zones`; `rspamd`: `url`, `ca`, `max_message_size`, `connections`;
/// `clamav`: `address`, `max_message_size`, `connections`; `http`: `url`, `fields`, `send`, `ca`, `max_message_size`, `connections`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Analyzer {
    /// Its kind.
    pub(crate) r#type: AnalyzerType,
    /// A DNS list: the domain under which it answers.
    pub(crate) zone: Option<ListZone>,
    /// Several DNS lists, asked at the same time, instead of `zone`.
    #[schemars(length(min = 1))]
    pub(crate) zones: Option<Vec<ListedZone>>,
    /// What is looked up in DNS lists; `client_ip` unless said.
    pub(crate) of: Option<Identity>,
    /// Names for answers of the list: `{ 127.0.0.2: sbl, 127.0.0.4/30: xbl }`; other answers do not count. Absent: every answer in
    /// 127.0.0.0/8 counts, but for errors.
    pub(crate) codes: Option<ListCodes>,
    /// What each name that a client is listed under adds to `score`; 1 unless said.
    #[schemars(range(min = -1000, max = 1000))]
    pub(crate) weight: Option<f64>,
    /// By name of `codes`, where it is another than `weight`.
    pub(crate) weights: Option<BTreeMap<String, f64>>,
    /// Where Rspamd (without `/checkv2`) or the hook answers.
    pub(crate) url: Option<HttpUrl>,
    /// PEM file with the CAs to believe instead of the system's.
    pub(crate) ca: Option<FilePath>,
    /// Where clamd answers.
    pub(crate) address: Option<ServiceAddress>,
    /// What the hook is told; `facts` unless said.
    pub(crate) send: Option<HookSends>,
    /// What the hook answers: fields and their types.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) fields: Option<BTreeMap<String, FieldType>>,
    /// A larger message is not asked about, which is the same as no answer; `50MiB` for Rspamd, `100MiB` for clamd, `25MiB` for a hook
    /// that gets the message.
    pub(crate) max_message_size: Option<Size>,
    /// Questions at a time; a further one waits within its `timeout`.
    #[schemars(range(min = 1, max = ANALYZER_CONNECTIONS_MAX))]
    pub(crate) connections: Option<u32>,
    /// Within which there is an answer or there is none: at most `2m`; `5s` for DNS lists and hooks, `10s` for Rspamd, `30s` for clamd.
    pub(crate) timeout: Option<TimeSpan>,
}

/// Kind of an analyzer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnalyzerType {
    /// DNS lists (RFC 5782).
    Dnsbl,
    /// Rspamd, by its HTTP interface.
    Rspamd,
    /// ClamAV's clamd.
    Clamav,
    /// A service of your own that speaks JSON.
    Http,
}

/// One of several DNS lists.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListedZone {
    /// The domain under which it answers.
    pub(crate) zone: ListZone,
    /// Names for its answers.
    pub(crate) codes: Option<ListCodes>,
    /// What each name that a client is listed under adds to `score`; 1 unless said.
    #[schemars(range(min = -1000, max = 1000))]
    pub(crate) weight: Option<f64>,
    /// By name of `codes`, where it is another than `weight`.
    pub(crate) weights: Option<BTreeMap<String, f64>>,
}

/// What is looked up in DNS lists.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Identity {
    /// The client's address.
    ClientIp,
    /// The domain of MAIL FROM.
    MailFrom,
    /// The name in HELO or EHLO.
    Helo,
}

/// What a hook is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HookSends {
    /// Session and envelope; such a hook can be asked by a policy too.
    Facts,
    /// The header fields as well.
    Headers,
    /// The whole message as well.
    Message,
}

/// Type of a field that a hook answers.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldType {
    /// A text or several.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `pass`, `fail`, `gray` or `processing_failed`.
    Verdict,
}
