// SPDX-License-Identifier: Apache-2.0
//! The Verilated host interface alone, against memory that checks what it does.
//!
//! [`Bench`] is everything around `host_interface`: registers, [`Memory`] behind the AXI4 master, the core with its streams, events and
//! tables, and a host that drives rings by `docs/host_interface.md`. What the contract says about a completion, an answer or an interrupt
//! is checked when it happens; a breach panics with the cycle. [`measure`] has the figures of speed.
#![forbid(unsafe_code)]

mod bench;
mod host;
pub mod measure;
mod memory;
mod monitor;
mod random;
mod stand_in;

pub use bench::{Bench, Frame};
pub use hashgate_verilated_sys::HostModel;
pub use host::{Completion, Drops, Kind, MoverAnswer, Ring, reg};
pub use memory::{Access, Memory, Region, Timing, Traffic};
pub use random::{Random, seed};
pub use stand_in::{Bug, StandIn};

/// Bits of a beat of the builds.
pub const WIDTHS: [u32; 2] = HostModel::WIDTHS;

/// Tests for each width, in modules of their names.
#[macro_export]
macro_rules! widths {
    ($($name:ident),* $(,)?) => {
        mod w512 { $(#[test] fn $name() { super::$name(512); })* }
        mod w64 { $(#[test] fn $name() { super::$name(64); })* }
    };
}
