// SPDX-License-Identifier: Apache-2.0
//! Random numbers, the same everywhere.

/// A generator (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            random.next();
        }
        random
    }

    /// 64 bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `part` of 1024 cases.
    pub fn chance(&mut self, part: u64) -> bool {
        part >= 1024 || self.below(1024) < part
    }
}

/// The seed of a random test: `HASHGATE_SEED`, or a new one. It is printed, with how to repeat the test.
///
/// # Panics
/// If the variable is not a number.
pub fn seed() -> u64 {
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64 & 0xffff_ffff);
    let seed = std::env::var("HASHGATE_SEED").map_or_else(
        |_| now(),
        |text| text.parse().unwrap_or_else(|_| panic!("HASHGATE_SEED is \"{text}\": write a number, 0..2^64")),
    );
    println!("HASHGATE_SEED={seed} repeats this test");
    seed
}
