// SPDX-License-Identifier: Apache-2.0
//! What a table takes of a device, by arithmetic from the shapes of its memories.

/// Bits of a key (`binding_key_t`).
const KEY: u64 = 305;
/// Bits of a record (`binding_record_t`).
const RECORD: u64 = 49;
/// Words and bits of a word that an UltraRAM block has (UltraScale+; AMD UG573).
const ULTRARAM: (u64, u64) = (4096, 72);
/// Words and bits of a word that half a 36 Kb block RAM has with two ports (AMD UG573).
const HALF_BLOCK: [(u64, u64); 5] = [(1024, 18), (2048, 9), (4096, 4), (8192, 2), (16_384, 1)];

/// A memory of the table: instances, words of each, bits of a word.
type Shape = (u64, u64, u64);

/// Memories of a table with `sessions` sessions, a power of two of at least eight: one word for each session in all of them.
fn memories(sessions: u64) -> [Shape; 8] {
    let session = u64::from(sessions.ilog2());
    let (rows, row) = (sessions / 4, session - 2);
    [
        // binding_table, slots: key, session, which key of it, valid bit and parity, in four ways.
        (4, rows, KEY + session + 3),
        // binding_mover, where the slots of a session's two keys are: way and row.
        (2, sessions, row + 2),
        // binding_mover, whether it has two, twice, in four banks.
        (4, rows, 2),
        // binding_mover, which slots are occupied, with parity, for moves and for packets, by way.
        (4, rows, 2),
        (4, rows, 2),
        // binding_records, for packets: record and parity.
        (1, sessions, RECORD + 1),
        // binding_records, for sweep and host, in four banks.
        (4, rows, RECORD + 2),
        // session_supply, free sessions.
        (1, sessions, session),
    ]
}

/// Bits of memory for each binding: the sum over all memories of one word for each session, ways and banks counted once.
pub fn bits_per_binding(sessions: u64) -> u64 {
    memories(sessions).iter().map(|(count, words, bits)| count * words * bits / sessions).sum()
}

/// Block RAMs (36 Kb) of a table: each memory from halves of the shape that takes the fewest,
/// `ceil(words / words of a half) x ceil(bits / bits of a half)`.
pub fn block_rams(sessions: u64) -> f64 {
    let halves = |words: u64, bits: u64| {
        let shapes = HALF_BLOCK.iter().map(|(depth, width)| words.div_ceil(*depth) * bits.div_ceil(*width));
        shapes.min().expect("there are shapes")
    };
    memories(sessions).iter().map(|(count, words, bits)| (count * halves(*words, *bits)) as f64).sum::<f64>() / 2.0
}

/// UltraRAM blocks of a table: `ceil(words / 4096) x ceil(bits / 72)` for each memory but the smallest, which tell the occupied slots
/// and the sessions of two keys and stay block RAM.
pub fn ultra_rams(sessions: u64) -> u64 {
    let (depth, width) = ULTRARAM;
    let large = memories(sessions).into_iter().filter(|(_, _, bits)| *bits > 2);
    large.map(|(count, words, bits)| count * words.div_ceil(depth) * bits.div_ceil(width)).sum()
}

/// Sessions of the largest table, a power of two, that `blocks` UltraRAM blocks hold.
pub fn sessions_in_ultra_ram(blocks: u64) -> u64 {
    let sizes = (12..32).map(|bits| 1u64 << bits);
    sizes.take_while(|sessions| ultra_rams(*sessions) <= blocks).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `hw/synth/run.py --top binding_table --build 64` maps it to.
    #[test]
    fn block_rams_are_those_of_synthesis() {
        assert_eq!(block_rams(4096), 58.5);
    }

    #[test]
    fn ultra_rams_by_hand() {
        // Slots 5 columns x 16, where 16 and 16, records 16 and 16, free sessions 16.
        assert_eq!(ultra_rams(65_536), 160);
        assert_eq!(sessions_in_ultra_ram(159), 32_768);
        assert_eq!(sessions_in_ultra_ram(160), 65_536);
    }
}
