//! What the gateway is configured by and runs with.

use std::time::Duration;

// ---- configuration ----

/// One YAML file.
pub const YAML_FILE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Nesting of one YAML file.
pub const YAML_DEPTH_MAX: usize = 64;
/// One file of an address list or IP list; a million entries take about 40 MB.
pub const LIST_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Mistakes shown of one file; that there are more is said.
pub const DIAGNOSTICS_PER_FILE_MAX: usize = 100;
/// Mistakes shown of all files together, errors before warnings; how many there are besides is said.
pub const DIAGNOSTICS_MAX: usize = 1000;
/// Values of one YAML file, lists and mappings included: what bounds the memory that a file of many short ones takes.
pub const YAML_VALUES_MAX: usize = 1_000_000;
/// All files of a configuration together that are read as YAML, in octets.
pub const CONFIGURATION_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Files below one folder that is checked.
pub const CONFIGURATION_FILES_MAX: usize = 50_000;
/// How often fixes are looked for again after fixes: one may uncover another mistake.
pub const FIX_ROUNDS_MAX: usize = 10;
/// Compiled size of one regular expression of a rule.
pub const REGEX_BYTES_MAX: usize = 1024 * 1024;
/// Regular expressions that are kept between the check of the files and their building, so as not to be compiled twice.
pub const PATTERNS_REMEMBERED_MAX: usize = 10_000;
/// Levels of the domain in a `*.domain` entry of an address list (Mail Manager: 2 to 9).
pub const LIST_DOMAIN_LEVELS_MAX: usize = 9;
/// The message of one test of rules. Far above what endpoints take.
pub const TEST_MESSAGE_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Tests of rules that are judged at a time: each may hold its message several times.
pub const TESTS_AT_A_TIME_MAX: usize = 8;
/// Nesting of any, all and not.
pub const CONDITION_DEPTH_MAX: usize = 16;
/// Ways of putting a text or an address together that a proof about a policy tries; behind them it says nothing.
/// Source: a list of 10,000 texts in one condition is taken apart; each way costs less than a microsecond.
pub const PROOF_CHOICES_MAX: usize = 10_000;
/// Steps of the search for a session that one statement of a policy decides; behind them nothing is said about it.
/// Source: the shipped policies need 3; each step costs some microseconds.
pub const PROOF_STEPS_MAX: usize = 500;
/// Accepted domains up to which policies and rule sets are compared with them.
/// Source: each is compared with every statement and rule; a thousand take some milliseconds.
pub const FINDING_DOMAINS_MAX: usize = 1_000;
/// Names that one finding about a policy lists; of more it says how many.
/// Source: a line that is read.
pub const PROOF_NAMES_MAX: usize = 4;

// ---- files of other systems ----

/// One file that `gateway import` reads. The members of a full address list of Mail Manager (100,000 of 320 octets) are printed in 45 MiB.
pub const FOREIGN_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Values in one such file; the members of a full address list are 300,000.
pub const FOREIGN_VALUES_MAX: usize = 1_000_000;
/// Nesting of such a file.
pub const FOREIGN_DEPTH_MAX: usize = 64;

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
/// Time for which nothing is tried after every version of a secret was refused; doubled with each more round.
/// Source: Microsoft Entra locks an account for 60 s after ten failures.
pub const SECRET_PAUSE_FIRST: Duration = Duration::from_secs(60);
/// Longest such time.
/// Source: ten failures within 10 minutes lock an account by the security baseline of Windows.
pub const SECRET_PAUSE_LONGEST: Duration = Duration::from_secs(600);
/// After a pause one login tries the secret; others wait so long for what it finds, and then the next one tries.
pub const SECRET_PROBE_TIME: Duration = Duration::from_secs(30);
/// Time between two refreshes of a secret that refusals ask for. A wrong password must not become a storm of logins or calls.
pub const SECRET_REFUSAL_INTERVAL: Duration = Duration::from_secs(10);
/// Answers of SES are believed for so long while it cannot be reached.
pub const SES_IDENTITY_STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Identities in one page of a listing: the API's most.
pub const SES_PAGE_IDENTITIES: i32 = 1000;
/// Pages of a listing; SES allows 10,000 identities in a region.
pub const SES_PAGES_MAX: usize = 20;

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
/// Time for which the log gathers lines after the first, so that one write and one wakeup serve many.
/// Source: 7 lines a message, a write and two futex calls each, were half of all system calls; 5 ms nobody sees.
pub const LOG_GATHER_TIME: Duration = Duration::from_millis(5);
/// Lines that are written without waiting for more.
/// Source: a write of this size takes longer than the system call around it.
pub const LOG_GATHER_BYTES: usize = 256 * 1024;
/// Characters of a message's Message-ID that a log line repeats; RFC 5322 §2.1.1 allows 998 in a line.
pub const LOG_MESSAGE_ID_CHARS_MAX: usize = 256;
/// Characters of a user name that a log line repeats.
pub const LOG_USER_CHARS_MAX: usize = 64;
/// Time that the log's last lines get at the end of the process, should nobody read them.
pub const LOG_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
