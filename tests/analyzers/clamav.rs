//! The real clamd.

use crate::daemons::{self, MARKER};
use crate::{Mail, PLAIN, analyzers, no_dns, shown};

#[tokio::test]
async fn clamd_finds_what_it_has_a_signature_for() {
    let clamd = daemons::clamd();
    let dns = no_dns();
    for address in
        [clamd.address.to_string(), format!("unix:{}", clamd.path("clamd.ctl").display()), format!("localhost:{}", clamd.address.port())]
    {
        let scanner = analyzers(&format!("  a: {{ type: clamav, address: \"{address}\", timeout: 60s }}"));
        let clean = Mail::with_message(PLAIN).ask(&scanner, &dns).await.unwrap();
        assert_eq!(shown(&clean), "infected=false", "{address}");
        // Some chunks behind the beginning.
        let filler = "no harm in this line\r\n".repeat(20_000);
        let infected = Mail::with_message(format!("{PLAIN}{filler}{MARKER}\r\n")).ask(&scanner, &dns).await.unwrap();
        assert_eq!(shown(&infected), "infected=true signature=[\"Own.Test.Marker.UNOFFICIAL\"]", "{address}");
        assert_eq!(shown(&Mail::with_message("").ask(&scanner, &dns).await.unwrap()), "infected=false", "{address}");
    }
}

#[tokio::test]
async fn what_clamd_has_not_seen_whole_is_unknown() {
    let clamd = daemons::clamd();
    let dns = no_dns();
    // clamd takes 1 MiB, and says so in the middle of 20.
    let scanner = analyzers(&format!("  a: {{ type: clamav, address: \"{}\", timeout: 60s }}", clamd.address));
    let large = Mail::with_message(format!("{PLAIN}{}{MARKER}", "\r\n".repeat(10 << 20)));
    let why = large.ask(&scanner, &dns).await.unwrap_err();
    assert_eq!(why, "clamd: INSTREAM size limit exceeded. ERROR");
    let bounded = analyzers(&format!("  a: {{ type: clamav, address: \"{}\", max_message_size: 100KiB }}", clamd.address));
    let why = large.ask(&bounded, &dns).await.unwrap_err();
    assert!(why.starts_with("the message has ") && why.ends_with("`max_message_size` is 102400"), "{why}");
}

#[tokio::test]
async fn many_at_a_time_wait_for_their_turn() {
    let clamd = daemons::clamd();
    let scanner = analyzers(&format!("  a: {{ type: clamav, address: \"{}\", timeout: 60s, connections: 2 }}", clamd.address));
    let (scanner, dns) = (std::sync::Arc::new(scanner), no_dns());
    let asked: Vec<_> = (0..20)
        .map(|number| {
            let (scanner, dns) = (std::sync::Arc::clone(&scanner), dns.clone());
            tokio::spawn(async move {
                let marker = if number % 2 == 0 { MARKER } else { "" };
                shown(&Mail::with_message(format!("{PLAIN}{marker}\r\n")).ask(&scanner, &dns).await.unwrap())
            })
        })
        .collect();
    for (number, answer) in asked.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().starts_with("infected=true"), number % 2 == 0, "{number}");
    }
}
