//! Examination: what conditions and header fields need to know beyond the message is asked for here, at most once and in parallel.
//!
//! - What was found is not asked for again; what nobody needs is not asked for at all.
//! - Whoever is asked has bounded time, so the whole has. Trouble is a finding as well: `temperror`, or [`Fact::Unknown`].

mod sealing;

pub use crate::analyzers::Subject;
pub use sealing::{SealError, Sealing, ToSeal};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use crate::analyzers::{AnalyzerConfig, Analyzers};
use crate::authentication::{Signed, arc, dkim, dmarc, spf};
use crate::dns::{Dns, client_host};
use crate::message::{Analysis, ArcVerdict, Author, DkimVerdict, DmarcVerdict, Fact, Findings, Need, Original, SpfVerdict};
use crate::telemetry::{Event, HostShown, Log};

/// Whoever is asked for what policies and rules need to know: [`Examiner`] in service.
pub trait Examine: Debug + Send + Sync {
    /// Asks for all of it at the same time, and takes bounded time. What has no answer is a finding as well.
    fn examine<'a>(
        &'a self,
        needs: &'a BTreeSet<Need>,
        subject: &'a Subject<'a>,
        findings: &'a mut Findings,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

impl Examine for Examiner {
    fn examine<'a>(
        &'a self,
        needs: &'a BTreeSet<Need>,
        subject: &'a Subject<'a>,
        findings: &'a mut Findings,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(Examiner::examine(self, needs, subject, findings))
    }
}

/// Asks for what is needed, and tells the log what came of it.
#[derive(Debug)]
pub struct Examiner {
    dns: Dns,
    analyzers: Analyzers,
    log: Log,
    /// Seconds since 1970 that are taken for the present; `None`: those of the clock.
    now: Option<u64>,
}

/// What one examination has found of authentication.
#[derive(Default)]
struct Verdicts {
    spf: Option<Arc<SpfVerdict>>,
    dkim: Option<Arc<DkimVerdict>>,
    dmarc: Option<Arc<DmarcVerdict>>,
    arc: Option<Arc<ArcVerdict>>,
}

impl Examiner {
    /// Asks nothing yet.
    pub fn new(dns: Dns, analyzers: BTreeMap<Arc<str>, AnalyzerConfig>, log: Log) -> Self {
        Self { dns, analyzers: Analyzers::new(analyzers), log, now: None }
    }

    /// The same at a time of its own, which the dates of signatures are compared with.
    #[must_use]
    pub fn at(self, unix_seconds: u64) -> Self {
        Self { now: Some(unix_seconds), ..self }
    }

    /// The examiner of a new configuration; analyzers that it does not change go on with their connections.
    pub fn renewed(&self, analyzers: BTreeMap<Arc<str>, AnalyzerConfig>) -> Self {
        Self { dns: self.dns.clone(), analyzers: self.analyzers.renewed(analyzers), log: self.log.clone(), now: self.now }
    }

    /// Finds out what is needed and not known yet. Afterwards `findings` has every need but those of a message where there is none.
    pub async fn examine(&self, needs: &BTreeSet<Need>, subject: &Subject<'_>, findings: &mut Findings) {
        let needs: BTreeSet<&Need> = needs.iter().filter(|need| !findings.has(need)).collect();
        if needs.is_empty() {
            return;
        }
        let began = Instant::now();
        let known = &*findings;
        let host = when(needs.contains(&Need::ClientHost), client_host(&self.dns, subject.session.client_ip));
        let (host, verdicts, analyses) = tokio::join!(host, self.verdicts(&needs, subject, known), self.analyses(&needs, subject));
        self.report(subject, host.as_ref(), &verdicts, began);
        if let Some(host) = host {
            findings.client_host = host;
        }
        let Verdicts { spf, dkim, dmarc, arc } = verdicts;
        findings.spf = spf.or(findings.spf.take());
        findings.dkim = dkim.or(findings.dkim.take());
        findings.dmarc = dmarc.or(findings.dmarc.take());
        findings.arc = arc.or(findings.arc.take());
        findings.analyses.extend(analyses);
    }

