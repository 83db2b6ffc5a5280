//! What happens at the limits: who is refused, what the log and the figures call it, and that it passes by itself.

use serde_json::Value;

use super::*;
use crate::telemetry::Lines;

/// Waits until the log has such an event.
async fn logged(lines: &Lines, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
    until(|| lines.events(event).iter().any(&fits)).await;
    lines.events(event).into_iter().find(&fits).unwrap()
}

fn from(address: &str) -> HashMap<IpAddr, IpAddr> {
    HashMap::from([("127.0.0.1".parse().unwrap(), address.parse().unwrap())])
}

fn counted(house: &House, limit: &str) -> String {
    let page = house.ingress.log.metrics().render(&[], &[]);
    let begin = format!("gateway_limit_reached_total{{limit=\"{limit}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&begin)).unwrap().to_owned()
}

#[tokio::test]
async fn a_flood_from_one_client_is_kept_out_with_one_line_and_counted() {
    for (limits, limit) in [
        (Limits { connections_per_address: 3, ..Limits::default() }, "connections_per_address"),
        (Limits { connections_per_network: 3, ..Limits::default() }, "connections_per_network"),
        (Limits { connections_per_minute_per_address: 3, ..Limits::default() }, "connections_per_minute_per_address"),
        (Limits { connections_per_minute_per_network: 3, ..Limits::default() }, "connections_per_minute_per_network"),
        (Limits { connections: 3, ..Limits::default() }, "connections"),
    ] {
        let lines = Lines::default();
        let house = house_with(1, limits, from("203.0.113.7"), lines.clone());
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(Client::connect(&house).await);
        }
        for _ in 0..20 {
            assert_eq!(Client::dial(&house).await.reply().await, "421", "{limit}");
        }
        let line = logged(&lines, "turned_away", |_| true).await;
        assert_eq!((&line["limit"], &line["refused"], &line["client"]), (&limit.into(), &1.into(), &"203.0.113.7".into()));
        assert_eq!(lines.events("turned_away").len(), 1, "{limit}");
        assert_eq!(counted(&house, limit), "20");
        assert_eq!(lines.events("connected").len(), 3);
    }
}

#[tokio::test]
async fn under_strain_idle_sessions_end_sooner_although_they_wait_already_and_it_passes() {
    let lines = Lines::default();
    // Nine of ten are strain; a thirtieth of 60 s is 2 s for a client with many connections.
    let limits = Limits { connections: 10, idle_timeout: Duration::from_secs(60), ..Limits::default() };
    let house = house_with(0, limits, HashMap::new(), lines.clone());
    let mut sending = Client::connect(&house).await;
    sending.begin("a@here.example").await;
    let mut waiting = Vec::new();
    for _ in 0..7 {
        waiting.push(Client::connect(&house).await);
    }
    assert_eq!(house.ingress.admission.level(), Level::Normal);
    waiting.push(Client::connect(&house).await);
    let strained = logged(&lines, "pressure", |line| line["level"] == "strained").await;
    assert_eq!((&strained["connections"], &strained["connections_max"]), (&9.into(), &10.into()));
    for client in &mut waiting {
        assert_eq!(client.reply().await, "421");
    }
    drop(waiting);
    // Nobody connects and nobody asks: it recovers.
    logged(&lines, "pressure", |line| line["level"] == "normal").await;
    assert_eq!(lines.events("pressure").len(), 2, "once for each change");
    assert_eq!(counted(&house, "idle_timeout"), "8");
    // Who was sending was left in peace.
    assert_eq!(sending.say("Subject: x\r\n\r\nbody\r\n.").await, "250");
}

