//! Every limit and default of the gateway: one place, unit in the name, source beside it.
//!
//! A limit that an operator can change is a default here and a key in `gateway.yaml`; the others are fixed.
//!
//! Two kinds of lines end a limit's documentation, for `docs/limits.md`: `Source:` says where the value comes from, unless the text
//! does, and `Metric:` which [`Limit`] counts what it refuses, or which other metric shows it.

mod name;

pub use name::Limit;

use std::time::Duration;

// ---- SMTP session (RFC 5321 §4.5.3) ----

/// Longest command line accepted, CRLF included; a longer one gets 500.
/// Source: RFC 5321 §4.5.3.1.4 asks for 512 plus what extensions add; Postfix takes 2048.
/// Metric: command_line
pub const COMMAND_LINE_BYTES_MAX: usize = 2048;
/// Local part of an address, quoting included. RFC 5321 §4.5.3.1.1 asks for 64, and §4.5.3.1 for no limit where that can be:
/// addresses made for bounces and replies (VERP, SRS, trackers) reach 110. Postfix has no limit, mox takes 128.
pub const LOCAL_PART_BYTES_MAX: usize = 128;
/// Domain of an address, and the argument of HELO or EHLO (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;
/// One label of a domain (RFC 1035 §2.3.4).
pub const DOMAIN_LABEL_BYTES_MAX: usize = 63;
/// Memory reserved for a message on the word of its declared SIZE alone; above it, memory grows with what has really come.
pub const MESSAGE_RESERVE_BYTES_MAX: usize = 256 * 1024;
/// Line of a reply to a client, CRLF included (RFC 5321 §4.5.3.1.5).
pub const REPLY_LINE_BYTES_MAX: usize = 512;
/// Reply buffer that a session keeps from one exchange to the next; a larger one is given back.
pub const SESSION_OUTPUT_BYTES_KEPT: usize = 1024;
/// Recipients of one transaction; the next one gets 452 4.5.3.
/// Source: RFC 5321 §4.5.3.1.8 asks for at least 100; Postfix and mox take 1000.
/// Metric: recipients
pub const RECIPIENTS_MAX: usize = 1000;
/// Commands that were refused for good or not understood, since the last message that was taken, before the session is closed with
/// 421 4.7.0. Refused recipients have a limit of their own.
/// Source: Postfix smtpd_hard_error_limit 20.
/// Metric: errors
pub const ERRORS_MAX: u32 = 20;
/// Recipients refused for good beyond those accepted, since the last message that was taken, before the session is closed with
/// 421 4.7.0: who tries out addresses meets few that exist, while a list with some that are gone has more that are good.
/// Source: mox closes after more than 10 bad and none good; Postfix counts them as errors (20).
/// Metric: bad_recipients
pub const BAD_RECIPIENTS_MAX: u32 = 10;
/// Transactions in one session; a sender with more opens another connection, after 421 4.7.0.
/// Source: OpenSMTPD ends sessions at 100, KumoMTA at 10,000; at this number a delivery costs far more than a connection.
/// Metric: messages_per_session
pub const MESSAGES_PER_SESSION_MAX: u32 = 1000;
/// Commands that carry no mail (NOOP, RSET, VRFY, HELP), since the last message that was taken, before 421 4.7.0.
/// Source: Postfix smtpd_junk_command_limit 100.
/// Metric: junk_commands
pub const JUNK_COMMANDS_MAX: u32 = 100;
/// Longest line in an exchange of AUTH, CRLF included (RFC 4954 §4).
pub const AUTH_LINE_BYTES_MAX: usize = 12_288;
/// User name of a client that logs in; RFC 4616 §2 asks for at least 255.
pub const LOGIN_USERNAME_BYTES_MAX: usize = 255;
/// Password of a client that logs in; RFC 4616 §2 asks for at least 255.
pub const LOGIN_PASSWORD_BYTES_MAX: usize = 1024;
/// Logins refused in one session before 421 4.7.0.
/// Source: a person who mistypes twice gets in.
/// Metric: logins_per_session
pub const LOGINS_REFUSED_PER_SESSION_MAX: u32 = 3;
/// Wrong logins of one client (an IPv4 address, an IPv6 /64) in one window before 454 4.7.0.
/// Source: fail2ban bans at 5 in 10 minutes, and many people may sit behind one address.
/// Metric: login_failures
pub const LOGIN_FAILURES_PER_CLIENT_MAX: u32 = 20;
/// Wrong logins of one user name in one window, from wherever, after which one from a client suffices for 454 4.7.0.
/// Source: above what the devices of one person do with an old password, far below what a guesser needs.
/// Metric: login_failures
pub const LOGIN_FAILURES_PER_USER_MAX: u32 = 50;
/// Wrong logins are forgotten after this time (fail2ban: findtime and bantime 10 minutes).
pub const LOGIN_FAILURE_WINDOW: Duration = Duration::from_secs(600);
/// Clients whose wrong logins are remembered; about 5 MB.
pub const LOGIN_CLIENTS_MAX: usize = 50_000;
/// Counters that user names share by their hash.
pub const LOGIN_USER_COUNTERS: u64 = 4096;
/// Wait before the first refusal of a login, doubled with each more (Postfix: smtpd_error_sleep_time 1 s).
pub const LOGIN_DELAY_FIRST: Duration = Duration::from_secs(1);
/// Longest such wait; clients give up after 5 minutes (RFC 5321 §4.5.3.2).
pub const LOGIN_DELAY_LONGEST: Duration = Duration::from_secs(8);
/// Idle time before 421 4.4.2.
/// Source: RFC 5321 §4.5.3.2.7 asks for 5 minutes.
/// Metric: idle_timeout
pub const SESSION_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// A session that lasts longer than this is closed with 421 4.4.2 at the next command boundary; no message takes longer to arrive.
/// Source: RFC 5321 names no such time; the 40 MiB of a message come in it over a line of 100 kbit/s.
/// Metric: session_timeout
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(3600);
/// TLS handshake with a client; then the connection is closed.
/// Source: Postfix smtpd_starttls_timeout 300 s, under stress 10 s.
/// Metric: tls_handshake_timeout
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Closing a connection in an orderly way; a client that neither reads its last replies nor closes gets no more time.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest message when a policy sets none; a larger one gets 552 5.3.4.
/// Source: Google takes 50 MB, Mail Manager 40 MB.
/// Metric: message_size
pub const MESSAGE_BYTES_DEFAULT: u64 = 40 * 1024 * 1024;
/// Received fields before a message counts as looping, and gets 554 5.4.6.
/// Source: Postfix hopcount_limit 50; RFC 5321 §6.3 asks for 100, and a loop costs a delivery for each.
/// Metric: hops
pub const HOPS_MAX: usize = 50;
/// Size of the header block; a larger one gets 554 5.6.0.
/// Source: Postfix truncates at 102400; Exchange Online refuses above 256 KB.
/// Metric: header
pub const HEADER_BYTES_MAX: usize = 1024 * 1024;
/// Header fields of one message; more get 554 5.6.0.
/// Source: so many fields of 100 octets fill `HEADER_BYTES_MAX`.
/// Metric: header
pub const HEADER_FIELDS_MAX: usize = 10_000;
/// Addresses of one kind (`From`, `Sender`, `To`, `Cc`) that conditions see; further ones are not looked at, and such a From has no author.
/// Source: ten times the recipients that a message may have by `RECIPIENTS_MAX`.
pub const MAILBOXES_MAX: usize = 10_000;
/// MIME parts that attachment conditions look at.
pub const MIME_PARTS_MAX: usize = 1_000;
/// Nesting of multiparts and of forwarded messages that attachment conditions look into (Postfix: mime_nesting_limit 100).
pub const MIME_DEPTH_MAX: usize = 30;
/// What is read of a Content-Type or Content-Disposition field; file names end far below it (RFC 2231 readers take quadratic time).
pub const MIME_FIELD_BYTES_MAX: usize = 8 * 1024;
/// Headers of all MIME parts of one message; parts behind are not looked at.
pub const MIME_HEADERS_BYTES_MAX: usize = 1024 * 1024;
/// What a Received field repeats of a HELO argument that is no domain and no address literal.
pub const TRACE_HELO_CHARS_MAX: usize = 64;
/// DKIM signatures that an Authentication-Results field speaks of, from the top; so it stays below the 16 KiB that readers take.
pub const RESULTS_SIGNATURES_MAX: usize = 20;
/// Characters of the reason that stands beside a result in Authentication-Results and Received-SPF.
pub const RESULTS_COMMENT_CHARS_MAX: usize = 160;
/// Characters of a value there; a longer one is left out, for half of it would be another one. An address has at most 384.
pub const RESULTS_VALUE_CHARS_MAX: usize = 400;
/// ARC sets of a message; a chain of so many gets no further seal (RFC 8617 §4.2.1).
pub const ARC_INSTANCES_MAX: u32 = 50;
/// Fields of one name that an ARC seal covers, from the bottom. Source: more are not seen in good mail, and each is a word in `h=`.
pub const ARC_SIGNED_FIELDS_OF_A_NAME_MAX: usize = 20;

