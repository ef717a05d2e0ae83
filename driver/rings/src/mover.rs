// SPDX-License-Identifier: Apache-2.0
//! The table mover: words of tables by DMA.

use crate::host::{Memory, POLLS, Shared};
use crate::ring::{Moderation, Owner, Ring, RingStats, Shape, check_size};
use crate::{RingError, Violation};
use hashgate_nic::{BulkError, BulkMover};
use hashgate_regs::defs::Table;
use hashgate_regs::host::MOVER;
use std::sync::Arc;

const COMMAND: usize = 32;
const COMPLETION: usize = 16;
const LOAD: u32 = 1;
const DUMP: u32 = 2;
const ACTIVE: u32 = 1 << 12;
/// Words in the address space of a table.
const TABLE_WORDS: usize = 1 << 20;
/// Number behind those of tables: a walk over the connection bindings; behind that the affinity bindings.
const WALK: u32 = 13;
/// Words of a binding.
const BINDING_WORDS: usize = 16;

/// Shape of the table mover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoverConfig {
    /// The ring has 2 to the power of this many entries, 4..=15: so many commands are in flight at most.
    pub size_log2: u8,
    /// Words that a command moves at most, 16..=65536.
    pub words: usize,
}

impl Default for MoverConfig {
    /// 16 commands of 1024 words.
    fn default() -> MoverConfig {
        MoverConfig { size_log2: 4, words: 1024 }
    }
}

/// The table mover, with a buffer of its own for each command. It moves words and compares their CRC, no more: what is loaded wants a check and
/// a commit. Waits by reading a register; it is not for the hot path.
pub struct TableMover {
    ring: Ring,
    buffers: usize,
    words: usize,
    next: u16,
    posted: u16,
    /// The last call failed on the way: commands may be under way that nobody knows of.
    broken: bool,
    polls: u32,
}

