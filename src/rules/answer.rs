//! For which members of a group a condition holds, and for which it may.

/// For which members of a group something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// For none.
    None,
    /// For all.
    All,
    /// One entry for each member, not all of them the same.
    Some(Vec<bool>),
}

/// For which members of a group something holds, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// For these, whatever becomes known.
    Known(Answer),
    /// It is open for some.
    Open {
        /// It holds for these in any case.
        surely: Answer,
        /// It can hold for these: all of `surely`, and more.
        maybe: Answer,
    },
}

impl From<bool> for Answer {
    fn from(holds: bool) -> Self {
        if holds { Self::All } else { Self::None }
    }
}

impl FromIterator<bool> for Answer {
    fn from_iter<I: IntoIterator<Item = bool>>(flags: I) -> Self {
        let mut flags = flags.into_iter();
        let Some(first) = flags.next() else { return Self::None };
        let mut same: usize = 1;
        while let Some(flag) = flags.next() {
            if flag != first {
                let begin = std::iter::repeat_n(first, same).chain([flag]);
                return Self::Some(begin.chain(flags).collect());
            }
            same = same.saturating_add(1);
        }
        first.into()
    }
}

impl Answer {
    /// Whether it holds for the member at this place.
    pub(super) fn holds_for(&self, member: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(flags) => flags.get(member).is_some_and(|flag| *flag),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (Self::All, answer) | (answer, Self::All) => answer,
            (Self::Some(one), Self::Some(other)) => one.iter().zip(&other).map(|(one, other)| *one && *other).collect(),
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::None => Self::All,
            Self::All => Self::None,
            Self::Some(flags) => Self::Some(flags.into_iter().map(|flag| !flag).collect()),
        }
    }
}

impl Bounds {
    /// Nothing is known.
    pub(super) const OPEN: Self = Self::Open { surely: Answer::None, maybe: Answer::All };

    fn new(surely: Answer, maybe: Answer) -> Self {
        if surely == maybe { Self::Known(surely) } else { Self::Open { surely, maybe } }
    }

    fn into_both(self) -> (Answer, Answer) {
        match self {
            Self::Known(answer) => (answer.clone(), answer),
            Self::Open { surely, maybe } => (surely, maybe),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Known(one), Self::Known(other)) => Self::Known(one.and(other)),
            (one, other) => {
                let ((one_surely, one_maybe), (other_surely, other_maybe)) = (one.into_both(), other.into_both());
                Self::new(one_surely.and(other_surely), one_maybe.and(other_maybe))
            }
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    /// What surely holds is then what surely does not.
    pub(super) fn not(self) -> Self {
        match self {
            Self::Known(answer) => Self::Known(answer.not()),
            Self::Open { surely, maybe } => Self::Open { surely: maybe.not(), maybe: surely.not() },
        }
    }

    /// For whom it is not known.
    pub(super) fn open(&self) -> Answer {
        match self {
            Self::Known(_) => Answer::None,
            Self::Open { surely, maybe } => maybe.clone().and(surely.clone().not()),
        }
    }

    /// Whether it holds for the member at this place, if that is known.
    pub(super) fn known_for(&self, member: usize) -> Option<bool> {
        match self {
            Self::Known(answer) => Some(answer.holds_for(member)),
            Self::Open { surely, maybe } => match (surely.holds_for(member), maybe.holds_for(member)) {
                (surely, maybe) if surely == maybe => Some(surely),
                _ => None,
            },
        }
    }

    /// For whom it holds in any case.
    pub(super) fn surely(self) -> Answer {
        let (Self::Known(answer) | Self::Open { surely: answer, .. }) = self;
        answer
    }

    /// Whether it holds for all, whatever becomes known.
    pub(super) fn is_all(&self) -> bool {
        matches!(self, Self::Known(Answer::All))
    }

    /// Whether it holds for none, whatever becomes known.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::Known(Answer::None))
    }
}

impl From<bool> for Bounds {
    fn from(holds: bool) -> Self {
        Self::Known(holds.into())
    }
}
