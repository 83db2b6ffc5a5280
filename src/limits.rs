//! Every limit and default of the gateway: one place, unit in the name, source beside it.
//!
//! A limit that an operator can change is a default here and a key in `gateway.yaml`; the others are fixed.

use std::time::Duration;

// ---- SMTP session (RFC 5321 §4.5.3) ----

/// Longest command line accepted, CRLF included. RFC 5321 §4.5.3.1.4 asks for 512 plus what extensions add; Postfix takes 2048.
pub const COMMAND_LINE_BYTES_MAX: usize = 2048;
/// Local part of an address, quoting included (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_BYTES_MAX: usize = 64;
/// Domain of an address, and the argument of HELO or EHLO (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;
/// One label of a domain (RFC 1035 §2.3.4).
pub const DOMAIN_LABEL_BYTES_MAX: usize = 63;
/// Memory reserved for a message on the word of its declared SIZE alone; above it, memory grows with what has really come.
pub const MESSAGE_RESERVE_BYTES_MAX: usize = 256 * 1024;
/// Reply buffer that a session keeps from one exchange to the next; a larger one is given back.
pub const SESSION_OUTPUT_BYTES_KEPT: usize = 1024;
/// Recipients of one transaction. RFC 5321 §4.5.3.1.8 asks for at least 100; Postfix and mox take 1000.
pub const RECIPIENTS_MAX: usize = 1000;
/// Commands that were refused or not understood before the session is closed with 421 (Postfix: smtpd_hard_error_limit 20).
pub const ERRORS_MAX: u32 = 20;
/// Transactions in one session; a sender with more opens another connection.
pub const MESSAGES_PER_SESSION_MAX: u32 = 1000;
/// Commands of one session that carry no mail (NOOP, RSET, VRFY, HELP) before 421 (Postfix: smtpd_junk_command_limit 100).
pub const JUNK_COMMANDS_MAX: u32 = 100;
/// Idle time before 421. RFC 5321 §4.5.3.2.7 asks for 5 minutes.
pub const SESSION_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// A session that lasts longer than this is closed at the next command boundary.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(3600);
/// TLS handshake with a client.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Closing a connection in an orderly way; a client that neither reads its last replies nor closes gets no more time.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest message when a policy sets none. Google takes 50 MB, Mail Manager 40 MB.
pub const MESSAGE_BYTES_DEFAULT: u64 = 40 * 1024 * 1024;
/// Received fields before a message counts as looping (RFC 5321 §6.3 asks for at least 100 or so; mail in practice stays under 30).
pub const HOPS_MAX: usize = 50;
/// Size of the header block. Postfix truncates at 102400; Exchange Online refuses above 256 KB.
pub const HEADER_BYTES_MAX: usize = 1024 * 1024;
/// Header fields of one message.
pub const HEADER_FIELDS_MAX: usize = 10_000;
/// MIME parts that attachment conditions look at.
pub const MIME_PARTS_MAX: usize = 1_000;
/// Nesting of multiparts and of forwarded messages that attachment conditions look into (Postfix: mime_nesting_limit 100;
/// mail in practice stays under 10).
pub const MIME_DEPTH_MAX: usize = 30;
/// What is read of a Content-Type or Content-Disposition field; file names end far below it (RFC 2231 readers take quadratic time).
pub const MIME_FIELD_BYTES_MAX: usize = 8 * 1024;
/// Headers of all MIME parts of one message; parts behind are not looked at.
pub const MIME_HEADERS_BYTES_MAX: usize = 1024 * 1024;
/// What a Received field repeats of a HELO argument that is no domain and no address literal.
pub const TRACE_HELO_CHARS_MAX: usize = 64;

// ---- connections and memory ----

