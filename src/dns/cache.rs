//! What was answered, for as long as it is good.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Answer;
use super::question::Question;
use crate::limits::{DNS_CACHE_BYTES_MAX, DNS_CACHE_ENTRY_BYTES};

/// Answers by question; which ones stay when memory is short is decided by how often they are asked for (moka's TinyLFU), so that a
/// flood of names that nobody asks for again does not push out those of every day.
#[derive(Clone, Debug)]
pub(super) struct Cache(moka::sync::Cache<Question, Arc<Entry>>);

/// An answer, or the trouble in place of one.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) result: Result<Answer, Arc<str>>,
    until: Instant,
}

impl Cache {
    pub(super) fn new() -> Self {
        let weigh = |question: &Question, entry: &Arc<Entry>| {
            let answer = entry.result.as_ref().map_or_else(|trouble| trouble.len(), Answer::bytes);
            let bytes = DNS_CACHE_ENTRY_BYTES.saturating_add(question.name.len()).saturating_add(answer);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(moka::sync::Cache::builder().max_capacity(DNS_CACHE_BYTES_MAX).weigher(weigh).build())
    }

    pub(super) fn get(&self, question: &Question) -> Option<Arc<Entry>> {
        self.0.get(question).filter(|entry| entry.until > Instant::now())
    }

    /// Remembers it, unless it is good for no time at all.
    pub(super) fn put(&self, question: Question, result: Result<Answer, Arc<str>>, ttl: Duration) -> Arc<Entry> {
        let now = Instant::now();
        let entry = Arc::new(Entry { result, until: now.checked_add(ttl).unwrap_or(now) });
        if !ttl.is_zero() {
            self.0.insert(question, Arc::clone(&entry));
        }
        entry
    }

    /// Entries and their octets, once the latest changes are counted.
    #[cfg(test)]
    pub(super) fn size(&self) -> (u64, u64) {
        self.0.run_pending_tasks();
        (self.0.entry_count(), self.0.weighted_size())
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::RData;
    use hickory_resolver::proto::rr::rdata::TXT;

    use super::*;
    use crate::dns::question::Kind;

    #[tokio::test]
    async fn memory_is_bounded_and_what_is_asked_for_every_day_stays() {
        let cache = Cache::new();
        let put = |name: &str, bytes: usize| {
            let data = RData::TXT(TXT::from_bytes(vec![&[b'x'; 250][..]; bytes / 250]));
            let answer = Answer::new(Kind::Txt, std::iter::once(&data));
            cache.put(Question::new(Kind::Txt, name).unwrap(), Ok(answer), Duration::from_secs(3600));
        };
        let daily = Question::new(Kind::Txt, "daily.example").unwrap();
        put("daily.example", 250);
        for round in 0..50_000 {
            assert!(round % 10 != 0 || cache.get(&daily).is_some(), "{round}");
            put(&format!("{round}.flood.example"), if round % 10 == 0 { 60_000 } else { 500 });
        }
        let (entries, bytes) = cache.size();
        assert!(bytes <= DNS_CACHE_BYTES_MAX && entries > 100, "{entries} entries, {bytes} octets");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_with_its_time() {
        let cache = Cache::new();
        let question = Question::new(Kind::Txt, "example").unwrap();
        cache.put(question.clone(), Ok(Answer::nothing(false)), Duration::from_secs(10));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(cache.get(&question).is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(cache.get(&question).is_none());
        cache.put(question.clone(), Ok(Answer::nothing(false)), Duration::ZERO);
        assert!(cache.get(&question).is_none());
    }
}
