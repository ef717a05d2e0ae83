// SPDX-License-Identifier: Apache-2.0
//! The Verilated binding table, its reference in software, and measurements.
//!
//! [`Bench`] runs the table in batches and holds every answer against [`Reference`]. [`measure`] has the figures of capacity and
//! speed, [`size`] what a table takes of a device, [`hash`] the hash function, for keys that are chosen with the secret in hand.
#![forbid(unsafe_code)]

mod bench;
pub mod hash;
pub mod measure;
mod reference;
pub mod size;

pub use bench::{Bench, HostReply, Packet};
pub use hashgate_verilated_sys::{TableIn, TableMemory, TableModel, TableOut};
pub use reference::Reference;

/// Cycles from a key to its answer.
pub const LATENCY: u64 = 10;

/// A key, as packed in `binding_key_t`: bit 0 of word 0 is bit 0.
pub type Key = [u32; hashgate_verilated_sys::KEY_WORDS];

/// A key of its fields. Addresses of IPv4 are in the low 32 bits.
pub fn key(v6: bool, zone: u8, source: u128, destination: u128, ports: (u16, u16), protocol: u8) -> Key {
    let mut key = [0u32; hashgate_verilated_sys::KEY_WORDS];
    let mut position = 0;
    let mut put = |value: u128, bits: usize| {
        for i in 0..bits {
            if value >> i & 1 == 1 {
                key[(position + i) / 32] |= 1 << ((position + i) % 32);
            }
        }
        position += bits;
    };
    put(protocol.into(), 8);
    put(ports.1.into(), 16);
    put(ports.0.into(), 16);
    put(destination, 128);
    put(source, 128);
    put(zone.into(), 8);
    put(v6.into(), 1);
    key
}

/// States of a record, as numbers.
#[allow(missing_docs)]
pub mod state {
    use hashgate_regs::defs::BindingState;

    pub const FREE: u8 = BindingState::Free as u8;
    pub const HALF_OPEN: u8 = BindingState::HalfOpen as u8;
    pub const ESTABLISHED: u8 = BindingState::Established as u8;
    pub const CLOSING: u8 = BindingState::Closing as u8;
    pub const RESET: u8 = BindingState::Reset as u8;
    pub const FLOW: u8 = BindingState::Flow as u8;
}

/// A record, as in `binding_record_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// One of [`state`].
    pub state: u8,
    /// Written by a CREATE and not since.
    pub fresh: bool,
    /// Target id, 10 bits.
    pub target: u16,
    /// Rule id, 7 bits.
    pub rule: u8,
    /// Bucket, 12 bits.
    pub bucket: u16,
    /// When it expires.
    pub expires: u16,
}

impl Record {
    /// As the table has it.
    pub fn pack(self) -> u64 {
        u64::from(self.state) << 46
            | u64::from(self.fresh) << 45
            | u64::from(self.target) << 35
            | u64::from(self.rule) << 28
            | u64::from(self.bucket) << 16
            | u64::from(self.expires)
    }

    /// From what the table has.
    pub fn unpack(word: u64) -> Record {
        Record {
            state: (word >> 46 & 7) as u8,
            fresh: word >> 45 & 1 == 1,
            target: (word >> 35 & 0x3ff) as u16,
            rule: (word >> 28 & 0x7f) as u8,
            bucket: (word >> 16 & 0xfff) as u16,
            expires: word as u16,
        }
    }

    /// Neither free nor expired.
    pub fn live(self, fast_now: u16, slow_now: u16) -> bool {
        let now = if matches!(self.state, state::HALF_OPEN | state::RESET) { fast_now } else { slow_now };
        self.state != state::FREE && now.wrapping_sub(self.expires) & 0x8000 != 0
    }
}

/// A generator of random numbers (xorshift64*), the same everywhere.
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

    /// True in `part` of 1024 cases.
    pub fn chance(&mut self, part: u64) -> bool {
        self.below(1024) < part
    }
}

/// The seed of a random test: `HASHGATE_SEED`, or one of its own. The test prints it.
///
/// # Panics
/// If the variable is not a number.
pub fn seed() -> u64 {
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64 & 0xffff_ffff);
    std::env::var("HASHGATE_SEED").map_or_else(|_| now(), |text| text.parse().expect("HASHGATE_SEED is a number"))
}