/// Connections of all endpoints together; the next one gets 421.
pub const CONNECTIONS_MAX: usize = 12_000;
/// Connections of one address (IPv6: one /64); the next one gets 421. Postfix: 50.
pub const CONNECTIONS_PER_CLIENT_MAX: usize = 100;
/// Listen backlog; a short one loses SYNs under load.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Pause after a connection could not be accepted (out of file descriptors).
pub const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of messages held in memory over all sessions; above it DATA gets 452.
pub const MESSAGE_MEMORY_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// What a session reads at a time.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;

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
/// A pooled connection is not used again after this age; Microsoft closes at 20 minutes.
pub const RELAY_CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
/// Messages on one connection to a next hop.
pub const RELAY_CONNECTION_MESSAGES_MAX: u32 = 100;
/// Idle time after which a pooled connection is closed.
pub const RELAY_CONNECTION_IDLE_MAX: Duration = Duration::from_secs(30);
/// A host of a relay that could not be reached is tried last for this long.
pub const RELAY_HOST_PENALTY: Duration = Duration::from_secs(30);
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
/// DSNs created in one minute; more are recorded as suppressed.
pub const DSN_PER_MINUTE_MAX: u32 = 600;

// ---- spool ----

/// Content above this is a file of its own; below it lives in the segment (measured: the break-even of a second sync is near it).
pub const SPOOL_INLINE_BYTES_MAX: usize = 128 * 1024;
/// A segment is closed at this size.
pub const SPOOL_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Free space of the spool's file system below which mail is refused with 452.
pub const SPOOL_FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// Requests that wait for the next group; above it callers wait for a place.
pub const SPOOL_QUEUE_MAX: usize = 1024;
/// A group is written when it has this size, whatever still waits: it bounds the time to the first answer.
pub const SPOOL_GROUP_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A record (envelope, states and content of an entry) above this is refused.
pub const SPOOL_RECORD_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// A job's state above this is read back from disk instead of being kept in memory.
pub const SPOOL_STATE_MEMORY_BYTES_MAX: usize = 256;
/// Live bytes copied out of the oldest segment with one group, unless the group itself is larger.
pub const SPOOL_COPY_BYTES_PER_GROUP: u64 = 1024 * 1024;
/// The oldest segment is emptied by copying when less than this share of it is live.
pub const SPOOL_LIVE_PERCENT_MIN: u64 = 25;

// ---- secrets and identities ----

/// Time that a secret is served from the cache without asking again.
pub const SECRET_TTL: Duration = Duration::from_secs(300);
/// Time that a cached secret is served while its source cannot be reached.
pub const SECRET_STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// A listing of SES identities is believed for an hour where it has a verified domain (the API allows about one call a second).
pub const SES_IDENTITY_TTL: Duration = Duration::from_secs(3600);
/// It is believed for five minutes where it has not: the domain may have been verified since.
pub const SES_IDENTITY_NEGATIVE_TTL: Duration = Duration::from_secs(300);
/// One call to AWS, retries of the SDK included.
pub const AWS_CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// TCP and TLS to AWS, the SDK's own default.
pub const AWS_CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);
/// Characters of an AWS error that go into ours.
pub const AWS_ERROR_CHARACTERS_MAX: usize = 500;
/// Wait after the first failure of a source that a cache stands before; doubled with each more, as AWS's own secret caches do.
pub const SOURCE_BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest such wait.
pub const SOURCE_BACKOFF_LONGEST: Duration = Duration::from_secs(128);
/// Octets of a secret in a file or a variable: what Secrets Manager takes.
pub const SECRET_BYTES_MAX: usize = 65_536;
/// Time between two refreshes of a secret that refusals ask for. A wrong password must not become a storm of logins or calls.
pub const SECRET_REFUSAL_INTERVAL: Duration = Duration::from_secs(10);
/// Answers of SES are believed for so long while it cannot be reached.
pub const SES_IDENTITY_STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Identities in one page of a listing: the API's most.
pub const SES_PAGE_IDENTITIES: i32 = 1000;
/// Pages of a listing; SES allows 10,000 identities in a region.
pub const SES_PAGES_MAX: usize = 20;

// ---- certificates by ACME ----

