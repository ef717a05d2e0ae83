// SPDX-License-Identifier: Apache-2.0
//! Judges the cluster protocol of `driver/cluster` by the invariants of `docs/cluster.md`.
//!
//! * [`world`] simulates a whole cluster by a [`scenario`]: members with their own clocks and NICs ([`nic`]), a network that
//!   loses, doubles, delays and cuts, and [`clients`]. It keeps count of all [`claims`] and looks at the invariants with
//!   every change. [`minimum`] is the oracle of moved buckets, [`nonsense`] makes hostile messages, [`codec`] takes messages
//!   through real frames.
//! * [`shrink`] finds the few events of a scenario that are enough for a violation.
//! * [`checker`] explores the state machine systematically, with bounded numbers of losses, crashes and the like.
//! * [`measure`] is what `lbsim bench cluster` reports.
//!
//! A scenario is made from one number and repeats exactly: `cargo run --release -p hashgate-cluster-sim --example scenario
//! -- --seed N --log`.
#![forbid(unsafe_code)]

pub mod batch;
pub mod checker;
pub mod claims;
pub mod clients;
pub mod codec;
pub mod measure;
pub mod minimum;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod nic;
pub mod nonsense;
pub mod scenario;
pub mod shrink;
pub mod world;
