//! Header changes of a step, to be read.

use crate::message::{Edits, Original};

/// What a step changes in the header.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Changes {
    /// Fields put on top, from the top.
    pub added: Vec<String>,
    /// Fields that are gone.
    pub removed: Vec<String>,
    /// Fields with another text, before and after.
    pub replaced: Vec<(String, String)>,
}

impl Changes {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What was changed.
pub fn changes(original: &Original, edits: &Edits) -> Changes {
    let field = |place: usize| original.fields().get(place).map(|field| unfolded(original.slice(field.whole.clone())));
    Changes {
        added: edits.added.iter().rev().map(|field| unfolded(field)).collect(),
        removed: edits.removed.iter().filter_map(|place| field(*place)).collect(),
        replaced: edits.replaced.iter().filter_map(|(place, text)| Some((field(*place)?, unfolded(text)))).collect(),
    }
}

/// The header fields with the changes made, from the top: names, and values unfolded.
pub fn fields_after(original: &Original, edits: &Edits) -> Vec<(String, String)> {
    edits.fields(original).map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), unfolded(value))).collect()
}

/// In one line. Whatever could move a terminal's cursor is shown as `?`.
fn unfolded(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ").chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}
