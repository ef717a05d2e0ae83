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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bench, Packet, TableIn, measure};

    /// The row that the table shows is that of the hash function here.
    #[test]
    fn rows_are_those_of_the_table() {
        for sessions in hashgate_verilated_sys::TableModel::SIZES {
            let secret = [0x1234_5678, 0x9abc_def0, 77, sessions];
            let hash = Tabulation::new(secret, sessions);
            let mut bench = Bench::new(sessions, 5, secret, false);
            let keys: Vec<_> = (0..64).map(|number| measure::client(number % 2 == 0, number * 977)).collect();
            let mut input = vec![TableIn::default(); 80];
            for (i, key) in input.iter_mut().zip(&keys) {
                *i = Packet { key: *key, ..Packet::default() }.input();
            }
            bench.run(&input).expect("nothing is wrong");
            for (key, output) in keys.iter().zip(&bench.output[crate::LATENCY as usize..]) {
                assert_eq!(hash.rows(key)[0], output.row, "{sessions} sessions, {key:x?}");
            }
        }
    }
}
