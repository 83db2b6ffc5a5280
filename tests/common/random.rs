//! A small generator with a seed, for simulations.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A place in something of this length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// Takes one out, as long as there is one.
    pub(crate) fn take<T>(&mut self, from: &mut Vec<T>) -> Option<T> {
        let place = self.index(from.len());
        (!from.is_empty()).then(|| from.swap_remove(place))
    }
}

/// The seeds to run: `GATEWAY_SEED=N` alone, the first `GATEWAY_SEEDS`, or the first `usual`.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("GATEWAY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("GATEWAY_SEEDS").unwrap_or(usual),
    }
}