// ---- connections and memory ----

/// Connections of all endpoints together; the next one gets 421 4.3.2.
/// Source: ten thousand idle sessions (3 KB each, `benches/idle.sh`) are served without strain, which begins above them.
/// Metric: connections
pub const CONNECTIONS_MAX: usize = 12_000;
/// Connections of one address (IPv6: one /64); the next one gets 421 4.7.0.
/// Source: Postfix smtpd_client_connection_count_limit 50, mox 30 for a small host.
/// Metric: connections_per_address
pub const CONNECTIONS_PER_CLIENT_MAX: usize = 100;
/// Time from the connection of a load balancer to the end of its PROXY header; then the connection is closed.
/// Source: Postfix smtpd_upstream_proxy_timeout 5 s; the specification asks for at least 3 s, to cover a TCP retransmission.
/// Metric: proxy_header_timeout
pub const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A PROXY header of version 1, CRLF included (PROXY protocol §2.1).
pub const PROXY_LINE_BYTES_MAX: usize = 107;
/// A PROXY header of version 2, TLVs included (nginx: 4096; the protocol allows 65,551, and says that it is always smaller than an MSS).
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;
/// Connections of one network (IPv4: /24, IPv6: /48); the next one gets 421 4.7.0.
/// Source: a tenth of all; mox has 90 for a /26 and 270 for a /21, and one /24 of a large provider has many senders.
/// Metric: connections_per_network
pub const CONNECTIONS_PER_NETWORK_MAX: usize = 1_200;
/// New connections of one address (IPv6: one /64) in a minute; the next one gets 421 4.7.0.
/// Source: mox 300 for a small host; 20 a second are a sender that opens one for each message. Postfix has none unless told.
/// Metric: connections_per_minute_per_address
pub const CONNECTIONS_PER_MINUTE_PER_ADDRESS_MAX: u32 = 1_200;
/// New connections of one network (IPv4: /24, IPv6: /48) in a minute; the next one gets 421 4.7.0.
/// Source: mox 900 for a /26 and 2,700 for a /21 on a small host.
/// Metric: connections_per_minute_per_network
pub const CONNECTIONS_PER_MINUTE_PER_NETWORK_MAX: u32 = 6_000;
/// Rows of the table that counts new connections of a minute.
/// Source: a count is wrong where all rows collide; with four this has a chance below e^-4.
pub const SKETCH_ROWS: usize = 4;
/// Columns of that table: with four octets a cell, 256 KiB for addresses and as much for networks.
/// Source: 600,000 connections in a minute add 100 to a count on average, a twelfth of the limit.
pub const SKETCH_COLUMNS: usize = 16_384;
/// Share of the connections in use at which the gateway is under strain.
/// Source: 10,800 of 12,000, above the ten thousand that are served without strain.
/// Metric: gateway_pressure
pub const PRESSURE_STRAINED_PERCENT: usize = 90;
/// Share of the connections in use below which strain ends.
/// Source: a tenth of the places below the mark, so that a load at the mark does not flicker.
pub const PRESSURE_RECOVERED_PERCENT: usize = 80;
/// Share of the connections in use at which no more are taken.
/// Source: all of them.
/// Metric: pressure
pub const PRESSURE_REFUSING_PERCENT: usize = 100;
/// Share of the connections in use below which new ones are taken again.
/// Source: half of the way back to the mark of strain.
pub const PRESSURE_REOPENED_PERCENT: usize = 95;
/// Share of the message memory in use at which the gateway is under strain.
/// Source: a quarter is left for the messages that are under way.
/// Metric: gateway_pressure
pub const PRESSURE_MEMORY_STRAINED_PERCENT: usize = 75;
/// Share of the message memory in use below which strain ends.
/// Source: some large messages below the mark.
pub const PRESSURE_MEMORY_RECOVERED_PERCENT: usize = 60;
/// Share of the message memory in use at which no connections are taken: their mail would only get 452.
/// Source: what is left is less than one large message for each core.
/// Metric: pressure
pub const PRESSURE_MEMORY_REFUSING_PERCENT: usize = 95;
/// Share of the message memory in use below which connections are taken again.
/// Source: a little above the mark of strain.
pub const PRESSURE_MEMORY_REOPENED_PERCENT: usize = 80;
/// Under strain the idle time of a client with many connections is divided by this.
/// Source: Postfix under stress waits 10 s instead of 300 s.
/// Metric: idle_timeout
pub const PRESSURE_IDLE_DIVISOR: u32 = 30;
/// Under strain the idle time of a client with few connections is divided by this: who takes many places loses them first.
/// Source: a slow but honest client answers within 30 s.
/// Metric: idle_timeout
pub const PRESSURE_IDLE_DIVISOR_FEW: u32 = 10;
/// Connections up to which a client has few.
/// Source: a sender with a few messages at a time needs no more.
pub const PRESSURE_FEW_CONNECTIONS: usize = 4;
/// Errors, and bad recipients, that a session may make under strain before 421.
/// Source: Postfix under stress has smtpd_hard_error_limit 1.
/// Metric: errors
pub const PRESSURE_ERRORS_MAX: u32 = 1;
/// Under strain one address, and one network, may have this part of its connections: 1/4.
/// Source: a client with 25 connections is served well; one with 100 keeps three others out.
pub const PRESSURE_CLIENT_SHARE: usize = 4;
/// The spool counts as sick for this long after it did not take a message, or until it takes one.
/// Source: mail that is delivered inline does not ask it again, and one failure is no reason for strain without end.
/// Metric: gateway_pressure
pub const SPOOL_SICK_TIME: Duration = Duration::from_secs(30);
/// How often the load is looked at, besides at every new connection.
/// Source: an end of strain that comes a second late harms nobody.
pub const PRESSURE_LOOK: Duration = Duration::from_secs(1);
/// Connections that are refused leave one line in the log for each limit and this time, with their number: a flood is no flood of lines.
pub const TURNED_AWAY_LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Share of the open files that the system allows which connections of clients may take; `connections` is lowered to it.
/// Source: the spool, the relays and the log need some, and a gateway without any accepts nothing and stores nothing.
pub const CONNECTION_FILES_PERCENT: u64 = 75;
/// Listen backlog; a short one loses SYNs under load.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Pause after a connection could not be accepted (out of file descriptors).
pub const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of messages held in memory over all sessions; above it DATA gets 452 4.3.1.
/// Source: 25 messages of the largest size at a time; a quarter of a small server's memory.
/// Metric: message_memory
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
/// Longest ENVID of a transaction, as given (RFC 3461 §5.4).
pub const DSN_ENVID_BYTES_MAX: usize = 100;
/// Longest ORCPT of a recipient, as given (RFC 3461 §5.4).
pub const DSN_ORCPT_BYTES_MAX: usize = 500;
/// Largest message that a DSN returns whole for RET=FULL; of a larger one it returns the header (RFC 3461 §6.2; Postfix:
/// bounce_size_limit 50000).
pub const DSN_MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// DSNs created in one minute; more are recorded as suppressed.
pub const DSN_PER_MINUTE_MAX: u32 = 600;
/// When so many were created in the minute, none tells of a delivery (`NOTIFY=SUCCESS`) any more: a stranger who asks for that
/// with all his mail must not keep others from hearing of their failures.
pub const DSN_RELAYED_PER_MINUTE_MAX: u32 = 300;

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
/// Live bytes copied out of the oldest segment with one group, unless the group itself is larger.
pub const SPOOL_COPY_BYTES_PER_GROUP: u64 = 1024 * 1024;
/// The oldest segment is emptied by copying when less than this share of it is live.
pub const SPOOL_LIVE_PERCENT_MIN: u64 = 25;

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
/// Source: at 50 ms for an answer these are 5,000 in a second.
/// Metric: gateway_dns_open
pub const DNS_QUESTIONS_OPEN_MAX: usize = 256;
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
/// A connection to an analyzer that nobody uses is closed after this time; common HTTP servers close theirs after 60 s and more.
pub const ANALYZER_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// The body of an answer by HTTP; a hundred symbols of Rspamd take 20 KiB.
pub const ANALYZER_RESPONSE_BYTES_MAX: usize = 1024 * 1024;
/// The head of an answer by HTTP.
pub const ANALYZER_RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;
/// A question to an analyzer that failed counts when it took so long, or half of a `timeout` that is shorter: what fails at once costs
/// nothing.
pub const ANALYZER_SLOW_FAILURE: Duration = Duration::from_secs(1);
/// Such questions in a row before an analyzer (each list of a `dnsbl` by itself) is left alone.
pub const ANALYZER_FAILURES_MAX: u32 = 5;
/// So long an analyzer is left alone; then one question tries it.
pub const ANALYZER_REST: Duration = Duration::from_secs(10);
/// Characters of a reason why an analyzer gave no answer.
pub const ANALYZER_REASON_CHARS_MAX: usize = 300;

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

