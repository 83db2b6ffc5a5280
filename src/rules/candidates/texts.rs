//! Rules by the texts that they want to see in the values of one attribute or header field.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::key::Way;
use super::marks::Marks;
use crate::rules::AddressList;

/// How often, for each text that can be found, one is found in a value before all of them count as found: a value can have a long text
/// and all that it is made of at each of its places.
const FINDS_PER_TEXT: usize = 8;

/// Rules by the texts that they want to see.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Of rules for which any value will do.
    any: Vec<usize>,
    whole: Places,
    begins: Affixes,
    ends: Affixes,
    parts: Parts,
    lists: Vec<(Arc<AddressList>, Vec<usize>)>,
}

/// Rules by the hash of a text. Where two texts share one, each finds the rules of both.
type Places = HashMap<u64, Vec<usize>, Hashed>;

/// Begins or ends of values.
#[derive(Debug, Default)]
struct Affixes {
    /// Their lengths, ascending.
    lengths: Vec<usize>,
    places: Places,
}

/// Texts that stand anywhere in a value.
#[derive(Debug, Default)]
enum Parts {
    #[default]
    None,
    Gathered(BTreeMap<Box<str>, Vec<usize>>),
    /// The rules by the number of the text.
    Found(AhoCorasick, Vec<Vec<usize>>),
    /// Not searched for: found in every value.
    Any(Vec<usize>),
}

impl Texts {
    pub(super) fn add(&mut self, way: Way, text: &str, rule: usize) {
        match way {
            Way::Whole => self.whole.entry(hash(text.bytes())).or_default().push(rule),
            Way::Begin => self.begins.add(text.bytes(), rule),
            Way::End => self.ends.add(text.bytes().rev(), rule),
            Way::Anywhere => {
                if !matches!(self.parts, Parts::Gathered(_)) {
                    self.parts = Parts::Gathered(BTreeMap::new());
                }
                if let Parts::Gathered(parts) = &mut self.parts {
                    parts.entry(text.into()).or_default().push(rule);
                }
            }
        }
    }

    pub(super) fn add_any(&mut self, rule: usize) {
        self.any.push(rule);
    }

    pub(super) fn add_list(&mut self, list: &Arc<AddressList>, rule: usize) {
        match self.lists.iter_mut().find(|(known, _)| Arc::ptr_eq(known, list)) {
            Some((_, rules)) => rules.push(rule),
            None => self.lists.push((Arc::clone(list), vec![rule])),
        }
    }

    /// When all is added.
    pub(super) fn finish(&mut self) {
        self.begins.finish();
        self.ends.finish();
        if let Parts::Gathered(parts) = std::mem::take(&mut self.parts) {
            // In proportion to the texts, which the faster kind is not.
            let search = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(parts.keys().map(|part| part.as_bytes()));
            self.parts = match search {
                Ok(search) => Parts::Found(search, parts.into_values().collect()),
                Err(_) => Parts::Any(parts.into_values().flatten().collect()),
            };
        }
    }

    /// Marks the rules that want to see what is in this value, which is folded.
    pub(super) fn mark(&self, value: &str, marks: &mut Marks) {
        marks.set_all(&self.any);
        if !self.whole.is_empty()
            && let Some(rules) = self.whole.get(&hash(value.bytes()))
        {
            marks.set_all(rules);
        }
        self.begins.mark(value.bytes(), marks);
        self.ends.mark(value.bytes().rev(), marks);
        self.parts.mark(value, marks);
        self.lists.iter().filter(|(list, _)| list.contains(value)).for_each(|(_, rules)| marks.set_all(rules));
    }
}

impl Affixes {
    fn add(&mut self, text: impl ExactSizeIterator<Item = u8>, rule: usize) {
        self.lengths.push(text.len());
        self.places.entry(hash(text)).or_default().push(rule);
    }

    fn finish(&mut self) {
        self.lengths.sort_unstable();
        self.lengths.dedup();
        self.lengths.shrink_to_fit();
    }

    fn mark(&self, value: impl ExactSizeIterator<Item = u8>, marks: &mut Marks) {
        let mut value = value;
        let (mut state, mut read) = (BEGIN, 0_usize);
        for length in &self.lengths {
            // No text is empty.
            while read < *length {
                let Some(byte) = value.next() else { return };
                state = step(state, byte);
                read = read.saturating_add(1);
            }
            if let Some(rules) = self.places.get(&end(state)) {
                marks.set_all(rules);
            }
        }
    }
}

impl Parts {
    fn mark(&self, value: &str, marks: &mut Marks) {
        match self {
            Self::None | Self::Gathered(_) => {}
            Self::Any(rules) => marks.set_all(rules),
            Self::Found(search, rules) => {
                let enough = rules.len().saturating_mul(FINDS_PER_TEXT);
                let all = |marks: &mut Marks| rules.iter().for_each(|rules| marks.set_all(rules));
                let Ok(finds) = search.try_find_overlapping_iter(value) else { return all(marks) };
                for (count, find) in finds.enumerate() {
                    if count >= enough {
                        return all(marks);
                    }
                    marks.set_all(rules.get(find.pattern().as_usize()).map_or(&[][..], Vec::as_slice));
                }
            }
        }
    }
}

// ---- hashes ----

/// FNV-1a, octet by octet, so that the hashes of all begins of a text come of reading it once. Whoever makes two texts share a hash has two
/// rules judged instead of one.
const BEGIN: u64 = 0xCBF2_9CE4_8422_2325;

fn step(state: u64, byte: u8) -> u64 {
    (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
}

/// A table looks at the first bits and at the last.
fn end(state: u64) -> u64 {
    (state ^ (state >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn hash(text: impl Iterator<Item = u8>) -> u64 {
    end(text.fold(BEGIN, step))
}

/// The hash of a field's name, whose case does not matter.
pub(super) fn name_hash(name: &[u8]) -> u64 {
    hash(name.iter().map(u8::to_ascii_lowercase))
}

/// The hash of any number.
pub(super) fn number_hash(number: u128) -> u64 {
    hash(number.to_le_bytes().into_iter())
}

/// For tables whose keys are hashes.
pub(super) type Hashed = BuildHasherDefault<AsItIs>;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |state, byte| step(state, *byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
