//! What the administrative server is told.

use std::sync::Arc;

use super::Mail;
use crate::admin::{Health, Watched};
use crate::dns::{Dns, Figures};
use crate::ingress::Level;
use crate::spool::{LocalSpool, Spool};
use crate::telemetry::{Counts, Gauge};

/// What the administrative server looks at.
pub(super) struct House {
    pub(super) ingress: Arc<Mail>,
    pub(super) spool: Arc<LocalSpool>,
    pub(super) dns: Dns,
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
        vec![Counts {
            name: "gateway_dns_questions_total",
            help: "DNS questions by what became of them.",
            label: "outcome",
            values: vec![("remembered", remembered), ("answered", answered), ("nothing", nothing), ("trouble", trouble)],
        }]
    }

    fn health(&self) -> Health {
        match self.ingress.admission.level() {
            _ if self.ingress.draining.is_cancelled() => Health::Draining,
            Level::Refusing => Health::Refusing,
            Level::Normal | Level::Strained => Health::Serving,
        }
    }
}
