//! Figures for monitoring, counted from the events themselves, so that the log and the figures cannot disagree.
//!
//! Written in the text format of Prometheus. What is a state and no event (connections, memory, the spool) is asked for when the
//! figures are, and handed in as [`Gauge`]s.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Event;
use crate::limits::Limit;

/// All counters of a process.
#[derive(Debug, Default)]
pub struct Metrics {
    limit_reached: [Counter; Limit::ALL.len()],
    connections: Counter,
    refused: Counter,
    tls_ok: Counter,
    tls_failed: Counter,
    policy_denials: Counter,
    verdicts: [[Counter; RESULTS.len()]; METHODS.len()],
    analyses: [Counter; ANALYSES.len()],
    tls_sessions: [[Counter; TLS_RESULTS.len()]; TLS_POLICIES.len()],
    call_ahead: [Counter; CALL_AHEAD.len()],
    messages: [Counter; REPLY_CLASSES.len()],
    message_bytes: Counter,
    reply_time: Histogram,
    attempts: Counter,
    outcomes: [Counter; OUTCOMES.len()],
    notifications: Counter,
    reloads_refused: Counter,
    problems: Counter,
    log_lost: Counter,
}

/// A figure of the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// How much.
    pub value: u64,
}

/// Figures of a room that tells no events, by one label: counters if the name ends with `_total`, else what is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// The label's name.
    pub label: &'static str,
    /// The label's values, each with its figure.
    pub values: Vec<(Cow<'static, str>, u64)>,
}

/// What came of looking a recipient up.
const CALL_AHEAD: [&str; 3] = ["known", "unknown", "no answer"];
const REPLY_CLASSES: [&str; 3] = ["2xx", "4xx", "5xx"];
const OUTCOMES: [&str; 7] = ["delivered", "rejected", "deferred", "dropped", "bounced", "failed", "expired"];

const METHODS: [&str; 4] = ["spf", "dkim", "dmarc", "arc"];
const RESULTS: [&str; 8] = ["none", "pass", "fail", "policy", "neutral", "softfail", "temperror", "permerror"];
const ANALYSES: [&str; 2] = ["answered", "unknown"];
/// RFC 8460 §4.2, §4.3.
const TLS_POLICIES: [&str; 3] = ["tlsa", "sts", "no-policy-found"];
const TLS_RESULTS: [&str; 11] = [
    "success",
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
];

#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds in milliseconds: a local queue answers in a few, an inline delivery in seconds, at most four minutes.
const BUCKETS_MS: [u64; 9] = [5, 25, 100, 500, 1_000, 5_000, 15_000, 60_000, 240_000];

#[derive(Debug, Default)]
struct Histogram {
    buckets: [Counter; BUCKETS_MS.len()],
    sum_ms: Counter,
    count: Counter,
}

impl Histogram {
    fn observe(&self, ms: u64) {
        if let Some(bucket) = BUCKETS_MS.iter().position(|most| ms <= *most).and_then(|place| self.buckets.get(place)) {
            bucket.add(1);
        }
        self.sum_ms.add(ms);
        self.count.add(1);
    }
}

impl Metrics {
    /// Connections that a limit kept out before there was a session; each is no event of its own.
    pub fn turned_away(&self, limit: Limit) {
        self.limit_reached(limit);
    }

    /// Log lines that were dropped.
    pub(super) fn lost(&self, events: u64) {
        self.log_lost.add(events);
    }

