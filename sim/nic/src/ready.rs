// SPDX-License-Identifier: Apache-2.0
//! When a receiver takes beats.

/// When a receiver takes beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// In every cycle.
    Always,
    /// In none.
    Never,
    /// In `permille` of 1000 cycles, drawn from `seed`.
    Random {
        /// Start of the random sequence.
        seed: u64,
        /// Chance in a cycle, 0..=1000.
        permille: u16,
    },
}

/// A [`Ready`] in progress.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    ready: Ready,
    state: u64,
}

impl Throttle {
    pub(crate) fn new(ready: Ready) -> Throttle {
        Throttle { ready, state: if let Ready::Random { seed, .. } = ready { seed } else { 0 } }
    }

    /// Whether the receiver takes a beat in this cycle.
    pub(crate) fn next(&mut self) -> bool {
        match self.ready {
            Ready::Always => true,
            Ready::Never => false,
            Ready::Random { permille, .. } => self.draw() % 1000 < u64::from(permille),
        }
    }

    /// The next number of the SplitMix64 sequence (Steele, Lea and Flood 2014).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_readiness_keeps_its_rate_and_repeats() {
        let draw = |seed| {
            let mut throttle = Throttle::new(Ready::Random { seed, permille: 250 });
            (0..100_000).map(|_| throttle.next()).collect::<Vec<_>>()
        };
        let first = draw(7);
        let ready = first.iter().filter(|r| **r).count();
        assert!((24_000..26_000).contains(&ready), "seed 7: {ready} of 100000");
        assert_eq!(first, draw(7));
        assert_ne!(first, draw(8));
    }
}