/// A certificate, key, CA or CRL file. A CRL with 300,000 entries has about 12 MB; Mail Manager takes half a megabyte.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// CAs that one endpoint believes; a client's certificate is tried with those that it or its chain names.
pub const TRUSTED_CAS_MAX: usize = 100;
/// Certificates that a client may send beside its own. A chain of six is the longest that is followed, and each further one
/// multiplies the ways in which they could hang together, which are all tried.
pub const CLIENT_CHAIN_MAX: usize = 6;
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
/// Difference between a signer's clock and ours.
/// Source: OpenDKIM's ClockDrift is 300 s.
pub const DKIM_CLOCK_SKEW: Duration = Duration::from_secs(300);
/// Sets of an ARC chain (RFC 8617 §4.2.1).
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

// ---- run ----

/// After SIGTERM, sessions and deliveries in flight get this long.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the configuration's files are looked at for a change.
pub const RELOAD_POLL: Duration = Duration::from_secs(2);

// ---- HTTP ----

/// Connections to one HTTP listener at a time (`admin`, `acme`); a further one is closed at once. Monitoring needs one or two, an authority
/// a handful.
pub const HTTP_CONNECTIONS_MAX: usize = 32;
/// Request line and headers of a request to us; hyper's least is 8 KiB.
pub const HTTP_HEADER_BYTES_MAX: usize = 8 * 1024;
/// One HTTP connection, from its acceptance to its end; it carries one request.
pub const HTTP_CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