/// What a call moves.
enum Words<'a> {
    Load(&'a [u32]),
    Dump(&'a mut [u32], bool),
    /// Live bindings; whether the walk of the call before goes on.
    Walk(&'a mut [u32], bool),
}

impl Words<'_> {
    fn len(&self) -> usize {
        match self {
            Words::Load(words) => words.len(),
            Words::Dump(words, _) | Words::Walk(words, _) => words.len(),
        }
    }
}

impl TableMover {
    pub(crate) fn new(shared: &Arc<Shared>, config: &MoverConfig) -> Result<TableMover, RingError> {
        let size = check_size(config.size_log2)?;
        if !(16..=65536).contains(&config.words) {
            let (what, value) = ("words of a command of the table mover", config.words as u64);
            return Err(RingError::Range { what, value, possible: "16 to 65536" });
        }
        let owner = Owner::new(shared, MOVER)?;
        let words = config.words.next_multiple_of(16);
        let (memory, [descriptors, answers, buffers]) =
            Memory::new(shared, [size * COMMAND, size * COMPLETION, size * 4 * words])?;
        let shape = Shape {
            number: MOVER,
            size_log2: config.size_log2,
            buffer_bytes: 0,
            moderation: Moderation::default(),
            descriptors,
            answers,
            answer_bytes: size * COMPLETION,
        };
        let ring = Ring::new(owner, memory, shape)?;
        let mut mover = TableMover { ring, buffers, words, next: 0, posted: 0, broken: false, polls: POLLS };
        mover.restart()?;
        Ok(mover)
    }

    /// Reads of a register without a command done before the mover counts as hung.
    pub fn set_patience(&mut self, polls: u32) {
        self.polls = polls;
    }

    fn restart(&mut self) -> Result<(), RingError> {
        self.ring.start()?;
        (self.next, self.posted, self.broken) = (0, 0, false);
        Ok(())
    }

    /// Writes `words` to a table (its shadow, if it has one) from word `first` on. After a call that failed the next one starts the mover anew.
    ///
    /// # Errors
    /// [`RingError::Range`] if they are not inside of a table's address space; nothing was moved then. [`RingError::MoverStatus`] if the NIC refuses,
    /// [`RingError::MoverCrc`] if it read other words than are in memory; [`RingError::Timeout`], [`RingError::Fault`], [`RingError::Device`], [`RingError::NoAnswer`] if it fails.
    pub fn load(&mut self, table: Table, first: u32, words: &[u32]) -> Result<(), RingError> {
        self.run(table as u32, first, Words::Load(words))
    }

    /// Reads `words` from a table from word `first` on, from its active bank or from the shadow.
    ///
    /// # Errors
    /// As [`TableMover::load`].
    pub fn dump(&mut self, table: Table, active: bool, first: u32, words: &mut [u32]) -> Result<(), RingError> {
        self.run(table as u32, first, Words::Dump(words, active))
    }

    /// Reads live bindings of the connection or (`affinity`) the affinity table, 16 words each (see `docs/host_interface.md`), in order of their sessions
    /// from the first one on, or (`go_on`) from where the call before ended; zeros behind the last one.
    ///
    /// # Errors
    /// [`RingError::Range`] if the number of words is not a multiple of 16; others as [`TableMover::load`].
    pub fn walk_bindings(&mut self, affinity: bool, go_on: bool, words: &mut [u32]) -> Result<(), RingError> {
        if !words.len().is_multiple_of(BINDING_WORDS) {
            let (what, value) = ("words of bindings", words.len() as u64);
            return Err(RingError::Range { what, value, possible: "a multiple of 16" });
        }
        self.run(WALK + u32::from(affinity), 0, Words::Walk(words, go_on))
    }

    fn run(&mut self, table: u32, first: u32, mut words: Words<'_>) -> Result<(), RingError> {
        let end = (first as usize).checked_add(words.len());
        if end.is_none_or(|end| end > TABLE_WORDS) {
            let (what, value) = ("word of a table", first as u64 + words.len() as u64);
            return Err(RingError::Range { what, value, possible: "below 2^20" });
        }
        if self.broken || matches!(self.ring.check(), Err(RingError::Reset { .. } | RingError::Device { .. })) {
            self.restart()?;
        }
        self.ring.check()?;
        self.broken = true;
        self.move_all(table, first, &mut words)?;
        self.broken = false;
        Ok(())
    }

    fn move_all(&mut self, table: u32, first: u32, words: &mut Words<'_>) -> Result<(), RingError> {
        let size = 1 << self.ring.shape.size_log2;
        let (mut asked, mut moved) = (0, 0);
        while moved < words.len() {
            let before = self.posted;
            while asked < words.len() && self.posted.wrapping_sub(self.next) < size {
                let count = self.words.min(words.len() - asked);
                self.command(table, first + asked as u32, words, asked, count);
                asked += count;
            }
            if self.posted != before {
                self.ring.doorbell(self.posted);
            }
            let count = self.words.min(words.len() - moved);
            self.completion(first + moved as u32, words, moved, count)?;
            moved += count;
        }
        Ok(())
    }

    /// Offset of the buffer of command `index`.
    fn buffer(&self, index: u16) -> usize {
        self.buffers + (usize::from(index) & ((1 << self.ring.shape.size_log2) - 1)) * 4 * self.words
    }

    /// Writes a command for `count` words from `at` on of those of the call.
    fn command(&mut self, table: u32, first: u32, words: &Words<'_>, at: usize, count: usize) {
        let (memory, buffer) = (&self.ring.memory, self.buffer(self.posted));
        let what = match words {
            Words::Load(words) => {
                for (n, word) in words[at..at + count].iter().enumerate() {
                    memory.write32(buffer + 4 * n, *word);
                }
                LOAD
            }
            Words::Dump(_, active) => DUMP | if *active { ACTIVE } else { 0 },
            // The first command begins the walk, the others go on.
            Words::Walk(_, go_on) => DUMP | if *go_on || at > 0 { ACTIVE } else { 0 },
        };
        let address = memory.iova(buffer);
        let descriptor = self.ring.descriptor(self.posted, COMMAND);
        let command = [what | table << 8, first, count as u32, 0, address as u32, (address >> 32) as u32, 0, 0];
        for (n, word) in command.into_iter().enumerate() {
            memory.write32(descriptor + 4 * n, word);
        }
        self.posted = self.posted.wrapping_add(1);
    }

    /// Waits for the next completion, checks it, and takes what was dumped.
    fn completion(&mut self, first: u32, words: &mut Words<'_>, at: usize, count: usize) -> Result<(), RingError> {
        let mut polls = 0;
        while self.ring.answered(self.next, COMPLETION).is_none() {
            if polls == self.polls {
                return Err(self.ring.timeout("a command of the table mover", polls));
            }
            polls += 1;
            self.ring.pause(polls);
            self.ring.check_device()?;
        }
        let answer = self.ring.answer(self.next, COMPLETION);
        let (what, moved) = (self.ring.memory.read32(answer), self.ring.memory.read32(answer + 4));
        let (index, status) = (what as u16, (what >> 16) as u8);
        if index != self.next {
            let violation = Violation::Index { index, expected: self.next };
            return Err(self.ring.violated(self.next, violation));
        }
        match status {
            0 => {}
            1 | 2 => return Err(RingError::MoverStatus { status, first, words: count as u32 }),
            _ => {
                let violation = Violation::Unknown { kind: "status of the table mover", value: status.into() };
                return Err(self.ring.violated(self.next, violation));
            }
        }
        let buffer = self.buffer(self.next);
        let mut hasher = crc32fast::Hasher::new();
        for n in 0..count {
            let word = match words {
                // Of the caller's words: those in the buffer could have been changed since.
                Words::Load(words) => words[at + n],
                Words::Dump(words, _) | Words::Walk(words, _) => {
                    words[at + n] = self.ring.memory.read32(buffer + 4 * n);
                    words[at + n]
                }
            };
            hasher.update(&word.to_le_bytes());
        }
        let memory = hasher.finalize();
        if memory != moved {
            return Err(RingError::MoverCrc { first, words: count as u32, moved, memory });
        }
        self.next = self.next.wrapping_add(1);
        self.ring.stats.done += 1;
        self.ring.stats.bytes += 4 * count as u64;
        Ok(())
    }

    /// What the mover has cost; register reads while it waits are in [`HostInterface::mmio`](crate::HostInterface::mmio).
    pub fn stats(&self) -> RingStats {
        self.ring.stats
    }
}

impl BulkMover for TableMover {
    fn load(&mut self, table: Table, first: u32, words: &[u32]) -> Result<(), BulkError> {
        Ok(TableMover::load(self, table, first, words)?)
    }

    fn dump(&mut self, table: Table, active: bool, first: u32, words: &mut [u32]) -> Result<(), BulkError> {
        Ok(TableMover::dump(self, table, active, first, words)?)
    }

    fn walk_bindings(&mut self, affinity: bool, go_on: bool, words: &mut [u32]) -> Result<(), BulkError> {
        Ok(TableMover::walk_bindings(self, affinity, go_on, words)?)
    }
}
