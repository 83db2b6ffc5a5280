//! A delivery, from its division into transactions to one outcome for each recipient.
//!
//! - Failover: no connection, no TLS, a refused greeting, a lost session, 421, or a 4xx to MAIL or DATA try the next address, one of the
//!   other family first.
//!   What is said about a single recipient, every 5xx after the greeting, and everything after the final dot is final.
//! - A pooled connection that breaks before the final dot costs nothing: the message goes on over a new one.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connect::{Connect, ConnectError};
use super::connection::{Connection, Peer, Transacted};
use super::gate::{Gate, Pass};
use super::hosts::{Candidate, Candidates};
use super::pool::Pool;
use super::race::{Finish, race};
use super::replies::{self, Meaning, Said};
use super::{Accepted, Attempt, Delivery, DeliveryReport, Inner, Outcome, failures, groups};
use crate::blocks;
use crate::failure::{Failure, Side};
use crate::limits;
use crate::smtp::{Recipient, Reply, RequireTls, Stage, Status, Transaction, Verdict};

pub(super) async fn deliver(inner: &Inner, pool: &Arc<Pool>, gate: &Arc<Gate>, delivery: &Delivery, deadline: Instant) -> DeliveryReport {
    let started = Instant::now();
    let mut run = Run::new(inner, pool, gate, delivery, deadline);
    run.finish().await;
    let late = Arc::new(failures::too_slow("the delivery", started.elapsed()));
    DeliveryReport {
        outcomes: run.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Outcome::Failed(Arc::clone(&late)))).collect(),
        attempts: run.attempts,
    }
}

pub(super) struct Run<'a> {
    inner: &'a Inner,
    pool: &'a Arc<Pool>,
    gate: &'a Arc<Gate>,
    /// The right to the transaction under way.
    pass: Option<Pass>,
    delivery: &'a Delivery,
    deadline: Instant,
    /// `None` is not decided yet.
    pub(super) outcomes: Vec<Option<Outcome>>,
    attempts: Vec<Attempt>,
    /// The one recipient is only asked for.
    pub(super) asks: bool,
    /// What was said of it.
    pub(super) said: Option<Verdict>,
}

/// What a transaction leaves to do.
enum Rest {
    /// Recipients that the next hop wants to see in another transaction; everybody else has an outcome.
    Split(Vec<usize>),
    /// These have no outcome, and another address may take them.
    TryNext(Vec<usize>, Arc<Failure>),
}

impl<'a> Run<'a> {
    pub(super) fn new(inner: &'a Inner, pool: &'a Arc<Pool>, gate: &'a Arc<Gate>, delivery: &'a Delivery, deadline: Instant) -> Self {
        let outcomes = vec![None; delivery.recipients.len()];
        Self { inner, pool, gate, pass: None, delivery, deadline, outcomes, attempts: Vec::new(), asks: false, said: None }
    }

    /// Every wait inside ends at the deadline by itself, with a better word for it; this is the wall behind them.
    pub(super) async fn finish(&mut self) {
        let _ = timeout_at(self.deadline, self.all()).await;
    }
}

