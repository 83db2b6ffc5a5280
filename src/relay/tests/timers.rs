//! Each stage of a session gives up at its own limit (RFC 5321 §4.5.3.2), and what comes of it is right.
//!
//! The clock stands still only while nothing but a timer can happen: what the hop has heard says when that is.

use super::*;

/// Margin for what a slow machine does between the start of a timer and the moment at which the clock is stopped.
const MARGIN: Duration = Duration::from_secs(5);

/// Lets the time of a limit pass while a delivery waits: it is still there before its end, and over after it.
async fn wait_out(task: tokio::task::JoinHandle<DeliveryReport>, limit: Duration, what: &str) -> DeliveryReport {
    tokio::time::pause();
    tokio::time::advance(limit - MARGIN).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!task.is_finished(), "{what}: given up too early");
    tokio::time::advance(MARGIN).await;
    tokio::time::resume();
    tokio::time::timeout(PLENTY, task).await.unwrap_or_else(|_| panic!("{what}: not given up")).unwrap()
}

fn start(relays: &Relays, config: RelayConfig, message: Delivery) -> tokio::task::JoinHandle<DeliveryReport> {
    let relays = relays.clone();
    tokio::spawn(async move { relays.deliver(&Arc::new(config), &message, Instant::now() + Duration::from_secs(86_400)).await })
}

#[tokio::test]
async fn each_stage_has_its_own_limit() {
    for (stage, limit) in [
        ("CONNECT", limits::RELAY_COMMAND_TIMEOUT),
        ("EHLO", limits::RELAY_COMMAND_TIMEOUT),
        ("MAIL", limits::RELAY_COMMAND_TIMEOUT),
        ("RCPT", limits::RELAY_COMMAND_TIMEOUT),
        ("DATA", limits::RELAY_DATA_TIMEOUT),
        (".", limits::RELAY_FINAL_DOT_TIMEOUT),
    ] {
        let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let heard = Arc::clone(&asked);
        let rule = move |command: &str, _: usize| {
            let here = command.starts_with(stage);
            heard.fetch_or(here, std::sync::atomic::Ordering::SeqCst);
            here.then_some(Act::Silence)
        };
        let hop = Hop::start(Script::rule(rule).keywords(&[])).await;
        let task = start(&relays(), config(&hop), delivery(&["x@y.example", "z@y.example"]));
        until(stage, || asked.load(std::sync::atomic::Ordering::SeqCst)).await;
        // What was said before has been read by now.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let report = wait_out(task, limit, stage).await;
        assert_eq!(short(&report), ["451 4.4.2 later"; 2], "{stage}");
        assert_eq!(detail(&report).contains("twice"), stage == ".", "{stage}: {}", detail(&report));
    }
}

#[tokio::test]
async fn a_reused_connection_that_is_silent_costs_its_time_and_nothing_else() {
    let mails = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = Arc::clone(&mails);
    let rule = move |command: &str, connection: usize| {
        let number = if command.starts_with("MAIL") { seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) } else { 0 };
        (connection == 1 && number == 1).then_some(Act::Silence)
    };
    let hop = Hop::start(Script::rule(rule)).await;
    let relays = relays();
    assert_eq!(short(&deliver(&relays, config(&hop), &["x@y.example"]).await), ["250"]);
    let task = start(&relays, config(&hop), delivery(&["x@y.example"]));
    until("the second MAIL", || mails.load(std::sync::atomic::Ordering::SeqCst) == 2).await;
    let report = wait_out(task, limits::RELAY_COMMAND_TIMEOUT, "MAIL").await;
    assert_eq!(short(&report), ["250"]);
    assert_eq!(report.attempts.iter().map(|attempt| attempt.reused).collect::<Vec<_>>(), [true, false]);
}