    /// Counts what happened.
    pub(super) fn count(&self, event: &Event<'_>) {
        match event {
            Event::Connected { .. } => self.connections.add(1),
            Event::Tls { error, limit, .. } => {
                if error.is_some() { &self.tls_failed } else { &self.tls_ok }.add(1);
                limit.iter().for_each(|limit| self.limit_reached(*limit));
            }
            Event::ProxyFailed { limit, .. } | Event::Login { limit, .. } => limit.iter().for_each(|limit| self.limit_reached(*limit)),
            Event::Policy { verdict: "deny", .. } => self.policy_denials.add(1),
            Event::Refused { limit, .. } => {
                self.refused.add(1);
                limit.iter().for_each(|limit| self.limit_reached(*limit));
            }
            Event::Verdicts { spf, dkim, dmarc, arc, .. } => {
                let results = [
                    spf.map(|spf| spf.result.as_str()),
                    dkim.map(|dkim| dkim.result.as_str()),
                    dmarc.map(|dmarc| dmarc.result.as_str()),
                    arc.map(|arc| arc.result.as_str()),
                ];
                for (counters, result) in self.verdicts.iter().zip(results) {
                    count_word(&RESULTS, counters, result);
                }
            }
            Event::Analysis { error, .. } => {
                count_word(&ANALYSES, &self.analyses, Some(if error.is_some() { "unknown" } else { "answered" }))
            }
            Event::TlsSession { policy, result, .. } => {
                let counters = TLS_POLICIES.iter().zip(&self.tls_sessions).find(|(known, _)| *known == policy);
                counters.into_iter().for_each(|(_, counters)| count_word(&TLS_RESULTS, counters, Some(result)));
            }
            Event::CallAhead { result, .. } => count_word(&CALL_AHEAD, &self.call_ahead, Some(result)),
            Event::Message { size, .. } => self.message_bytes.add(u64::try_from(*size).unwrap_or(u64::MAX)),
            Event::Replied { reply, duration_ms, limit, .. } => {
                let class = usize::from(reply.code >= 400).saturating_add(usize::from(reply.code >= 500));
                self.messages.get(class).into_iter().for_each(|counter| counter.add(1));
                self.reply_time.observe(*duration_ms);
                limit.iter().for_each(|limit| self.limit_reached(*limit));
            }
            Event::Disconnected { reason: "client does not read", .. } => self.limit_reached(Limit::IdleTimeout),
            Event::Attempt { .. } => self.attempts.add(1),
            Event::Outcome { outcome, .. } => count_word(&OUTCOMES, &self.outcomes, Some(outcome)),
            Event::Dsn { notification: Some(_), .. } => self.notifications.add(1),
            Event::ReloadRefused { .. } => self.reloads_refused.add(1),
            Event::Problem { .. } => self.problems.add(1),
            _ => {}
        }
    }

    fn limit_reached(&self, limit: Limit) {
        // `ALL` is in the order of the variants' numbers.
        self.limit_reached.get(limit as usize).into_iter().for_each(|counter| counter.add(1));
    }

    /// All figures, in the text format 0.0.4 of Prometheus.
    pub fn render(&self, gauges: &[Gauge], counts: &[Counts]) -> String {
        let mut page = Page::default();
        for gauge in gauges {
            page.metric(gauge.name, "gauge", gauge.help);
            page.value(gauge.name, "", gauge.value);
        }
        page.counter("gateway_connections_total", "Connections that were let in.", &self.connections);
        page.labelled(
            "gateway_limit_reached_total",
            "Refusals by limit.",
            "limit",
            Limit::ALL.iter().map(|limit| limit.name()).zip(&self.limit_reached),
        );
        page.counter("gateway_refused_total", "Commands and recipients refused otherwise than by the policy.", &self.refused);
        page.counter("gateway_policy_denials_total", "Denials of the traffic policy.", &self.policy_denials);
        page.labelled(
            "gateway_tls_handshakes_total",
            "TLS handshakes with clients by result.",
            "result",
            ["ok", "failed"].into_iter().zip([&self.tls_ok, &self.tls_failed]),
        );
        page.metric("gateway_verdicts_total", "counter", "Verdicts on senders by method and result.");
        for (method, counters) in METHODS.iter().zip(&self.verdicts) {
            for (result, counter) in RESULTS.iter().zip(counters) {
                page.value("gateway_verdicts_total", &format!("{{method=\"{method}\",result=\"{result}\"}}"), counter.get());
            }
        }
        page.metric("gateway_tls_sessions_total", "counter", "TLS with mail exchangers by policy and result.");
        for (policy, counters) in TLS_POLICIES.iter().zip(&self.tls_sessions) {
            for (result, counter) in TLS_RESULTS.iter().zip(counters) {
                page.value("gateway_tls_sessions_total", &format!("{{policy=\"{policy}\",result=\"{result}\"}}"), counter.get());
            }
        }
        page.labelled(
            "gateway_analyses_total",
            "Questions to analyzers by what came of them.",
            "result",
            ANALYSES.into_iter().zip(&self.analyses),
        );
        page.labelled(
            "gateway_call_ahead_total",
            "Recipients that were looked up at a relay by what came of it.",
            "result",
            CALL_AHEAD.into_iter().zip(&self.call_ahead),
        );
        page.labelled(
            "gateway_messages_total",
            "Replies to complete messages by class.",
            "reply",
            REPLY_CLASSES.into_iter().zip(&self.messages),
        );
        page.counter("gateway_message_bytes_total", "Octets of complete messages.", &self.message_bytes);
        page.histogram("gateway_reply_seconds", "Time from the final dot to the reply.", &self.reply_time);
        page.counter("gateway_attempts_total", "Attempts to deliver.", &self.attempts);
        page.labelled(
            "gateway_outcomes_total",
            "Recipients by what finally became of them.",
            "outcome",
            OUTCOMES.into_iter().zip(&self.outcomes),
        );
        page.counter("gateway_notifications_total", "Notifications to senders.", &self.notifications);
        page.counter("gateway_reloads_refused_total", "Changed configurations with mistakes.", &self.reloads_refused);
        page.counter("gateway_problems_total", "Events `problem` of the log.", &self.problems);
        page.counter("gateway_log_lines_lost_total", "Log lines that nobody took in time.", &self.log_lost);
        for Counts { name, help, label, values } in counts {
            page.metric(name, if name.ends_with("_total") { "counter" } else { "gauge" }, help);
            for (word, value) in values {
                page.value(name, &format!("{{{label}=\"{word}\"}}"), *value);
            }
        }
        page.0
    }
}

