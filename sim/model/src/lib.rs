// SPDX-License-Identifier: Apache-2.0
//! Reference model of a Hashgate NIC: `docs/dataplane.md` as plain Rust, written to be read, not to be fast.
//!
//! It decides each frame by the logical [`Tables`](hashgate_tables::Tables) alone and knows nothing of beats, words,
//! banks or registers, so that an error in the packing of tables or in the timing of the RTL shows as a difference.
//! It is the oracle of the RTL tests.
//!
//! One file for each part of the page: [`parse`], [`decide`], [`hash`], [`bindings`], [`transmit`], [`counters`];
//! [`Nic`] holds the state that they share.
#![forbid(unsafe_code)]

pub mod bindings;
pub mod counters;
pub mod decide;
pub mod hash;
pub mod parse;
pub mod transmit;

mod nic;

pub use bindings::{
    AddKeyError, ApplyError, Binding, BindingKey, Bindings, Clocks, Effect, InsertError, Lookup, Made, NewBinding,
    Table,
};
pub use counters::{Count, Counters};
pub use decide::{Decision, State, decide};
pub use nic::Nic;
pub use transmit::{TxResult, transmit};

/// Shortest frame in bytes without FCS; a shorter one is a runt.
pub const MIN_FRAME: usize = 60;
/// Longest frame in bytes without FCS; a longer one is oversize and cut.
pub const MAX_FRAME: usize = 9022;
/// Leading bytes of a frame that the parser sees.
pub const WINDOW: usize = 128;
