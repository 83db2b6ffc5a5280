//! What is found out about a message: by DNS, signatures and analyzers.

use std::time::Duration;

// ---- judging ----

/// Time that a message, or a recipient before there is a message, may wait for all that rules or policy must find out, however many
/// rounds of questions that are; then it is 451 4.7.1.
/// Source: two rounds of the slowest analyzers; with `INLINE_BUDGET` it stays below the 10 minutes of a client after the final dot,
/// and alone below its 5 minutes after RCPT (RFC 5321 §4.5.3.2).
pub const LOOK_UPS_PATIENCE: Duration = Duration::from_secs(240);

// ---- DNS ----

/// One question to one server, TCP after a truncated answer included; a question takes twice that at most (`resolver.timeout`).
/// Source: RFC 7208 §4.6.4 gives all questions of SPF 20 s; the system's resolver waits 5 s, twice.
pub const DNS_TIMEOUT: Duration = Duration::from_secs(3);
/// Shortest such time that can be set.
pub const DNS_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Longest such time that can be set.
pub const DNS_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// Servers that can be named.
pub const DNS_SERVERS_MAX: usize = 8;
/// Longest domain name as text, without the last dot (RFC 1035 §2.3.4: 255 octets on the wire).
pub const DNS_NAME_BYTES_MAX: usize = 253;
/// Questions under way at a time, each with a socket of its own; a further one waits for its turn, within its time.
/// Source: at 50 ms for an answer these are 10,000 in a second.
/// Metric: gateway_dns_open
pub const DNS_QUESTIONS_OPEN_MAX: usize = 512;
/// Of these for one purpose (a verdict, an analyzer) of one message; its others wait.
/// Source: a message with ten signatures has its keys in two rounds; one whose names are all silent holds a thirtieth of the places.
pub const DNS_QUESTIONS_OF_ONE_MAX: usize = 8;
/// CNAMEs followed from one name; a longer chain is trouble (Unbound follows 11).
pub const DNS_CNAMES_MAX: usize = 11;
/// Records of one name and type that are looked at; an answer with so many texts is larger than 64 KiB.
pub const DNS_RECORDS_MAX: usize = 500;
/// Memory of the answers that are remembered.
pub const DNS_CACHE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What a remembered answer costs beside its name and records (measured with 50,000 of them: 0.54 KB).
pub const DNS_CACHE_ENTRY_BYTES: usize = 550;
/// Longest time that records are remembered, whatever their TTL (Unbound: cache-max-ttl one day).
pub const DNS_TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest time that the absence of a name or of records is remembered (RFC 2308 §5: one to three hours work well).
pub const DNS_NEGATIVE_TTL_MAX: Duration = Duration::from_secs(3600);
/// Time that trouble is remembered (RFC 9520 §3.2: at least 1 s, at most 5 minutes).
pub const DNS_TROUBLE_TTL: Duration = Duration::from_secs(1);
/// How often /etc/resolv.conf is looked at, where no server is named.
pub const DNS_SYSTEM_LOOK: Duration = Duration::from_secs(10);
/// Records of an answer that an explanation repeats.
pub const DNS_TOLD_RECORDS_MAX: usize = 4;
/// Characters of a record, or of what is no name, that an explanation repeats.
pub const DNS_TOLD_CHARS_MAX: usize = 100;
/// Names of a client's address that are looked up (RFC 7208 §4.6.4).
pub const CLIENT_HOST_NAMES_MAX: usize = 10;
/// Finding out a client's host name; then it is unknown.
/// Source: 5 minutes are what a client waits for a reply to RCPT (RFC 5321 §4.5.3.2.3).
pub const CLIENT_HOST_PATIENCE: Duration = Duration::from_secs(10);

// ---- SPF (RFC 7208) ----

