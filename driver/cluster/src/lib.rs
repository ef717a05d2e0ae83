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
pub mod control;
pub mod frame;
pub mod map;
pub mod maps;
pub mod membership;
pub mod message;
pub mod refusal;
mod wire;
