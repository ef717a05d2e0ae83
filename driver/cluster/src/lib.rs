// SPDX-License-Identifier: Apache-2.0
//! The cluster protocol: heartbeats, views, one map agreed by all, and its hand-over. Normative text: `docs/cluster.md`.
//!
//! * [`map`] computes bucket maps; [`maps`] are sets of them and their digests.
//! * [`message`] is what members tell each other, `frame` how it is written and authenticated.
//! * `Cluster` is the state machine; [`api`] what goes in and comes out.
//!
//! No sockets, clocks or threads in here.
#![forbid(unsafe_code)]

pub mod api;
mod cluster;
mod fetch;
mod handover;
mod lease;
pub mod map;
pub mod maps;
pub mod message;
mod mutation;
mod peers;
mod proposal;
mod view;

pub use cluster::Cluster;
pub use mutation::Mutation;
#[cfg(feature = "mutants")]
pub use mutation::set_mutation;