impl Run<'_> {
    async fn all(&mut self) {
        let unsendable = match blocks::line_ends_are_crlf(&self.delivery.content).await {
            Ok(true) => None,
            Ok(false) => Some(local(failures::BARE_LINE_ENDS)),
            Err(error) => Some(failures::unread(error)),
        };
        if let Some(failure) = unsendable {
            let everybody: Vec<usize> = (0..self.outcomes.len()).collect();
            self.fail(&everybody, &Arc::new(failure));
            return;
        }
        let limits = &self.pool.config.limits;
        let octets = u64::try_from(self.delivery.content.len()).unwrap_or(u64::MAX);
        if let Some(limit) = limits.message_bytes.filter(|limit| octets > *limit) {
            let everybody: Vec<usize> = (0..self.outcomes.len()).collect();
            self.fail(&everybody, &Arc::new(failures::too_large(octets, limit)));
            return;
        }
        let groups::Division { groups, unsendable } = groups::divide(self.delivery, limits);
        self.fail(&unsendable, &Arc::new(local(failures::BAD_ADDRESS)));
        for group in groups {
            if let Err(failure) = self.group(group).await {
                // No connection: the other groups would wait for the same.
                let open: Vec<usize> = (0..self.outcomes.len()).filter(|at| matches!(self.outcomes.get(*at), Some(None))).collect();
                self.fail(&open, &failure);
                return;
            }
        }
    }

    /// Transactions for one group until nobody of it is put off to another one; an error is a connection that cannot be had.
    async fn group(&mut self, mut pending: Vec<usize>) -> Result<(), Arc<Failure>> {
        for _ in 0..limits::RELAY_SPLITS_MAX {
            // Those who are put off have an outcome already, in case that there is no further transaction.
            pending = self.transaction(pending).await?;
            if pending.is_empty() {
                return Ok(());
            }
        }
        let open: Vec<usize> = pending.into_iter().filter(|at| matches!(self.outcomes.get(*at), Some(None))).collect();
        self.fail(&open, &Arc::new(failures::busy("the next hop takes fewer recipients in a transaction than there is time for")));
        Ok(())
    }

    /// One transaction, over as many connections as it takes; returns the recipients for the next one.
    async fn transaction(&mut self, mut pending: Vec<usize>) -> Result<Vec<usize>, Arc<Failure>> {
        // The place of the transaction before is free first: there may be only one.
        self.pass = None;
        self.pass = Some(self.gate.enter(&self.pool.config, self.delivery, pending.len(), self.deadline).await?);
        let Some(_slot) = self.pool.slot(self.deadline).await else {
            return Err(Arc::new(failures::busy("no connection became free in time")));
        };
        let (require_tls, smtputf8) = (self.delivery.must_have_tls(), self.needs_smtputf8(&pending));
        let offers_enough = |connection: &Connection| {
            (!require_tls || connection.is_for_require_tls()) && (!smtputf8 || connection.client.extensions().smtputf8)
        };
        if let Some(connection) = self.pool.take(offers_enough).await {
            match self.attempt(connection, pending, Instant::now(), true).await {
                Rest::Split(rest) => return Ok(rest),
                Rest::TryNext(open, _) => pending = open,
            }
        }
        // A box, for most transactions have a connection and need none of its state.
        Box::pin(self.over_new_connections(pending)).await
    }

    /// The same over connections that are opened for it, one after the other.
    async fn over_new_connections(&mut self, mut pending: Vec<usize>) -> Result<Vec<usize>, Arc<Failure>> {
        let pool = Arc::clone(self.pool);
        let mut candidates = Candidates::new(self.inner, &pool);
        let mut last: Option<Arc<Failure>> = None;
        let mut talked = false;
        while let Some(candidate) = candidates.next(self.deadline).await {
            let started = Instant::now();
            let failure = match candidate {
                Err((host, failure)) => {
                    let failure = Arc::new(failure);
                    self.note(host, None, pending.len(), started, Err(Arc::clone(&failure)));
                    failure
                }
                Ok(candidate) => match self.connect(&mut candidates, candidate, pending.len(), started).await {
                    Ok(connection) => {
                        talked = true;
                        let address = connection.peer.address;
                        match self.attempt(connection, pending, started, false).await {
                            Rest::Split(rest) => return Ok(rest),
                            Rest::TryNext(open, failure) => {
                                pending = open;
                                address.into_iter().for_each(|address| candidates.prefer_other_family(address.ip()));
                                failure
                            }
                        }
                    }
                    Err((failure, true)) => failure,
                    Err((failure, false)) => return Err(failure),
                },
            };
            // A host that lacks an extension is no verdict on the others: while one of them may still take it, it is tried again.
            last = match last {
                Some(last) if last.is_temporary() && !failure.is_temporary() => Some(last),
                _ => Some(failure),
            };
            if Instant::now() >= self.deadline {
                break;
            }
        }
        let failure = last.unwrap_or_else(|| Arc::new(failures::settings("the relay has no host")));
        if !talked {
            return Err(failure);
        }
        self.fail(&pending, &failure);
        self.uncount(pending.len());
        Ok(Vec::new())
    }

    /// So many recipients were not sent to, for sure.
    fn uncount(&mut self, recipients: usize) {
        if let Some(pass) = &mut self.pass {
            pass.refused(recipients);
        }
    }

    /// A session at one place, or with whoever of its host's addresses connects first; the flag says whether another is worth a try.
    async fn connect(
        &mut self,
        candidates: &mut Candidates<'_>,
        first: Candidate,
        recipients: usize,
        started: Instant,
    ) -> Result<Connection, (Arc<Failure>, bool)> {
        let (candidate, tcp) = self.race(candidates, first, recipients, started).await.map_err(|failure| (failure, true))?;
        // Held while the place is tried.
        let _turn = match self.pool.health.turn(&candidate.place, self.deadline).await {
            Ok(turn) => turn,
            Err(failure) => {
                self.note_failed(&candidate, recipients, started, &failure);
                return Err((failure, true));
            }
        };
        let connect = Connect {
            inner: self.inner,
            pool: self.pool,
            candidate: &candidate,
            require_tls: self.delivery.must_have_tls(),
            deadline: self.deadline,
        };
        let (failure, try_next) = match connect.open(tcp).await {
            Ok(connection) => {
                self.pool.health.succeeded(&candidate.place);
                return Ok(connection);
            }
            Err(ConnectError::TryNext(failure)) => (self.weighed(failure, candidate.place.address()), true),
            Err(ConnectError::Stop(failure)) => (failure, false),
        };
        let failure = Arc::new(failure);
        // What one message asks for says little about the place for others.
        if try_next {
            self.remember(&candidate, &failure);
        }
        self.note_failed(&candidate, recipients, started, &failure);
        Err((failure, try_next))
    }

    /// The place to go on with, and the connection if it came out of a race.
    async fn race(
        &mut self,
        candidates: &mut Candidates<'_>,
        first: Candidate,
        recipients: usize,
        started: Instant,
    ) -> Result<(Candidate, Option<TcpStream>), Arc<Failure>> {
        let rivals = candidates.rivals(&first);
        if rivals.is_empty() {
            return Ok((first, None));
        }
        let racers: Vec<Candidate> = std::iter::once(first).chain(rivals).collect();
        let addresses: Vec<SocketAddr> = racers.iter().filter_map(|racer| racer.place.address()).collect();
        let Finish { winner, failed } = race(&addresses, &self.pool.config.source_ips, self.deadline).await;
        let mut last = None;
        for (at, failure) in &failed {
            let failure = Arc::new(failure.clone());
            if let Some(loser) = racers.get(*at) {
                self.remember(loser, &failure);
                self.note_failed(loser, recipients, started, &failure);
            }
            last = Some(failure);
        }
        let place = winner.as_ref().map(|(at, _)| *at);
        let found = place.and_then(|at| racers.get(at).cloned());
        candidates.after_race(racers, |at| place == Some(at) || failed.iter().any(|(failed, _)| *failed == at));
        match (found, winner) {
            (Some(candidate), Some((_, stream))) => Ok((candidate, Some(stream))),
            _ => Err(last.unwrap_or_else(|| Arc::new(failures::unreachable("no address is left")))),
        }
    }

    /// What ran into the deadline says little about the place.
    fn remember(&self, candidate: &Candidate, failure: &Arc<Failure>) {
        if failure.is_temporary() && Instant::now() < self.deadline {
            self.pool.health.failed(&candidate.place, failure);
        }
    }

    fn note_failed(&mut self, candidate: &Candidate, recipients: usize, started: Instant, failure: &Arc<Failure>) {
        let peer = Peer { label: candidate.label(), address: candidate.place.address(), tls: None, verified: false };
        self.note(Arc::clone(&peer.label), Some((&peer, false)), recipients, started, Err(Arc::clone(failure)));
    }

    /// A failure to connect, by what the next hop's words mean.
    fn weighed(&self, failure: Failure, address: Option<SocketAddr>) -> Failure {
        let Some(reply) = failure.said.clone() else { return failure };
        let meaning = replies::meaning(&Said::new(&self.pool.config, Stage::Greeting, &reply, address, false));
        self.gate.warn(&meaning, &reply);
        failures::weighed(failure, &meaning)
    }

    /// One transaction on one connection.
    async fn attempt(&mut self, mut connection: Connection, pending: Vec<usize>, started: Instant, reused: bool) -> Rest {
        if let Some(pass) = &mut self.pass
            && !pass.begin().await
        {
            self.pool.put(connection);
            self.fail(&pending, &Arc::new(failures::no_room(limits::RELAY_MINUTE_SLOT)));
            self.uncount(pending.len());
            return Rest::Split(Vec::new());
        }
        let (pending, later) = groups::within(self.delivery, pending, connection.client.extensions());
        let transaction = self.envelope(&pending, &connection.peer);
        let content = &self.delivery.content;
        let transacted = match self.asks {
            true => connection.verify(&transaction, self.deadline).await,
            false => connection.transact(&transaction, content, self.deadline).await,
        };
        let peer = connection.peer.clone();
        self.pool.put_or_drop(connection, transacted.broken.is_some());
        if let ([verdict @ (Verdict::RecipientAccepted | Verdict::Refused(Stage::Rcpt(_), _))], true) =
            (&transacted.verdicts[..], self.asks)
        {
            self.said = Some(verdict.clone());
            return Rest::Split(Vec::new());
        }
        let (rest, result) = self.judge(&pending, transacted, &peer, reused);
        self.note(Arc::clone(&peer.label), Some((&peer, reused)), pending.len(), started, result);
        match rest {
            Rest::Split(rest) => {
                // They come with a transaction of their own.
                self.uncount(later.len());
                Rest::Split(rest.into_iter().chain(later).collect())
            }
            Rest::TryNext(open, failure) => Rest::TryNext(open.into_iter().chain(later).collect(), failure),
        }
    }

    fn envelope(&self, pending: &[usize], peer: &Peer) -> Transaction<'_> {
        let delivery = self.delivery;
        let recipients: Vec<&Recipient> = pending.iter().filter_map(|at| delivery.recipients.get(*at)).collect();
        Transaction {
            reverse_path: &delivery.reverse_path,
            content_bytes: u64::try_from(delivery.content.len()).unwrap_or(u64::MAX),
            eight_bit: delivery.eight_bit,
            smtputf8: self.needs_smtputf8(pending),
            require_tls: match (delivery.must_have_tls(), peer.tls) {
                (true, _) => RequireTls::Must,
                (false, Some(_)) if delivery.terms.require_tls => RequireTls::IfOffered,
                (false, _) => RequireTls::No,
            },
            ret: delivery.terms.ret,
            envelope_id: delivery.terms.envelope_id.as_ref(),
            chunking: self.pool.config.chunking,
            recipients,
        }
    }

    fn needs_smtputf8(&self, pending: &[usize]) -> bool {
        let delivery = self.delivery;
        let mut recipients = pending.iter().filter_map(|at| delivery.recipients.get(*at));
        delivery.smtputf8 || !delivery.reverse_path.as_str().is_ascii() || recipients.any(|recipient| !recipient.address.is_ascii())
    }

    /// Turns verdicts into outcomes.
    fn judge(&mut self, pending: &[usize], transacted: Transacted, peer: &Peer, reused: bool) -> (Rest, Result<Reply, Arc<Failure>>) {
        let Transacted { verdicts, broken, dot_sent, dsn } = transacted;
        let broken = broken.map(|failure| Arc::new(if dot_sent { failures::after_final_dot(failure) } else { failure }));
        let mut sorted = Sorted::default();
        let mut made: HashMap<(String, String, bool), (Arc<Failure>, Meaning)> = HashMap::new();
        let accepted = self.domains_accepted(pending, &verdicts);
        for (at, verdict) in pending.iter().copied().zip(verdicts) {
            match verdict {
                Verdict::Taken(reply) => sorted.taken.push((at, reply)),
                Verdict::Refused(stage, reply) => {
                    // Many recipients are often refused with one text.
                    let domain_accepted = self.domain(at).is_some_and(|domain| accepted.contains(&domain) || self.gate.knows(&domain));
                    let key = (stage.to_string(), reply.to_string(), domain_accepted);
                    let (failure, meaning) = made.entry(key).or_insert_with(|| {
                        let said = Said::new(&self.pool.config, stage, &reply, peer.address, peer.tls.is_some());
                        let meaning = replies::meaning(&Said { domain_accepted, recipients: pending.len(), ..said });
                        self.gate.warn(&meaning, &reply);
                        (Arc::new(failures::refused(stage, &reply, &meaning)), meaning)
                    });
                    let (failure, split) = (Arc::clone(failure), meaning.split);
                    let elsewhere = meaning.elsewhere || may_do_elsewhere(stage, &reply, reused);
                    if elsewhere && !dot_sent { sorted.open.push((at, failure)) } else { sorted.refused.push((at, split, failure)) }
                }
                Verdict::Pending | Verdict::RecipientAccepted => {
                    let failure = broken.clone().unwrap_or_else(|| Arc::new(failures::connection_lost("no verdict")));
                    if dot_sent { sorted.lost.push((at, failure)) } else { sorted.open.push((at, failure)) }
                }
            }
        }
        let result = sorted.result();
        (self.settle(sorted, peer, dsn), result)
    }

    fn settle(&mut self, sorted: Sorted, peer: &Peer, dsn: bool) -> Rest {
        let anybody_accepted = !sorted.taken.is_empty();
        // One for all of a transaction; in LMTP each recipient has a reply of its own, and equal ones follow each other.
        let mut last: Option<Arc<Accepted>> = None;
        for (at, reply) in sorted.taken {
            let accepted = last
                .take()
                .filter(|accepted| accepted.reply == reply)
                .unwrap_or_else(|| Arc::new(Accepted { reply, host: Arc::clone(&peer.label), tls: peer.tls, dsn, _made_here: () }));
            self.set(at, Outcome::Delivered(Arc::clone(&accepted)));
            last = Some(accepted);
        }
        let mut split = Vec::new();
        self.uncount(sorted.refused.len());
        for (at, for_another, failure) in sorted.refused {
            self.fail(&[at], &failure);
            if anybody_accepted && for_another {
                split.push(at);
            }
        }
        for (at, failure) in sorted.lost {
            self.fail(&[at], &failure);
        }
        match sorted.open.first() {
            Some((_, failure)) => Rest::TryNext(sorted.open.iter().map(|(at, _)| *at).collect(), Arc::clone(failure)),
            None => Rest::Split(split),
        }
    }

    /// The domains, in lower case, of those whose recipients were accepted in this very transaction.
    fn domains_accepted(&self, pending: &[usize], verdicts: &[Verdict]) -> HashSet<String> {
        let is_accepted = |verdict: &Verdict| matches!(verdict, Verdict::Taken(_) | Verdict::RecipientAccepted);
        pending.iter().zip(verdicts).filter(|(_, verdict)| is_accepted(verdict)).filter_map(|(at, _)| self.domain(*at)).collect()
    }

    fn domain(&self, at: usize) -> Option<String> {
        self.delivery.recipients.get(at).map(|recipient| recipient.address.domain().to_ascii_lowercase())
    }

    fn set(&mut self, at: usize, outcome: Outcome) {
        if let Some(place) = self.outcomes.get_mut(at) {
            *place = Some(outcome);
        }
    }

    fn fail(&mut self, places: &[usize], failure: &Arc<Failure>) {
        for at in places {
            self.set(*at, Outcome::Failed(Arc::clone(failure)));
        }
    }

    fn note(
        &mut self,
        host: Arc<str>,
        peer: Option<(&Peer, bool)>,
        recipients: usize,
        started: Instant,
        result: Result<Reply, Arc<Failure>>,
    ) {
        self.attempts.push(Attempt {
            host,
            address: peer.and_then(|(peer, _)| peer.address),
            tls: peer.and_then(|(peer, _)| peer.tls),
            reused: peer.is_some_and(|(_, reused)| reused),
            recipients,
            result,
            duration: started.elapsed(),
        });
    }
}

