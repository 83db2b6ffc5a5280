//! From the final dot to the next hop, and what is reported of it.

use std::time::Duration;

// ---- delivery ----

/// Time that an inline delivery may take while the client waits; its own timer after the final dot is 10 minutes (RFC 5321 §4.5.3.2.6).
pub const INLINE_BUDGET: Duration = Duration::from_secs(240);
/// TCP connect to a next hop (Postfix: 30 s).
pub const RELAY_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Greeting, EHLO, MAIL, RCPT: 5 minutes (RFC 5321 §4.5.3.2.1 to .3).
pub const RELAY_COMMAND_TIMEOUT: Duration = Duration::from_secs(300);
/// Reply to DATA (RFC 5321 §4.5.3.2.4).
pub const RELAY_DATA_TIMEOUT: Duration = Duration::from_secs(120);
/// One write of message content (RFC 5321 §4.5.3.2.5).
pub const RELAY_BLOCK_TIMEOUT: Duration = Duration::from_secs(180);
/// Reply to the final dot (RFC 5321 §4.5.3.2.6).
pub const RELAY_FINAL_DOT_TIMEOUT: Duration = Duration::from_secs(600);
/// QUIT is a courtesy; nobody waits long for its reply.
pub const RELAY_QUIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest reply of a next hop, all its lines together.
pub const RELAY_REPLY_BYTES_MAX: usize = 64 * 1024;
/// Text of a next hop's reply that is kept, in the log, in the spool and for the sender; the rest is left out.
/// Source: of a message for 1,000 recipients each keeps up to two replies, and all of it is one entry of the spool.
pub const RELAY_REPLY_CHARS_MAX: usize = 1000;
/// Commands sent to a next hop before their replies are read; fits every socket's send buffer (RFC 2920 §3.1).
pub const RELAY_PIPELINE_BYTES_MAX: usize = 8 * 1024;
/// Addresses of one host that are tried in one attempt (RFC 5321 §5.1 asks for at least two).
pub const RELAY_ADDRESSES_MAX: usize = 8;
/// Resolving a next hop's name; the system's resolver has its own, longer retries.
pub const RELAY_RESOLVE_TIMEOUT: Duration = Duration::from_secs(30);
/// Credentials tried in one attempt: the cached one, a fresher one, the one before. Servers lock accounts after some refusals.
pub const RELAY_CREDENTIALS_MAX: u32 = 3;
/// Transactions for one group of recipients while the next hop answers 452 4.5.3 to some of them.
pub const RELAY_SPLITS_MAX: usize = 100;
/// Content handed to one write.
pub const RELAY_WRITE_BYTES: usize = 256 * 1024;
/// Slices handed to one write; below IOV_MAX (1024 on Linux).
pub const RELAY_WRITE_SLICES: usize = 64;
/// Default concurrent connections to one relay.
pub const RELAY_CONNECTIONS_DEFAULT: u32 = 20;
/// Recipients in one transaction with a next hop. Google publishes none, Exchange Online takes 200; 100 is safe (RFC 5321 §4.5.3.1.8).
pub const RELAY_RECIPIENTS_DEFAULT: usize = 100;
/// One step of a look at a relay (`gateway doctor`): a reply, a handshake. Shorter than a delivery waits, for somebody watches.
pub const RELAY_EXAMINE_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections at a time to smtp.office365.com with one mailbox.
/// Source: guides to SMTP AUTH client submission agree; Exchange Online answers 432 4.3.2 to more.
pub const SUBMISSION_CONNECTIONS: u32 = 3;
/// Messages a minute to smtp.office365.com with one mailbox.
/// Source: Microsoft's description of SMTP AUTH client submission.
pub const SUBMISSION_MESSAGES_PER_MINUTE: u32 = 30;
/// Recipients a day to smtp.office365.com with one mailbox.
/// Source: Microsoft's description of SMTP AUTH client submission.
pub const SUBMISSION_RECIPIENTS_PER_DAY: u32 = 10_000;
/// Recipients in one transaction with Amazon SES.
/// Source: the quotas of SES.
pub const SES_RECIPIENTS_MAX: usize = 50;
/// A message to Amazon SES, its attachments in base64.
/// Source: the quotas of SES (40 MB).
pub const SES_MESSAGE_BYTES_MAX: u64 = 40 << 20;
/// A message to Google Workspace.
/// Source: Google's limit for messages that are received (50 MB).
pub const GOOGLE_MESSAGE_BYTES_MAX: u64 = 50 << 20;
/// A pooled connection is not used again after this age; Microsoft closes at 20 minutes.
pub const RELAY_CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
/// Messages on one connection to a next hop.
pub const RELAY_CONNECTION_MESSAGES_MAX: u32 = 100;
/// Idle time after which a pooled connection is closed.
pub const RELAY_CONNECTION_IDLE_MAX: Duration = Duration::from_secs(30);
/// An address of a relay that could not be used is tried last for this long, and for twice as long each further time.
pub const RELAY_HOST_PENALTY: Duration = Duration::from_secs(30);
/// Longest time for which an address that could not be used is tried last.
/// Source: a next hop that is back is noticed within this time even when another one does well.
pub const RELAY_HOST_PENALTY_MAX: Duration = Duration::from_secs(600);
/// Addresses of one relay that are remembered as not usable.
/// Source: 16 hosts with as many addresses as are tried are 128; exchangers of a domain change.
pub const RELAY_HEALTH_PLACES_MAX: usize = 1024;
/// Time from the connection attempt to one address of a host to that to the next, of the other family.
/// Source: RFC 8305 §5 recommends 250 ms.
pub const RELAY_RACE_STAGGER: Duration = Duration::from_millis(250);
/// How long the mail of a held relay waits for its operator, however old it is.
/// Source: long weekends; senders learn of the delay after four hours.
pub const RELAY_HOLD_TIME: Duration = Duration::from_secs(72 * 3600);
/// Wait before a held relay is probed with one message, the first time; it doubles up to `RELAY_PROBE_LONGEST`.
/// Source: an operator who has mended it does not want to wait.
pub const RELAY_PROBE_FIRST: Duration = Duration::from_secs(60);
/// Longest wait between two probes.
/// Source: 96 refused connections a day are none that anybody bars a client for.
pub const RELAY_PROBE_LONGEST: Duration = Duration::from_secs(15 * 60);
/// A relay's connections are halved at most once in this time: replies to what was under way are one sign, not many.
pub const RELAY_HALVING_INTERVAL: Duration = Duration::from_secs(5);
/// After a halving one connection more is used each time so much has passed without another.
pub const RELAY_GROWTH_INTERVAL: Duration = Duration::from_secs(60);
/// Or after so many messages were taken.
pub const RELAY_GROWTH_MESSAGES: u32 = 20;
/// First pause of a next hop that finds even one connection too much; it doubles.
pub const RELAY_PAUSE_FIRST: Duration = Duration::from_secs(2);
/// Longest such pause, unless the next hop asks for more.
pub const RELAY_PAUSE_LONGEST: Duration = Duration::from_secs(60);
/// Longest pause that a next hop may ask for.
/// Source: what is longer is said again by the next reply.
pub const RELAY_PAUSE_ASKED_MAX: Duration = Duration::from_secs(3600);
/// A relay that is slowed down for so long is told of in the log.
pub const RELAY_SLOW_ALARM: Duration = Duration::from_secs(3600);
/// The same warning about a relay is not repeated within this time.
pub const RELAY_ALARM_INTERVAL: Duration = Duration::from_secs(3600);
/// Grain of `messages_per_minute`: what was sent counts for a minute and at most so much longer.
pub const RELAY_MINUTE_SLOT: Duration = Duration::from_millis(250);
/// Grain of `recipients_per_day`: who was sent to counts for 24 hours and at most so much longer.
pub const RELAY_DAY_SLOT: Duration = Duration::from_secs(15 * 60);
/// How long an accepted recipient shows that the domain is one of the next hop's.
pub const RELAY_DOMAIN_KNOWN_TIME: Duration = Duration::from_secs(3600);
/// Domains that are remembered so for one relay; the oldest make room.
/// Source: 100 KB a relay.
pub const RELAY_DOMAINS_KNOWN_MAX: usize = 1000;
/// Notifications under way to one domain of the internet; others wait for their next attempt, so that a dead domain holds up no other.
/// Source: a quarter of `RELAY_CONNECTIONS_DEFAULT`.
pub const INTERNET_DOMAIN_PLACES: u32 = 5;
/// A domain of the internet that could not be reached is left alone for so long, the first time; it doubles.
pub const INTERNET_DEAD_FIRST: Duration = Duration::from_secs(60);
/// Longest such time.
pub const INTERNET_DEAD_LONGEST: Duration = Duration::from_secs(3600);
/// Domains of the internet that are remembered as dead; the one that is free first makes room.
pub const INTERNET_DEAD_MAX: usize = 1000;
/// How long an inline delivery waits for a place among its relay's connections; then the message goes to the spool. What waits is in
/// memory, which mail for other relays needs, too.
pub const INLINE_PLACE_WAIT: Duration = Duration::from_secs(2);
/// Characters of a next hop's words that are kept with a hold.
pub const RELAY_HOLD_CHARS_MAX: usize = 1000;
/// Mail exchangers of one domain that are tried (RFC 5321 §5.1 asks for at least two).
pub const MX_HOSTS_MAX: usize = 5;
/// Retry schedule: first wait.
pub const RETRY_FIRST: Duration = Duration::from_secs(60);
/// Retry schedule: growth from one wait to the next.
pub const RETRY_FACTOR: f64 = 2.0;
/// Retry schedule: longest wait.
pub const RETRY_LONGEST: Duration = Duration::from_secs(3600);
/// Retry schedule: age at which the message is bounced. RFC 5321 §4.5.4.1 asks for 4 to 5 days.
pub const RETRY_GIVE_UP: Duration = Duration::from_secs(4 * 24 * 3600);
/// One attempt out of the spool, all hosts and transactions of it; above the sum of RFC 5321's timers for one transaction.
pub const QUEUE_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Pause before the spool is asked again after it failed.
pub const SPOOL_ERROR_PAUSE: Duration = Duration::from_secs(5);
/// Delay notice to the sender (sendmail and Exim warn after 4 hours and 24 hours).
pub const DELAY_NOTICE_AFTER: Duration = Duration::from_secs(4 * 3600);
/// Header bytes of the original returned in a DSN.
pub const DSN_HEADER_BYTES_MAX: usize = 64 * 1024;
/// Characters of a next hop's reply repeated in a DSN; a line must stay under 998 octets (RFC 5322 §2.1.1).
pub const DSN_REPLY_CHARS_MAX: usize = 500;
/// Longest ENVID of a transaction, as given (RFC 3461 §5.4).
pub const DSN_ENVID_BYTES_MAX: usize = 100;
/// Longest ORCPT of a recipient, as given (RFC 3461 §5.4).
pub const DSN_ORCPT_BYTES_MAX: usize = 500;
/// Largest message that a DSN returns whole for RET=FULL; of a larger one it returns the header (RFC 3461 §6.2; Postfix:
/// bounce_size_limit 50000).
pub const DSN_MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// DSNs created in one minute; more are recorded as suppressed.
pub const DSN_PER_MINUTE_MAX: u32 = 600;
/// DSNs that one sender gets in an hour about mail from strangers, who may have forged his name; more are recorded as suppressed.
pub const DSN_PER_SENDER_MAX: u32 = 20;
/// That hour.
pub const DSN_SENDER_WINDOW: Duration = Duration::from_secs(3600);
/// A failure waits so long for other attempts of its message that are under way, so that one DSN tells of all.
pub const DSN_GATHER_TIME: Duration = Duration::from_secs(10);
/// When so many were created in the minute, none tells of a delivery (`NOTIFY=SUCCESS`) any more: a stranger who asks for that
/// with all his mail must not keep others from hearing of their failures.
pub const DSN_RELAYED_PER_MINUTE_MAX: u32 = 300;

