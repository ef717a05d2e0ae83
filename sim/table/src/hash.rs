// SPDX-License-Identifier: Apache-2.0
//! The hash function of the table: simple tabulation, filled from the secret as in `binding_init` and `tabulation_hash`.

use crate::Key;

const CHUNKS: usize = 51;

/// The filled tables.
pub struct Tabulation {
    words: Vec<[u64; 64]>,
    row_bits: u32,
}

impl Tabulation {
    /// The tables of a binding table with that secret and that many sessions.
    pub fn new(secret: [u32; 4], sessions: u32) -> Tabulation {
        let row_bits = sessions.trailing_zeros() - 2;
        let mut older = u64::from(secret[0]) | u64::from(secret[1]) << 32 | 1;
        let mut newer = u64::from(secret[2]) | u64::from(secret[3]) << 32;
        let mut next = move || {
            let sum = older.wrapping_add(newer);
            let mixed = older ^ older << 23;
            (older, newer) = (newer, mixed ^ newer ^ mixed >> 18 ^ newer >> 5);
            sum
        };
        for _ in 0..64 {
            next();
        }
        let mut words = vec![[0; 64]; CHUNKS];
        for chunk in &mut words {
            for word in chunk.iter_mut() {
                *word = next() >> (64 - 4 * row_bits);
            }
        }
        Tabulation { words, row_bits }
    }

    /// Rows of a key in the four ways.
    pub fn rows(&self, key: &Key) -> [u32; 4] {
        let bit = |i: usize| key.get(i / 32).map_or(0, |word| (word >> (i % 32) & 1) as usize);
        let mut hash = 0;
        for (c, chunk) in self.words.iter().enumerate() {
            let index = (0..6).fold(0, |index, i| index | bit(6 * c + i) << i);
            hash ^= chunk[index];
        }
        std::array::from_fn(|w| (hash >> (w as u32 * self.row_bits)) as u32 & ((1 << self.row_bits) - 1))
    }
}