#[tokio::test]
async fn under_strain_who_does_not_read_is_not_waited_for() {
    let lines = Lines::default();
    let limits = Limits { connections: 10, idle_timeout: Duration::from_secs(60), recipients: 1 << 30, ..Limits::default() };
    let house = house_with(0, limits, HashMap::new(), lines.clone());
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = Client(socket.connect(house.address).await.unwrap());
    assert_eq!(deaf.reply().await, "220");
    let (_unread, mut write) = deaf.0.split();
    let talk = async {
        write.write_all(b"EHLO c.example\r\nMAIL FROM:<s@c.example>\r\n").await.unwrap();
        while write.write_all(&b"RCPT TO:<a@here.example>\r\n".repeat(100)).await.is_ok() {}
    };
    let strain = async {
        logged(&lines, "policy", |_| true).await;
        let mut others = Vec::new();
        for _ in 0..8 {
            others.push(Client::connect(&house).await);
        }
        logged(&lines, "disconnected", |line| line["reason"] == "client does not read").await;
    };
    tokio::join!(talk, strain);
}

#[tokio::test]
async fn a_full_house_refuses_and_opens_again() {
    let lines = Lines::default();
    let house = house_with(1, Limits { connections: 4, ..Limits::default() }, HashMap::new(), lines.clone());
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::connect(&house).await);
    }
    assert_eq!(Client::dial(&house).await.reply().await, "421");
    assert_eq!((house.ingress.admission.level(), counted(&house, "connections").as_str()), (Level::Refusing, "1"));
    drop(clients);
    until(|| house.ingress.admission.total() == 0).await;
    Client::connect(&house).await;
    logged(&lines, "pressure", |line| line["level"] == "normal").await;
}

#[tokio::test]
async fn memory_that_is_nearly_gone_keeps_new_clients_out_until_it_is_back() {
    let lines = Lines::default();
    let limits = Limits { message_memory_bytes: 100_000, ..Limits::default() };
    let house = house_with(0, limits, HashMap::new(), lines.clone());
    let mut messages = house.ingress.memory.share();
    assert!(messages.resize(95_000));
    assert_eq!(Client::dial(&house).await.reply().await, "421");
    assert_eq!(counted(&house, "pressure"), "1");
    logged(&lines, "pressure", |line| line["level"] == "refusing" && line["message_memory_bytes"] == 95_000).await;
    assert!(messages.resize(79_000));
    Client::connect(&house).await;
    logged(&lines, "pressure", |line| line["level"] == "strained").await;
    assert!(messages.resize(59_000));
    logged(&lines, "pressure", |line| line["level"] == "normal").await;
}

#[tokio::test]
async fn who_tries_out_addresses_is_sent_away_and_the_log_names_the_limit() {
    let lines = Lines::default();
    let house = house_with(1, Limits { bad_recipients: 3, ..Limits::default() }, HashMap::new(), lines.clone());
    let mut client = Client::connect(&house).await;
    for (line, code) in [
        ("EHLO c.example", "250"),
        ("MAIL FROM:<s@c.example>", "250"),
        ("RCPT TO:<bob@here.example>", "550"),
        ("RCPT TO:<a@there.example>", "550"),
        ("RCPT TO:<b@there.example>", "550"),
    ] {
        assert_eq!(client.say(line).await, code, "{line}");
    }
    assert_eq!(client.reply().await, "421");
    let refused = logged(&lines, "refused", |line| line["limit"] == "bad_recipients").await;
    assert_eq!((&refused["reply"]["code"], &refused["stage"]), (&421.into(), &"session".into()));
    assert_eq!(counted(&house, "bad_recipients"), "1");
}

#[tokio::test]
async fn other_limits_hold_for_new_connections_and_old_ones_keep_theirs() {
    let limits = Limits { errors: 2, ..Limits::default() };
    let house = house_with(1, limits, from("203.0.113.7"), std::io::sink());
    let mut old = Client::connect(&house).await;
    house.ingress.set_limits(Limits { connections_per_address: 1, errors: 9, message_memory_bytes: 7, ..limits });
    assert_eq!(Client::dial(&house).await.reply().await, "421");
    assert_eq!(house.ingress.memory.max(), 7);
    assert_eq!(old.say("NONSENSE").await, "500");
    assert_eq!(old.say("NONSENSE").await, "500");
    assert_eq!(old.reply().await, "421");
}
