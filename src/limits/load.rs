//! How many come at once, and what is done when it is too much.

use std::time::Duration;

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
/// What a session reads at a time of a message that goes into a file.
/// Source: a quarter of what is written to the file at a time; no idle session holds it.
pub const LARGE_READ_BYTES: usize = 64 * 1024;