// ---- log ----

/// Log lines waiting for a sink that does not take them; further ones are counted and dropped.
pub const LOG_BUFFER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Characters of a message's Message-ID that a log line repeats; RFC 5322 §2.1.1 allows 998 in a line.
pub const LOG_MESSAGE_ID_CHARS_MAX: usize = 256;
/// Characters of a user name that a log line repeats.
pub const LOG_USER_CHARS_MAX: usize = 64;
/// Time that the log's last lines get at the end of the process, should nobody read them.
pub const LOG_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

// ---- DMARC reports ----

/// A DMARC record that is remembered for a report; of a longer one nothing is reported.
/// Source: records have some 200 octets; 512 are what fits into DNS over UDP.
pub const DMARC_RECORD_BYTES_MAX: usize = 2048;
/// Rows of DMARC reports in memory until they are written down; about 10 MB. Further ones are not counted, which is logged.
pub const DMARC_REPORT_ROWS_PENDING_MAX: usize = 10_000;
/// How long a row stays in memory alone, and how often the gateway looks what reports are due.
pub const DMARC_REPORT_FLUSH_INTERVAL: Duration = Duration::from_secs(30);
/// The file of a day's rows.
/// Source: about 60,000 rows.
pub const DMARC_REPORT_DAY_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// A row in that file.
pub const DMARC_REPORT_LINE_BYTES_MAX: usize = 32 * 1024;
/// Rows of one domain in a day and in a report, so that no domain takes the room of all.
pub const DMARC_REPORT_ROWS_PER_DOMAIN_MAX: usize = 10_000;
/// DKIM signatures of a message that a row has.
/// Source: as many as are verified at most; those that pass and align come first.
pub const DMARC_REPORT_SIGNATURES_MAX: usize = 10;
/// Domains that get a report about one day.
pub const DMARC_REPORTS_PER_DAY_MAX: usize = 10_000;
/// Addresses of one record that get a report.
/// Source: RFC 7489 §6.2 asks for two at least.
pub const DMARC_REPORT_DESTINATIONS_MAX: usize = 4;
/// A report as a message, if the destination sets no smaller limit.
/// Source: most receivers take 10 MB.
pub const DMARC_REPORT_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Labels of a domain whose ancestors are asked whether a destination is of the same organization.
/// Source: RFC 9989 §4.10 walks at most 8 names.
pub const DMARC_REPORT_LEVELS_MAX: usize = 8;
/// One question about a destination.
pub const DMARC_REPORT_DNS_TIMEOUT: Duration = Duration::from_secs(10);
/// Reports leave in slots of this length after midnight UTC.
pub const DMARC_REPORT_SPREAD_SLOT: Duration = Duration::from_secs(15 * 60);
/// Number of these slots: four hours.
pub const DMARC_REPORT_SPREAD_SLOTS: u64 = 16;
/// Wait before a report that could not be sent is tried again.
pub const DMARC_REPORT_RETRY_INTERVAL: Duration = Duration::from_secs(3600);
/// Days after which figures that could not be sent are thrown away.
/// Source: reports are daily; what is older helps nobody.
pub const DMARC_REPORT_DAYS_KEPT: u64 = 3;