/// Terms of one evaluation that ask DNS, those of included records among them; more are a `permerror` (RFC 7208 §4.6.4).
pub const SPF_TERMS_MAX: u32 = 10;
/// How many of these terms may have a question that finds nothing; more are a `permerror` (RFC 7208 §4.6.4).
pub const SPF_VOID_LOOKUPS_MAX: u32 = 2;
/// Mail exchangers of one `mx`; more are a `permerror` (RFC 7208 §4.6.4).
pub const SPF_MX_NAMES_MAX: usize = 10;
/// Names of the client that `ptr` and `%{p}` look at; further ones are ignored (RFC 7208 §4.6.4).
pub const SPF_PTR_NAMES_MAX: usize = 10;
/// DNS questions of one evaluation: what the limits above allow is 1 record, 10 `mx` with 10 hosts each, the client's 10 names and the
/// explanation.
pub const SPF_QUESTIONS_MAX: u32 = 123;
/// One evaluation; then it is a `temperror`. RFC 7208 §4.6.4 asks for at least 20 seconds.
pub const SPF_PATIENCE: Duration = Duration::from_secs(20);
/// Explanation of a `fail` by the domain's owner (`exp=`); the rest is cut off. It fits a reply of SMTP (RFC 5321 §4.5.3.1.5).
pub const SPF_EXPLANATION_BYTES_MAX: usize = 400;
/// Beginning of a directive that is shown.
pub const SPF_MECHANISM_BYTES_MAX: usize = 255;
/// Reason of a verdict; the rest is cut off.
pub const SPF_REASON_BYTES_MAX: usize = 500;

// ---- signatures ----

/// DKIM signatures of a message that are looked at, from the top; further ones are named in the verdict, not verified.
/// Source: RFC 6376 §6.1 leaves the number open; a message through several lists and services has five or six.
pub const DKIM_SIGNATURES_MAX: usize = 10;
/// Records of one key's name that are tried.
/// Source: a key has one (RFC 6376 §3.6.2.2); a second is a mistake while keys are changed.
pub const DKIM_KEY_RECORDS_MAX: usize = 4;
/// Smallest RSA key of a signature (RFC 8301 §3.2).
pub const DKIM_KEY_BITS_MIN: usize = 1024;
/// Largest RSA key of a signature. RFC 8301 §3.2 asks for 4096; a key of 8192 takes 10 times as long.
pub const DKIM_KEY_BITS_MAX: usize = 8192;
/// Reason of a verdict of DKIM, DMARC or ARC; the rest is cut off.
pub const VERDICT_REASON_CHARS_MAX: usize = 200;
/// Difference between a signer's clock and ours.
/// Source: OpenDKIM's ClockDrift is 300 s.
pub const DKIM_CLOCK_SKEW: Duration = Duration::from_secs(300);
/// Sets of an ARC chain; one of so many gets no further seal (RFC 8617 §4.2.1).
pub const ARC_SETS_MAX: u32 = 50;
/// DNS questions for the signatures of one message: keys, and the domains of DMARC that From and signers belong to.
pub const DKIM_QUESTIONS_MAX: u32 = 60;
/// DNS questions for one ARC chain: the key of each seal, and of the last message signature.
pub const ARC_QUESTIONS_MAX: u32 = 51;
/// DNS questions for DMARC: eight for From (RFC 9989 §4.10), its own existence, and eight for each name that may align with it.
pub const DMARC_QUESTIONS_MAX: u32 = 60;
/// Time for all DNS questions of one of DKIM, ARC and DMARC; afterwards what is missing counts as a temporary error.
/// Source: RFC 7208 §4.6.4 asks for at least 20 s for SPF, which is asked for at the same time.
pub const SIGNATURES_PATIENCE: Duration = Duration::from_secs(20);
/// A larger body is hashed on a thread for such work; hashing so much takes about a millisecond.
pub const BODY_HASH_INLINE_BYTES_MAX: usize = 1024 * 1024;
/// DNS questions of one walk up a domain (RFC 9989 §4.10).
pub const DMARC_WALK_QUESTIONS_MAX: usize = 8;

// ---- analyzers ----

