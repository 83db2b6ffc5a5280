//! What a session and its client may do.

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