/// Adds one to the counter that stands where the word does.
fn count_word(words: &[&str], counters: &[Counter], word: Option<&str>) {
    let place = words.iter().position(|known| Some(*known) == word);
    place.and_then(|place| counters.get(place)).into_iter().for_each(|counter| counter.add(1));
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.metric(name, "counter", help);
        self.value(name, "", counter.get());
    }

    fn labelled<'a>(&mut self, name: &str, help: &str, label: &str, values: impl Iterator<Item = (&'a str, &'a Counter)>) {
        self.metric(name, "counter", help);
        for (value, counter) in values {
            self.value(name, &format!("{{{label}=\"{value}\"}}"), counter.get());
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.metric(name, "histogram", help);
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let mut below = 0_u64;
        for (most, bucket) in BUCKETS_MS.iter().zip(&histogram.buckets) {
            below = below.saturating_add(bucket.get());
            self.value(&format!("{name}_bucket"), &format!("{{le=\"{}\"}}", seconds(*most)), below);
        }
        // Read last, so that no bucket exceeds it.
        let count = histogram.count.get().max(below);
        self.value(&format!("{name}_bucket"), "{le=\"+Inf\"}", count);
        let _ = writeln!(self.0, "{name}_sum {}", seconds(histogram.sum_ms.get()));
        self.value(&format!("{name}_count"), "", count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MessageId, SessionIds};
    use crate::smtp::{Reply, Status};

    #[test]
    fn limits_are_counted_under_their_names() {
        let metrics = Metrics::default();
        for (times, limit) in Limit::ALL.iter().enumerate() {
            (0..times).for_each(|_| metrics.turned_away(*limit));
        }
        let page = metrics.render(&[], &[]);
        for (times, limit) in Limit::ALL.iter().enumerate() {
            let line = format!("gateway_limit_reached_total{{limit=\"{}\"}} {times}\n", limit.name());
            assert!(page.contains(&line), "{line} in {page}");
        }
    }

    #[test]
    fn events_are_counted_and_the_page_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        let session = SessionIds::new(1).next(0);
        let message = MessageId { session, number: 1 };
        for (code, duration_ms) in [(250, 3), (250, 700), (452, 300_000), (554, 0)] {
            let reply = Reply::fixed(code, Status(2, 0, 0), "x");
            let limit = (code == 554).then_some(Limit::Hops);
            metrics.count(&Event::Replied { session, message, reply: &reply, spooled: false, limit, duration_ms });
        }
        let gauge = Gauge { name: "gateway_connections", help: "Connections now.", value: 7 };
        let page = metrics.render(&[gauge], &[]);
        for line in [
            "gateway_connections 7",
            "gateway_messages_total{reply=\"2xx\"} 2",
            "gateway_messages_total{reply=\"4xx\"} 1",
            "gateway_messages_total{reply=\"5xx\"} 1",
            "gateway_limit_reached_total{limit=\"hops\"} 1",
            "gateway_reply_seconds_bucket{le=\"0.005\"} 2",
            "gateway_reply_seconds_bucket{le=\"1.000\"} 3",
            "gateway_reply_seconds_bucket{le=\"240.000\"} 3",
            "gateway_reply_seconds_bucket{le=\"+Inf\"} 4",
            "gateway_reply_seconds_sum 300.703",
            "gateway_reply_seconds_count 4",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in {page}");
        }
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("gateway_") && value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
