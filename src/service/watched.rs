//! What the administrative server is told.

use std::sync::Arc;

use super::Mail;
use crate::admin::{Health, Watched};
use crate::dns::{Dns, Figures};
use crate::ingress::Level;
use crate::relay::{NextHops, Readiness, RelayConfig, Relays};
use crate::spool::{LocalSpool, Spool};
use crate::telemetry::{Counts, Gauge};

/// What the administrative server looks at.
pub(super) struct House {
    pub(super) ingress: Arc<Mail>,
    pub(super) spool: Arc<LocalSpool>,
    pub(super) dns: Dns,
    pub(super) relays: Relays,
}

impl House {
    /// How the relays of the configuration fare: as many lines as it has relays.
    fn relays(&self) -> [Counts; 3] {
        let snapshot = Arc::clone(&self.ingress.live.load().snapshot);
        let mut names: Vec<&Arc<RelayConfig>> = snapshot.relays.values().collect();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        let of = |name, help, value: fn(Readiness) -> u64| {
            let values = names.iter().map(|relay| (relay.name.to_string().into(), value(self.relays.readiness(relay)))).collect();
            Counts { name, help, label: "relay", values }
        };
        [
            of("gateway_relay_held", "1: mail for the relay is held.", |readiness| u64::from(readiness == Readiness::Held)),
            of("gateway_relay_waiting", "1: the relay takes nothing now, for a limit or a pause.", |readiness| {
                u64::from(matches!(readiness, Readiness::Waits { .. }))
            }),
            of("gateway_relay_connections_max", "Connections to the relay that there may be now.", |readiness| match readiness {
                Readiness::Open { width } => u64::from(width),
                Readiness::Waits { .. } | Readiness::Held => 0,
            }),
        ]
    }
}

impl Watched for House {
    async fn gauges(&self) -> Vec<Gauge> {
        let (admission, memory) = (&self.ingress.admission, &self.ingress.memory);
        let level = match admission.level() {
            Level::Normal => 0,
            Level::Strained => 1,
            Level::Refusing => 2,
        };
        let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        // A spool that does not answer is told as an empty one; the events `problem` say more.
        let spool = self.spool.stats().await.unwrap_or_default();
        [
            ("gateway_connections", "Connections of clients now.", size(admission.total())),
            ("gateway_connections_max", "Connections that there may be.", size(admission.total_max())),
            ("gateway_message_memory_bytes", "Octets of messages in memory.", size(memory.used())),
            ("gateway_message_memory_bytes_max", "Octets of messages that there may be.", size(memory.max())),
            ("gateway_pressure", "0 normal, 1 strained, 2 refusing connections.", level),
            ("gateway_spool_messages", "Messages in the spool.", spool.entries),
            ("gateway_spool_jobs", "Steps that are left to do for them.", spool.jobs),
            ("gateway_spool_bytes", "Octets that the spool takes on disk.", spool.bytes),
            ("gateway_dns_open", "DNS questions under way.", self.dns.figures().open),
        ]
        .map(|(name, help, value)| Gauge { name, help, value })
        .into()
    }

    fn counts(&self) -> Vec<Counts> {
        let Figures { remembered, answered, nothing, trouble, .. } = self.dns.figures();
        let outcomes = [("remembered", remembered), ("answered", answered), ("nothing", nothing), ("trouble", trouble)];
        let questions = Counts {
            name: "gateway_dns_questions_total",
            help: "DNS questions by what became of them.",
            label: "outcome",
            values: outcomes.map(|(outcome, count)| (outcome.into(), count)).into(),
        };
        self.relays().into_iter().chain([questions]).collect()
    }

    fn health(&self) -> Health {
        match self.ingress.admission.level() {
            _ if self.ingress.draining.is_cancelled() => Health::Draining,
            Level::Refusing => Health::Refusing,
            Level::Normal | Level::Strained => Health::Serving,
        }
    }
}
