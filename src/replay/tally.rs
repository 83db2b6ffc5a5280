//! Counting: how many recipients fare alike, and a few examples of each kind.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::difference::Difference;
use super::judge::{Compared, Open, Told};
use super::past::{PassedOver, Past};
use crate::limits::{REPLAY_GROUPS_MAX, REPLAY_PASSED_OVER_SHOWN};

/// What came of a replay.
#[derive(Debug, Default)]
pub struct Tally {
    /// Messages that were judged.
    pub messages: u64,
    /// Their recipients.
    pub recipients: u64,
    /// Recipients that fare the same.
    pub same: u64,
    /// Those among them for whom other rules matched.
    pub same_by_other_rules: u64,
    /// Recipients that fare differently.
    pub differ: u64,
    /// Messages with such a recipient.
    pub messages_that_differ: u64,
    /// Recipients of whom it cannot be told.
    pub open: u64,
    /// What was not judged.
    pub passed_over: u64,
    /// The first of those.
    pub passed_over_shown: Vec<PassedOver>,
    /// By endpoint, messages.
    pub endpoints: BTreeMap<Arc<str>, u64>,
    /// Messages of whom something was guessed: the client, the sender, the recipients.
    pub guessed: [u64; 3],
    /// Messages of which what is not known was taken so that the old rules delivered them.
    pub assumed: u64,
    /// Messages of a log, and those among them whose matched rules the old rules explain.
    pub logged: [u64; 2],
    groups: HashMap<(Arc<str>, Difference), Group>,
    open_groups: HashMap<(Arc<str>, Open), Group>,
    /// Recipients that differ in more ways than are told apart.
    pub other: u64,
    examples_max: usize,
}

/// Recipients that fare differently in the same way.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// How many.
    pub recipients: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// One of a group.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Example {
    /// Where it was found.
    pub place: String,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// The client; null if nobody knows.
    pub client_ip: Option<std::net::IpAddr>,
    /// The sender; null if nobody knows.
    pub mail_from: Option<String>,
    /// The recipient.
    pub recipient: String,
    /// Why, in words.
    pub why: Vec<String>,
}

/// A kind of difference and who is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Different<'t> {
    /// The endpoint.
    pub endpoint: &'t str,
    /// What differs.
    pub difference: &'t Difference,
    /// Who.
    pub group: &'t Group,
}

/// What cannot be told, and of whom.
#[derive(Clone, Copy, Debug)]
pub struct Untold<'t> {
    /// The endpoint.
    pub endpoint: &'t str,
    /// How they may fare.
    pub possible: &'t [String],
    /// On what it depends.
    pub questions: &'t std::collections::BTreeSet<String>,
    /// Who.
    pub group: &'t Group,
}

impl Tally {
    pub(super) fn new(examples_max: usize) -> Self {
        Self { examples_max, ..Self::default() }
    }

    pub(super) fn pass_over(&mut self, passed: PassedOver) {
        self.passed_over = self.passed_over.saturating_add(1);
        if self.passed_over_shown.len() < REPLAY_PASSED_OVER_SHOWN {
            self.passed_over_shown.push(passed);
        }
    }

    pub(super) fn count(&mut self, compared: Compared) {
        let Compared { past, endpoint, told, is_explained, is_assumed } = compared;
        let one = |count: &mut u64| *count = count.saturating_add(1);
        one(&mut self.messages);
        one(self.endpoints.entry(Arc::clone(&endpoint)).or_default());
        let guesses = [past.guesses.client, past.guesses.mail_from, past.guesses.recipients];
        self.guessed.iter_mut().zip(guesses).filter(|(_, guessed)| *guessed).for_each(|(count, _)| one(count));
        self.assumed = self.assumed.saturating_add(u64::from(is_assumed));
        if let Some(is_explained) = is_explained {
            self.logged.iter_mut().zip([true, is_explained]).filter(|(_, counts)| *counts).for_each(|(count, _)| one(count));
        }
        let differed = self.differ;
        for (place, told) in told.into_iter().enumerate() {
            one(&mut self.recipients);
            match told {
                Told::Same { by_same_rules } => {
                    one(&mut self.same);
                    if !by_same_rules {
                        one(&mut self.same_by_other_rules);
                    }
                }
                Told::Differs(difference, why) => {
                    one(&mut self.differ);
                    let key = (Arc::clone(&endpoint), *difference);
                    if self.groups.len() >= REPLAY_GROUPS_MAX && !self.groups.contains_key(&key) {
                        one(&mut self.other);
                        continue;
                    }
                    self.groups.entry(key).or_default().add(self.examples_max, || example(&past, place, why));
                }
                Told::Open(open) => {
                    one(&mut self.open);
                    let key = (Arc::clone(&endpoint), open);
                    if self.open_groups.len() >= REPLAY_GROUPS_MAX && !self.open_groups.contains_key(&key) {
                        one(&mut self.other);
                        continue;
                    }
                    self.open_groups.entry(key).or_default().add(self.examples_max, || example(&past, place, Vec::new()));
                }
            }
        }
        if self.differ > differed {
            one(&mut self.messages_that_differ);
        }
    }

    /// The kinds of difference, the most frequent first.
    pub fn differences(&self) -> Vec<Different<'_>> {
        let groups = self.groups.iter();
        let mut all: Vec<_> = groups.map(|((endpoint, difference), group)| Different { endpoint, difference, group }).collect();
        let by = |one: &Different<'_>| (std::cmp::Reverse(one.group.recipients), one.endpoint.to_owned(), one.difference.clone());
        all.sort_by_cached_key(by);
        all
    }

    /// What cannot be told, the most frequent first.
    pub fn untold(&self) -> Vec<Untold<'_>> {
        let groups = self.open_groups.iter();
        let mut all: Vec<_> = groups
            .map(|((endpoint, open), group)| Untold { endpoint, possible: &open.possible, questions: &open.questions, group })
            .collect();
        all.sort_by_cached_key(|one| {
            (std::cmp::Reverse(one.group.recipients), one.endpoint.to_owned(), one.possible.to_vec(), one.questions.clone())
        });
        all
    }
}

impl Group {
    fn add(&mut self, examples_max: usize, example: impl FnOnce() -> Example) {
        self.recipients = self.recipients.saturating_add(1);
        if self.examples.len() < examples_max {
            self.examples.push(example());
        }
    }
}

fn example(past: &Past, place: usize, why: Vec<String>) -> Example {
    Example {
        place: past.place.clone(),
        message_id: past.message_id.clone(),
        client_ip: past.known.client_ip.then_some(past.session.client_ip),
        mail_from: past.known.mail_from.then(|| past.envelope.reverse_path.as_str().to_owned()),
        recipient: past.envelope.recipients.get(place).map(|recipient| recipient.address.to_string()).unwrap_or_default(),
        why,
    }
}