/// Configurations of TLS with a client certificate that a relay keeps: one for each kind of trust.
pub const CLIENT_CERTIFICATE_CONFIGS_MAX: usize = 8;
/// Servers whose sessions are resumed with one of them.
pub const CLIENT_CERTIFICATE_SESSIONS_MAX: usize = 32;

// ---- access tokens and Microsoft Graph ----

/// Connections to a token endpoint that are kept.
pub const TOKEN_CONNECTIONS_MAX: u32 = 4;
/// One question to a token endpoint.
/// Source: Microsoft Entra answers within a second; its own libraries wait 30 s.
pub const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// The body of its answer.
pub const TOKEN_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A token: with the user's name it fits an AUTH command in base64 (RFC 4954 §4: 12288 octets). Those of Microsoft have about 2 KB.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// A new token is asked for so long before the end of the old one; half of its life before, if that is less.
/// Source: relays refuse tokens that end within minutes; Microsoft's libraries take 5 minutes.
pub const TOKEN_RENEWAL: Duration = Duration::from_secs(300);
/// Longest life of a token, whatever `expires_in` says.
/// Source: Microsoft's live for an hour, and for a day with continuous access evaluation.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Life of a token of which nothing is said (RFC 6749 §5.1 asks for it).
pub const TOKEN_LIFE_DEFAULT: Duration = Duration::from_secs(600);
/// Longest `Retry-After` of a token endpoint that is believed.
pub const TOKEN_WAIT_MAX: Duration = Duration::from_secs(600);
/// Characters of a token endpoint's or Graph's reason.
pub const TOKEN_REASON_CHARS_MAX: usize = 300;
/// Life of an assertion (RFC 7523 §3); Microsoft asks for 5 to 10 minutes.
pub const ASSERTION_LIFE: Duration = Duration::from_secs(300);
/// Requests to Graph at a time unless `limits` says another; Exchange Online allows an application 4 for each mailbox.
pub const GRAPH_CONNECTIONS_DEFAULT: u32 = 4;
/// Octets of a message for Graph.
/// Source: requests of about 4 MB are promised and 2,240 kB of MIME are seen to work; larger ones get a misleading 200.
pub const GRAPH_MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// One request to Graph, the upload included.
pub const GRAPH_TIMEOUT: Duration = Duration::from_secs(120);
/// The body of an answer of Graph.
pub const GRAPH_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Wait after 429 or 503 without a word how long.
/// Source: Graph's limits are counted over 10 minutes; its libraries wait 3 s, then longer.
pub const GRAPH_WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// Longest `Retry-After` of Graph that is believed.
pub const GRAPH_WAIT_MAX: Duration = Duration::from_secs(600);

