// SPDX-License-Identifier: Apache-2.0
//! Frames and tables for tests of a Hashgate NIC.
//!
//! * [`builder`]: typed frames with correct lengths and checksums.
//! * [`tables`]: random tables, valid or with dangling references on purpose, and random changes of them.
//! * [`random`]: random frames that mostly hit the VIPs and rules of given tables, in sessions that come back and find
//!   the bindings they made, every malformed class included, and random frames as the host would send them.
//! * [`coverage`]: which combinations a test has seen, and which it must see.
//!
//! Everything random comes from a seed, so that a failure can be repeated.
#![forbid(unsafe_code)]

pub mod builder;
pub mod coverage;
pub mod random;
pub mod tables;