/// Longest `timeout` of an analyzer: it is part of the time that a client waits for a reply, and some wait no longer than five minutes.
pub const ANALYZER_TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// Time for all lists of a `dnsbl` unless `timeout` says another; a reply to RCPT waits for it.
/// Source: Postfix and Exim leave it to the resolver (5 s for one try).
pub const DNSBL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// Lists of one `dnsbl`: so many questions has one client.
pub const DNSBL_ZONES_MAX: usize = 16;
/// Octets of the zone of a list: with the 32 labels of an IPv6 address before it a name is no longer than 253 (RFC 5782 §2.4).
pub const DNSBL_ZONE_BYTES_MAX: usize = 189;
/// Questions to one list at a time; a further one waits within its time.
/// Source: a list that answers in 20 ms is asked 12,000 times a second.
pub const DNSBL_QUESTIONS_AT_ONCE: usize = 250;
/// Time for Rspamd unless `timeout` says another; Rspamd itself ends after 8 s (`task_timeout`).
pub const RSPAMD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Largest message that Rspamd is asked about unless `max_message_size` says another; Rspamd's `max_message` is 50 MiB.
pub const RSPAMD_MESSAGE_BYTES_DEFAULT: u64 = 50 * 1024 * 1024;
/// Recipients that Rspamd is told of; its HTTP parser takes headers of 80 KiB.
pub const RSPAMD_RECIPIENTS_MAX: usize = 100;
/// Time for clamd unless `timeout` says another; clamd itself ends after 120 s (`MaxScanTime`).
pub const CLAMAV_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Largest message that clamd is asked about unless `max_message_size` says another.
/// Source: clamd's `StreamMaxLength`: 100 MiB, and 25 MiB in Debian's clamd.conf.
pub const CLAMAV_MESSAGE_BYTES_DEFAULT: u64 = 100 * 1024 * 1024;
/// One chunk of a message on its way to clamd.
pub const CLAMAV_CHUNK_BYTES: usize = 128 * 1024;
/// An answer of clamd: the name of a signature.
pub const CLAMAV_REPLY_BYTES_MAX: u64 = 4096;
/// Time for an HTTP hook unless `timeout` says another.
pub const HOOK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// Largest message that is sent to an HTTP hook unless `max_message_size` says another; in base64 it is a third larger.
pub const HOOK_MESSAGE_BYTES_DEFAULT: u64 = 25 * 1024 * 1024;
/// Texts that an HTTP hook gives one field.
pub const HOOK_TEXTS_MAX: usize = 100;
/// Questions to one analyzer at a time unless `connections` says another; a further one waits within its time.
/// Source: clamd `MaxThreads` 10.
pub const ANALYZER_CONNECTIONS_DEFAULT: u32 = 10;
/// Largest `connections` of an analyzer.
pub const ANALYZER_CONNECTIONS_MAX: u32 = 1000;
/// A kept connection of an HTTP client that nobody uses is closed after this time; common HTTP servers close theirs after 60 s and more.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// The body of an answer by HTTP; a hundred symbols of Rspamd take 20 KiB.
pub const ANALYZER_RESPONSE_BYTES_MAX: usize = 1024 * 1024;
/// The head of an answer by HTTP.
pub const HTTP_RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;
/// A question to an analyzer that failed counts when it took so long, or half of a `timeout` that is shorter: what fails at once costs
/// nothing.
pub const ANALYZER_SLOW_FAILURE: Duration = Duration::from_secs(1);
/// Such questions in a row before an analyzer (each list of a `dnsbl` by itself) is left alone.
pub const ANALYZER_FAILURES_MAX: u32 = 5;
/// So long an analyzer is left alone; then one question tries it.
pub const ANALYZER_REST: Duration = Duration::from_secs(10);
/// Characters of a reason why an analyzer gave no answer.
pub const ANALYZER_REASON_CHARS_MAX: usize = 300;
/// Texts of one field of an analysis in the log; the number of further ones stands behind them.
/// Source: a message has some 30 symbols of Rspamd.
pub const ANALYSIS_LOGGED_TEXTS_MAX: usize = 100;
/// Characters of one such text in the log.
pub const ANALYSIS_LOGGED_CHARS_MAX: usize = 200;
/// Values of a condition, and values that it saw, in an explanation; the number of further ones stands behind them.
/// Source: what fits on a line.
pub const EXPLAINED_VALUES_MAX: usize = 8;
/// Characters of one such value.
pub const EXPLAINED_CHARS_MAX: usize = 120;
/// Largest file that `gateway explain` judges.
/// Source: twice `MESSAGE_BYTES_DEFAULT`, so that what is refused for its size can be explained, too.
pub const EXPLAINED_MESSAGE_BYTES_MAX: u64 = 512 * 1024 * 1024;
