//! Gates in front of scripted next hops: what connections they see.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// Refuses the gateway at RCPT until it is mended.
fn unmended(mended: &Arc<AtomicBool>) -> Script {
    let mended = Arc::clone(mended);
    Script::rule(move |command, _| {
        let refuses = command.starts_with("RCPT") && !mended.load(Ordering::Relaxed);
        refuses.then_some(Act::Say("550 5.7.64 TenantAttribution; Relay Access Denied"))
    })
}

#[tokio::test]
async fn a_held_relay_sees_no_connection_until_it_is_released_and_shows_the_reply() {
    let mended = Arc::new(AtomicBool::new(false));
    let hop = Hop::start(unmended(&mended)).await;
    let relays = relays();
    let config = config(&hop);
    let report = deliver(&relays, config.clone(), &["x@y.example"]).await;
    assert_eq!(short(&report), ["451 4.7.64 later"]);
    assert_eq!(relays.readiness(&config), Readiness::Held);
    let connections = hop.log().connections;
    for _ in 0..10 {
        let report = deliver(&relays, config.clone(), &["x@y.example"]).await;
        assert_eq!((short(&report), report.attempts.len()), (vec!["451 4.3.2 later".to_owned()], 0));
        assert!(detail(&report).contains("550 5.7.64 TenantAttribution; Relay Access Denied"), "{}", detail(&report));
    }
    assert_eq!(hop.log().connections, connections);
    let standing = relays.standings().pop().unwrap();
    assert_eq!((standing.readiness, &*standing.relay), (Readiness::Held, "relay"));
    assert_eq!(standing.reply.unwrap().to_string(), "550 5.7.64 TenantAttribution; Relay Access Denied");
    assert!(standing.reason.contains("no connector matches"), "{}", standing.reason);
    mended.store(true, Ordering::Relaxed);
    relays.set_held("relay", false).await;
    assert_eq!(short(&deliver(&relays, config.clone(), &["x@y.example"]).await), ["250"]);
    assert_eq!(relays.readiness(&config), Readiness::Open { width: 2 });
}

#[tokio::test]
async fn a_login_that_is_refused_is_not_tried_again_by_the_next_message() {
    let hop = Hop::start(Script::default().keywords(&[])).await;
    let secret = crate::secrets::SecretRef::Environment("GATEWAY_TEST_NO_SUCH_SECRET".into());
    let config = RelayConfig { auth: Some(Auth::Password(secret)), ..config(&hop) };
    let relays = relays();
    assert_eq!(short(&deliver(&relays, config.clone(), &["x@y.example"]).await), ["451 4.7.0 later"]);
    assert_eq!(relays.readiness(&config), Readiness::Held);
    let connections = hop.log().connections;
    deliver(&relays, config, &["x@y.example"]).await;
    assert_eq!(hop.log().connections, connections);
}

#[tokio::test]
async fn a_relay_with_another_host_that_takes_the_message_is_not_held() {
    let refusing = Hop::start_at("127.0.0.2:0", Script::rule(|command, _| (command == "CONNECT").then_some(Act::Say("554 go away")))).await;
    let address = format!("127.0.0.1:{}", refusing.address.port());
    let taking = Hop::start_at(&address, Script::default()).await;
    let config = RelayConfig { route: at(["127.0.0.2", "127.0.0.1"]), ..config(&taking) };
    let relays = relays();
    assert_eq!(short(&deliver(&relays, config.clone(), &["x@y.example"]).await), ["250"]);
    assert!(matches!(relays.readiness(&config), Readiness::Open { .. }));
}

#[tokio::test]
async fn blocking_by_the_tenants_edge_is_a_bounce_where_others_of_the_domain_are_known() {
    let hop = Hop::start(Script::rule(|command, _| {
        command.starts_with("RCPT TO:<no@").then_some(Act::Say("550 5.4.1 Recipient address rejected: Access denied. AS(201806281)"))
    }))
    .await;
    let config = RelayConfig { provider: Provider::Microsoft, ..config(&hop) };
    // In the same transaction, then in one before, then nobody's.
    let relays = relays();
    assert_eq!(short(&deliver(&relays, config.clone(), &["no@y.example", "yes@y.example"]).await), ["550 5.4.1 never", "250"]);
    assert_eq!(short(&deliver(&relays, config.clone(), &["no@y.example"]).await), ["550 5.4.1 never"]);
    assert!(matches!(relays.readiness(&config), Readiness::Open { .. }));
    assert_eq!(short(&deliver(&relays, config.clone(), &["no@z.example"]).await), ["451 4.4.1 later"]);
    assert_eq!(relays.readiness(&config), Readiness::Held);
}

#[tokio::test]
async fn a_minute_that_is_used_up_costs_no_connection() {
    let hop = Hop::start(Script::default()).await;
    let mut config = config(&hop);
    config.limits.messages_per_minute = Some(2);
    config.limits.recipients_per_message = 1;
    let relays = relays();
    let report = deliver(&relays, config.clone(), &["a@y.example", "b@y.example", "c@y.example"]).await;
    assert_eq!(short(&report), ["250", "250", "451 4.3.2 later"]);
    assert_eq!((hop.count("MAIL"), hop.log().connections), (2, 1));
    assert!(matches!(relays.readiness(&config), Readiness::Waits { .. }));
    let Outcome::Failed(failure) = &report.outcomes[2] else { panic!() };
    assert!(failure.wait.is_some_and(|wait| wait <= Duration::from_millis(60_250)), "{failure:?}");
}

#[tokio::test]
async fn refused_recipients_do_not_count_for_the_day_and_no_message_is_too_large_for_it() {
    let hop = Hop::start(Script::rule(|command, _| command.starts_with("RCPT TO:<no").then_some(Act::Say("550 5.1.1 nobody")))).await;
    let mut config = config(&hop);
    config.limits.recipients_per_day = Some(3);
    let relays = relays();
    assert_eq!(short(&deliver(&relays, config.clone(), &["no1@y.example", "no2@y.example"]).await), ["550 5.1.1 never"; 2]);
    let report = deliver(&relays, config.clone(), &["a@y.example", "b@y.example", "c@y.example", "d@y.example"]).await;
    assert_eq!(short(&report), ["250", "250", "250", "451 4.3.2 later"]);
    assert!(matches!(relays.readiness(&config), Readiness::Waits { .. }));
}

#[tokio::test]
async fn what_two_sides_of_a_421_mean() {
    let hop = Hop::start(Script::rule(|command, _| (command == "CONNECT").then_some(Act::Say("421 4.7.0 slower")))).await;
    let config = with_connections(config(&hop), 8);
    let relays = relays();
    deliver(&relays, config.clone(), &["x@y.example"]).await;
    assert_eq!(relays.readiness(&config), Readiness::Open { width: 4 });
    // An idle connection that ends so was idle.
    let mails = Arc::new(AtomicUsize::new(0));
    let hop = Hop::start(Script::rule(move |command, _| {
        let is_second = command.starts_with("MAIL") && mails.fetch_add(1, Ordering::Relaxed) == 1;
        is_second.then_some(Act::SayAndClose("421 4.4.2 idle"))
    }))
    .await;
    let config = RelayConfig { name: "idle".into(), port: hop.address.port(), ..config };
    for _ in 0..2 {
        assert_eq!(short(&deliver(&relays, config.clone(), &["x@y.example"]).await), ["250"]);
    }
    assert_eq!(hop.count("MAIL"), 3);
    assert_eq!(relays.readiness(&config), Readiness::Open { width: 8 });
}