/// Names of one certificate; Let's Encrypt takes 100.
pub const ACME_NAMES_MAX: usize = 100;
/// One request to the directory, connecting and answer included.
pub const ACME_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// One answer of the directory; a chain takes a few KiB.
pub const ACME_RESPONSE_BYTES_MAX: usize = 256 * 1024;
/// One order from the account to the certificate, the authority's validation included.
pub const ACME_ORDER_TIMEOUT: Duration = Duration::from_secs(300);
/// Wait before the authority is asked whether it has validated or issued; half as much longer with each time.
pub const ACME_POLL_FIRST: Duration = Duration::from_millis(500);
/// Share of a certificate's lifetime that is left when it is renewed; Let's Encrypt recommends a third.
pub const ACME_RENEW_LEFT: f64 = 1.0 / 3.0;
/// Share of the lifetime by which a renewal may come earlier, by chance, so that not all gateways come at once.
pub const ACME_RENEW_SPREAD: f64 = 1.0 / 30.0;
/// How often the clock is looked at for a renewal: a machine that slept, or whose clock was set, is noticed within this time.
pub const ACME_CLOCK_LOOK: Duration = Duration::from_secs(3600);
/// Wait after a failed order.
pub const ACME_RETRY_FIRST: Duration = Duration::from_secs(60);
/// Growth from one such wait to the next: with it, five orders fail in an hour, which is what Let's Encrypt bears for one name.
pub const ACME_RETRY_FACTOR: f64 = 3.0;
/// Longest such wait.
pub const ACME_RETRY_LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Longest wait that is taken from an authority's `Retry-After`; Let's Encrypt's rate limits refill within a week.
pub const ACME_RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Characters of what an authority says of a failure that go into a log line.
pub const ACME_PROBLEM_CHARS_MAX: usize = 500;
/// One file of the storage: a key and its chain, or the account.
pub const ACME_FILE_BYTES_MAX: usize = 256 * 1024;
/// Connections to the challenge responder at a time; a further one is closed at once.
pub const ACME_CONNECTIONS_MAX: usize = 64;
/// One connection to the challenge responder, from its acceptance to its end; an authority asks once on each.
pub const ACME_CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Head of a request to the challenge responder.
pub const ACME_REQUEST_BYTES_MAX: usize = 8 * 1024;

// ---- configuration ----

/// One YAML file.
pub const YAML_FILE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Nesting of one YAML file.
pub const YAML_DEPTH_MAX: usize = 64;
/// One file of an address list or IP list; a million entries take about 40 MB.
pub const LIST_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Mistakes shown of one file; that there are more is said.
pub const DIAGNOSTICS_PER_FILE_MAX: usize = 100;
/// Compiled size of one regular expression of a rule.
pub const REGEX_BYTES_MAX: usize = 1024 * 1024;
/// Levels of the domain in a `*.domain` entry of an address list (Mail Manager: 2 to 9).
pub const LIST_DOMAIN_LEVELS_MAX: usize = 9;
/// Nesting of any, all and not.
pub const CONDITION_DEPTH_MAX: usize = 16;

// ---- certificates ----

/// A certificate, key, CA or CRL file. Mail Manager takes 500,000 characters; a CRL with 300,000 entries has about 12 MB.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// CAs that one endpoint believes; each client's certificate is tried with all of them.
pub const TRUSTED_CAS_MAX: usize = 100;
/// Names of one kind in a client's certificate; with more of them it is refused. Public CAs put at most 100 into one.
pub const CERTIFICATE_NAMES_MAX: usize = 256;
/// One name in a client's certificate; with a longer one it is refused. RFC 5280 bounds a common name at 64 characters.
pub const CERTIFICATE_NAME_BYTES_MAX: usize = 4096;
/// A server certificate is reported so long before its end, or for the last third of a shorter life.
pub const CERTIFICATE_NOTICE: Duration = Duration::from_secs(30 * 24 * 3600);
/// A CA is reported so long before its end (Mail Manager: 90 days).
pub const CA_NOTICE: Duration = Duration::from_secs(90 * 24 * 3600);
/// A CRL is reported so long before its next update is due (Mail Manager: 90 days).
pub const CRL_NOTICE: Duration = Duration::from_secs(90 * 24 * 3600);
/// How often the log repeats what expires.
pub const EXPIRY_REPORT_INTERVAL: Duration = Duration::from_secs(24 * 3600);

// ---- run ----

/// After SIGTERM, sessions and deliveries in flight get this long.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the configuration's files are looked at for a change.
pub const RELOAD_POLL: Duration = Duration::from_secs(2);

// ---- log ----

/// Log lines waiting for a sink that does not take them; further ones are counted and dropped.
pub const LOG_BUFFER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Characters of a message's Message-ID that a log line repeats; RFC 5322 §2.1.1 allows 998 in a line.
pub const LOG_MESSAGE_ID_CHARS_MAX: usize = 256;
/// Time that the log's last lines get at the end of the process, should nobody read them.
pub const LOG_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