// ---- spool ----

/// Content above this is a file of its own; below it lives in the segment (measured: the break-even of a second sync is near it).
pub const SPOOL_INLINE_BYTES_MAX: usize = 128 * 1024;
/// A segment is closed at this size.
pub const SPOOL_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Free space of the spool's file system below which mail is refused with 452 4.3.1.
/// Source: Postfix queue_minfree asks for 1.5 times the largest message; four of 40 MiB and their records fit here.
/// Metric: spool_free
pub const SPOOL_FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// Requests that wait for the next group; above it callers wait for a place.
pub const SPOOL_QUEUE_MAX: usize = 1024;
/// A group is written when it has this size, whatever still waits: it bounds the time to the first answer.
pub const SPOOL_GROUP_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A record (envelope, states and content of an entry) above this is refused.
pub const SPOOL_RECORD_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// A job's state above this is read back from disk instead of being kept in memory.
pub const SPOOL_STATE_MEMORY_BYTES_MAX: usize = 256;
/// A job that is due later than this after a start is due at once: the clock was wrong when it was put off.
/// Source: no schedule and no limit of a day waits longer than a day.
pub const SPOOL_DUE_AHEAD_MAX: Duration = Duration::from_secs(25 * 3600);
/// Jobs that are listed in one step, while nothing else can look into the spool's index.
/// Source: well below a millisecond.
pub const SPOOL_LIST_STEP: usize = 256;
/// Values that belong to no message and are kept across restarts (counts of limits, holds); they are all in memory.
/// Source: a few for each relay.
pub const SPOOL_KEYS_MAX: usize = 4096;
/// A key of such a value.
pub const SPOOL_KEY_BYTES_MAX: usize = 512;
/// Such a value.
pub const SPOOL_VALUE_BYTES_MAX: usize = 16 * 1024;
/// Live bytes copied out of the oldest segment with one group, unless the group itself is larger.
pub const SPOOL_COPY_BYTES_PER_GROUP: u64 = 1024 * 1024;
/// The oldest segment is emptied by copying when less than this share of it is live.
pub const SPOOL_LIVE_PERCENT_MIN: u64 = 25;

