//! How full the house is, in three levels, from figures alone.
//!
//! A level is entered at one mark and left at a lower one, so that a load at the mark does not flicker.

use crate::limits::{
    PRESSURE_MEMORY_RECOVERED_PERCENT, PRESSURE_MEMORY_REFUSING_PERCENT, PRESSURE_MEMORY_REOPENED_PERCENT,
    PRESSURE_MEMORY_STRAINED_PERCENT, PRESSURE_RECOVERED_PERCENT, PRESSURE_REFUSING_PERCENT, PRESSURE_REOPENED_PERCENT,
    PRESSURE_STRAINED_PERCENT,
};

/// What is in use, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Connections, and their limit.
    pub connections: (usize, usize),
    /// Bytes of messages in memory, and their limit.
    pub memory_bytes: (usize, usize),
    /// The spool did not take a message just now.
    pub spool_sick: bool,
}

/// How the house behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As configured.
    #[default]
    Normal,
    /// Who waits is given less time, who errs less patience, and one client fewer connections.
    Strained,
    /// The same, and nobody new is let in.
    Refusing,
}

impl Level {
    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Strained => "strained",
            Self::Refusing => "refusing",
        }
    }

    /// The level that follows this one under a load.
    #[must_use]
    pub fn next(self, load: &Load) -> Self {
        let at = |connections: usize, memory: usize| reaches(load.connections, connections) || reaches(load.memory_bytes, memory);
        let refusing = match self {
            Self::Refusing => at(PRESSURE_REOPENED_PERCENT, PRESSURE_MEMORY_REOPENED_PERCENT),
            _ => at(PRESSURE_REFUSING_PERCENT, PRESSURE_MEMORY_REFUSING_PERCENT),
        };
        let strained = match self {
            Self::Normal => at(PRESSURE_STRAINED_PERCENT, PRESSURE_MEMORY_STRAINED_PERCENT),
            _ => at(PRESSURE_RECOVERED_PERCENT, PRESSURE_MEMORY_RECOVERED_PERCENT),
        };
        match (refusing, strained || load.spool_sick) {
            (true, _) => Self::Refusing,
            (false, true) => Self::Strained,
            (false, false) => Self::Normal,
        }
    }
}

/// Whether so many percent are in use.
fn reaches((used, max): (usize, usize), percent: usize) -> bool {
    // Sizes of memory times a hundred are far below the most that 128 bits hold.
    (used as u128).saturating_mul(100) >= (max as u128).saturating_mul(percent as u128)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(connections: usize, memory: usize) -> Load {
        Load { connections: (connections, 1000), memory_bytes: (memory, 1000), spool_sick: false }
    }

    #[test]
    fn levels_are_left_below_the_mark_at_which_they_are_entered() {
        use Level::{Normal, Refusing, Strained};
        let mut level = Normal;
        for (step, (connections, memory), expected) in [
            ("ten thousand of twelve are an ordinary day", (834, 0), Normal),
            ("just below", (899, 749), Normal),
            ("connections", (900, 0), Strained),
            ("no flicker", (899, 0), Strained),
            ("still", (800, 0), Strained),
            ("recovered", (799, 0), Normal),
            ("memory", (0, 750), Strained),
            ("no flicker", (0, 600), Strained),
            ("full of messages", (0, 950), Refusing),
            ("no flicker", (0, 800), Refusing),
            ("open again", (0, 799), Strained),
            ("both", (1000, 0), Refusing),
            ("one has gone", (999, 0), Refusing),
            ("not yet", (950, 0), Refusing),
            ("open again", (949, 0), Strained),
            ("at once from full to empty", (1000, 1000), Refusing),
            ("and back", (0, 0), Normal),
            ("over", (usize::MAX, usize::MAX), Refusing),
        ] {
            level = level.next(&load(connections, memory));
            assert_eq!(level, expected, "{step}: {connections} {memory}");
        }
    }

    #[test]
    fn a_sick_spool_strains_for_as_long_as_it_is_sick() {
        let sick = Load { spool_sick: true, ..load(0, 0) };
        assert_eq!(Level::Normal.next(&sick), Level::Strained);
        assert_eq!(Level::Strained.next(&sick), Level::Strained);
        assert_eq!(Level::Strained.next(&load(0, 0)), Level::Normal);
    }

    #[test]
    fn small_houses_have_levels_too() {
        let of = |used| Level::Normal.next(&Load { connections: (used, 5), memory_bytes: (0, 1), spool_sick: false });
        assert_eq!([0, 4, 5].map(of), [Level::Normal, Level::Normal, Level::Refusing]);
    }
}
