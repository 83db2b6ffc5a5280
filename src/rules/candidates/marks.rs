//! A set of rules, by their places.

/// One bit for each rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    /// None of so many rules is marked.
    pub(super) fn none_of(rules: usize) -> Self {
        Self(vec![0; rules.div_ceil(64)])
    }

    pub(super) fn set(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    pub(super) fn set_all(&mut self, places: &[usize]) {
        places.iter().for_each(|place| self.set(*place));
    }

    /// The first place from here on that is marked.
    pub(super) fn next_from(&self, place: usize) -> Option<usize> {
        let mut words = self.0.iter().enumerate().skip(place / 64);
        let (first, word) = words.next()?;
        let head = (first, word & (u64::MAX << (place % 64)));
        let mut words = std::iter::once(head).chain(words.map(|(number, word)| (number, *word)));
        let (number, word) = words.find(|(_, word)| *word != 0)?;
        Some(number.saturating_mul(64).saturating_add(word.trailing_zeros() as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_places_are_found_in_order() {
        let mut marks = Marks::none_of(200);
        let places = [0, 1, 63, 64, 127, 128, 199];
        marks.set_all(&places);
        marks.set(256);
        let found: Vec<_> = std::iter::successors(marks.next_from(0), |place| marks.next_from(place + 1)).collect();
        assert_eq!(found, places);
        assert_eq!((marks.next_from(65), marks.next_from(200), marks.next_from(1000)), (Some(127), None, None));
        assert_eq!(Marks::none_of(0).next_from(0), None);
    }
}
