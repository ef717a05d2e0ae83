// SPDX-License-Identifier: Apache-2.0
//! The cluster protocol: heartbeats, views, one map agreed by all, and its hand-over. Normative text: `docs/cluster.md`.
//!
//! * [`map`] computes bucket maps; [`maps`] are sets of them and their digests.
//! * [`message`] is what members tell each other, [`frame`] how it is written and authenticated ([`auth`], [`refusal`]);
//!   [`membership`] is the frame for display.
//! * [`control`] are the datagrams by which programs ask members for something.
//! * `Cluster` is the state machine; [`api`] what goes in and comes out.
//!
//! No sockets, clocks or threads in here.
#![forbid(unsafe_code)]

pub mod api;
pub mod auth;
mod cluster;
pub mod control;
mod fetch;
pub mod frame;
mod handover;
mod lease;
pub mod map;
pub mod maps;
pub mod membership;
pub mod message;
mod mutation;
mod peers;
mod proposal;
pub mod refusal;
mod view;
mod wire;

pub use cluster::Cluster;
pub use mutation::Mutation;
#[cfg(feature = "mutants")]
pub use mutation::set_mutation;