    /// DMARC stands on SPF and DKIM, but not what it asks DNS at first; all else goes side by side.
    async fn verdicts(&self, needs: &BTreeSet<&Need>, subject: &Subject<'_>, known: &Findings) -> Verdicts {
        let wants = |need: Need| needs.contains(&need);
        let signed = subject.original.filter(|_| wants(Need::Dkim) || wants(Need::Dmarc) || wants(Need::Arc)).map(Signed::parse);
        let author = signed.as_ref().and(subject.original).map(Author::read);
        let now = self.now.unwrap_or_else(unix_seconds);
        let signed = signed.as_ref().zip(author.as_ref());
        let wants_dmarc = wants(Need::Dmarc) && signed.is_some();
        let sender = spf::Sender {
            client_ip: subject.session.client_ip,
            helo: &subject.session.helo,
            reverse_path: &subject.envelope.reverse_path,
            hostname: subject.hostname,
            unix_seconds: i64::try_from(now).unwrap_or(i64::MAX),
        };
        let spf = when(known.spf.is_none() && (wants(Need::Spf) || wants_dmarc), spf::check(&self.dns, &sender));
        let dkim = async {
            match signed {
                Some((signed, author)) if known.dkim.is_none() && (wants(Need::Dkim) || wants_dmarc) => {
                    Some(dkim::check(&self.dns, signed, author, now).await)
                }
                _ => None,
            }
        };
        let arc = async {
            match signed {
                Some((signed, _)) if wants(Need::Arc) => Some(arc::check(&self.dns, signed, now).await),
                _ => None,
            }
        };
        let begun = async {
            match signed {
                Some((_, author)) if wants_dmarc => Some(dmarc::begin(&self.dns, author).await),
                _ => None,
            }
        };
        let dmarc = async {
            let (spf, dkim, begun) = tokio::join!(spf, dkim, begun);
            let (spf, dkim) = (spf.map(Arc::new), dkim.map(Arc::new));
            let dmarc = match (signed, begun, spf.as_ref().or(known.spf.as_ref()), dkim.as_ref().or(known.dkim.as_ref())) {
                (Some((_, author)), Some(begun), Some(spf), Some(dkim)) => Some(dmarc::check(begun, author, spf, dkim).await),
                _ => None,
            };
            (spf, dkim, dmarc)
        };
        let ((spf, dkim, dmarc), arc) = tokio::join!(dmarc, arc);
        Verdicts { spf, dkim, dmarc: dmarc.map(Arc::new), arc: arc.map(Arc::new) }
    }

    async fn analyses(&self, needs: &BTreeSet<&Need>, subject: &Subject<'_>) -> Vec<(Arc<str>, Fact<Arc<Analysis>>)> {
        let asked = needs.iter().filter_map(|need| match need {
            Need::Analysis(name) => Some(async move {
                let began = Instant::now();
                let fact = self.analyzers.ask(name, &self.dns, subject).await;
                self.report_analysis(subject, name, &fact, began);
                (Arc::clone(name), fact)
            }),
            _ => None,
        });
        join_all(asked).await
    }

    fn report(&self, subject: &Subject<'_>, host: Option<&Fact<Option<Arc<str>>>>, verdicts: &Verdicts, began: Instant) {
        let Verdicts { spf, dkim, dmarc, arc } = verdicts;
        if host.is_none() && spf.is_none() && dkim.is_none() && dmarc.is_none() && arc.is_none() {
            return;
        }
        let asked = [
            spf.as_ref().map(|spf| spf.asked.len()),
            dkim.as_ref().map(|dkim| dkim.asked.len()),
            dmarc.as_ref().map(|dmarc| dmarc.asked.len()),
            arc.as_ref().map(|arc| arc.asked.len()),
        ];
        self.log.emit(&Event::Verdicts {
            session: subject.id.session,
            message: subject.id,
            stage: stage(subject.original),
            client_host: host.and_then(HostShown::new),
            spf: spf.as_deref(),
            dkim: dkim.as_deref(),
            dmarc: dmarc.as_deref(),
            arc: arc.as_deref(),
            questions: asked.into_iter().flatten().fold(0, usize::saturating_add),
            duration_ms: millis(began),
        });
    }

    fn report_analysis(&self, subject: &Subject<'_>, analyzer: &str, fact: &Fact<Arc<Analysis>>, began: Instant) {
        let error = if let Fact::Unknown(why) = fact { Some(&**why) } else { None };
        self.log.emit(&Event::Analysis {
            session: subject.id.session,
            message: subject.id,
            stage: stage(subject.original),
            analyzer,
            fields: fact.known().map(|analysis| &**analysis),
            error,
            duration_ms: millis(began),
        });
    }
}

/// When it is examined, as the log says it.
fn stage(original: Option<&Original>) -> &'static str {
    if original.is_some() { "message" } else { "rcpt" }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The future's value, if it is wanted; else it is not begun.
async fn when<F: Future>(wanted: bool, future: F) -> Option<F::Output> {
    if wanted { Some(future.await) } else { None }
}