// ---- daily reports: DMARC, TLS ----

/// A DMARC record that is remembered for a report; of a longer one nothing is reported.
/// Source: records have some 200 octets; 512 are what fits into DNS over UDP.
pub const DMARC_RECORD_BYTES_MAX: usize = 2048;
/// Rows of one kind of daily reports in memory until they are written down; about 10 MB. Further ones are not counted, which is logged.
pub const DAILY_REPORT_ROWS_PENDING_MAX: usize = 10_000;
/// How long a row stays in memory alone, and how often the gateway looks what reports are due.
pub const DAILY_REPORT_FLUSH_INTERVAL: Duration = Duration::from_secs(30);
/// How long the end of the process waits for a report that is being sent.
/// Source: well below the 90 s that systemd gives a service to stop.
pub const DAILY_REPORT_STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The file of a day's rows.
/// Source: about 60,000 rows.
pub const DAILY_REPORT_DAY_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// A row in that file.
pub const DAILY_REPORT_LINE_BYTES_MAX: usize = 32 * 1024;
/// Rows of one domain in a day and in a report, so that no domain takes the room of all.
pub const DAILY_REPORT_ROWS_PER_DOMAIN_MAX: usize = 10_000;
/// DKIM signatures of a message that a row has.
/// Source: as many as are verified at most; those that pass and align come first.
pub const DMARC_REPORT_SIGNATURES_MAX: usize = 10;
/// Domains that get a report about one day.
pub const DAILY_REPORTS_PER_DAY_MAX: usize = 10_000;
/// Addresses of one record that get a report.
/// Source: RFC 7489 §6.2 asks for two at least.
pub const DAILY_REPORT_DESTINATIONS_MAX: usize = 4;
/// A report as a message, if the destination sets no smaller limit.
/// Source: most receivers take 10 MB.
pub const DAILY_REPORT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Labels of a domain whose ancestors are asked whether a destination is of the same organization.
/// Source: RFC 9989 §4.10 walks at most 8 names.
pub const DMARC_REPORT_LEVELS_MAX: usize = 8;
/// One question about a destination.
pub const DAILY_REPORT_DNS_TIMEOUT: Duration = Duration::from_secs(10);
/// Reports leave in slots of this length after midnight UTC.
pub const DAILY_REPORT_SPREAD_SLOT: Duration = Duration::from_secs(15 * 60);
/// Number of these slots: four hours.
pub const DAILY_REPORT_SPREAD_SLOTS: u64 = 16;
/// Wait before a report that could not be sent is tried again.
pub const DAILY_REPORT_RETRY_INTERVAL: Duration = Duration::from_secs(3600);
/// Days after which figures that could not be sent are thrown away.
/// Source: reports are daily; what is older helps nobody.
pub const DAILY_REPORT_DAYS_KEPT: u64 = 3;

