//! From a checked tree to a model, through serde_yaml's value: the text is interpreted once, by the tree.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Segment, Track};

use super::diagnostic::{Code, Sink};
use super::tree::{Node, Value};

/// The model of a node whose shape is right; what the shape let pass and serde does not is reported where serde stopped.
pub(crate) fn typed<T: DeserializeOwned>(node: &Node, sink: &mut Sink) -> Option<T> {
    if !sink.is_sound(&node.span) {
        return None;
    }
    let mut track = Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(node.to_serde(), &mut track);
    match serde_yaml::with::singleton_map_recursive::deserialize(deserializer) {
        Ok(model) => Some(model),
        Err(error) => {
            let mut at = node;
            for segment in track.path().iter() {
                let next = match segment {
                    Segment::Seq { index } => at.items().get(*index),
                    Segment::Map { key } | Segment::Enum { variant: key } => at.get(key),
                    Segment::Unknown => None,
                };
                match next {
                    Some(next) => at = next,
                    None if matches!(at.value, Value::Mapping(_)) => break,
                    None => {}
                }
            }
            sink.broken(Code::WrongType, at.head(), error.to_string());
            None
        }
    }
}
