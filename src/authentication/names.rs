//! Who is below whom, among names in the form of [`crate::message::a_labels`].

/// Whether a name is another or below it.
pub(super) fn is_within(name: &str, other: &str) -> bool {
    name.strip_suffix(other).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_within_itself_and_those_above() {
        assert!(is_within("a.b", "a.b") && is_within("x.a.b", "a.b") && is_within("a.b", "b"));
        assert!(!is_within("xa.b", "a.b") && !is_within("b", "a.b") && !is_within("a.c", "b"));
    }
}