// ---- reports about TLS (RFC 8460) ----

/// Text of one policy in a report; of a longer one only the kind is told.
/// Source: policies of MTA-STS have a few hundred octets, those of DANE about 70 a record; the row must fit its line in the file.
pub const TLS_REPORT_POLICY_BYTES_MAX: usize = 4096;
/// Posting one report.
pub const TLS_REPORT_POST_TIMEOUT: Duration = Duration::from_secs(60);
/// The answer to a report, of which the status alone counts.
pub const TLS_REPORT_RESPONSE_BYTES_MAX: usize = 64 * 1024;

// ---- policies about TLS (RFC 7672, RFC 8461) ----

/// Questions of DNS to find out what one exchanger's TLSA records ask for: addresses of two families, records at two names.
pub const DANE_QUESTIONS_MAX: u32 = 4;
/// Certificates of a chain that are looked at for an authority of TLSA records.
/// Source: chains of public authorities have three or four.
pub const DANE_CHAIN_MAX: usize = 16;
/// Largest MTA-STS policy (RFC 8461 §3.2 suggests 64 kilobytes).
pub const STS_POLICY_BYTES_MAX: usize = 64 * 1024;
/// Fetching one MTA-STS policy.
/// Source: RFC 8461 §3.3 suggests one minute; an inline delivery has four for everything.
pub const STS_FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Time until a policy that could not be fetched is tried again (RFC 8461 §3.3: five minutes).
pub const STS_RETRY: Duration = Duration::from_secs(300);
/// Age at which a policy is fetched again though it still holds, unless half of its own time is less (RFC 8461 §10.2: daily).
pub const STS_REFRESH: Duration = Duration::from_secs(24 * 3600);
/// Longest time that a policy can hold (RFC 8461 §3.2: about a year).
pub const STS_AGE_MAX: Duration = Duration::from_secs(31_557_600);
/// Shortest time that a policy holds, whatever it says.
/// Source: one that holds for no time would be fetched for each message.
pub const STS_AGE_MIN: Duration = Duration::from_secs(60);
/// Domains whose policies are remembered; there are as many as relays with `tls: mta_sts`.
pub const STS_POLICIES_MAX: usize = 1000;