/// The recipients of one transaction by what became of them.
#[derive(Default)]
struct Sorted {
    taken: Vec<(usize, Reply)>,
    /// The flag: for another transaction, if anybody was accepted in this one.
    refused: Vec<(usize, bool, Arc<Failure>)>,
    /// The final dot was sent and no reply came.
    lost: Vec<(usize, Arc<Failure>)>,
    /// Another address may take them.
    open: Vec<(usize, Arc<Failure>)>,
}

impl Sorted {
    /// The attempt in one word, for the log.
    fn result(&self) -> Result<Reply, Arc<Failure>> {
        if let Some((_, reply)) = self.taken.first() {
            return Ok(reply.clone());
        }
        let refused = self.refused.iter().map(|(_, _, failure)| failure);
        let others = self.lost.iter().chain(&self.open).map(|(_, failure)| failure);
        let none = || Arc::new(failures::connection_lost("a transaction without recipients"));
        Err(others.chain(refused).next().cloned().unwrap_or_else(none))
    }
}

/// Whether a refusal is about this host at this moment, not about the message. On a pooled connection only 421 counts: it is
/// what an idle one gets when its time is over. Another host may offer what this one lacks.
fn may_do_elsewhere(stage: Stage, reply: &Reply, reused: bool) -> bool {
    let whole_transaction = matches!(stage, Stage::Mail | Stage::Data) && !reply.is_permanent();
    let lacks_extension = stage == Stage::Unsent && matches!(reply.status, Some(Status(5, 6, 7) | Status(5, 7, 30)));
    reply.code == 421 || (whole_transaction && !reused) || lacks_extension
}

fn local(reply: Reply) -> Failure {
    Failure::new(Side::Client, reply, "refused here, not by the next hop")
}
