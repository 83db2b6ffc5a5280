//! Judging takes bounded time, whoever is asked.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::setting;
use crate::config::DeliveryMode;
use crate::dispatch::judge::judge;
use crate::examination::{Examine, Subject};
use crate::limits::LOOK_UPS_PATIENCE;
use crate::message::{Findings, Need, Original};

/// Never comes to an end.
#[derive(Debug)]
struct Endless;

impl Examine for Endless {
    fn examine<'a>(
        &'a self,
        _: &'a BTreeSet<Need>,
        _: &'a Subject<'a>,
        _: &'a mut Findings,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn no_client_waits_for_ever() {
    let snapshot = Arc::new(setting::usual());
    let mut endpoint = setting::endpoint(setting::rule_set(), DeliveryMode::Inline);
    Arc::get_mut(&mut endpoint).expect("nobody else has it").fields.authentication_results = true;
    let mut incoming = setting::incoming(1, "s@sender.example", &["ok@here.example"], &snapshot, &endpoint);
    incoming.examiner = Arc::new(Endless);
    let original = std::sync::Arc::new(Original::of(incoming.data.clone()).unwrap());
    let began = Instant::now();
    let failure = judge(&mut incoming, &original).await.unwrap_err();
    assert_eq!((failure.reply.code, began.elapsed()), (451, LOOK_UPS_PATIENCE));
    assert!(failure.detail.contains("within"), "{}", failure.detail);
}
