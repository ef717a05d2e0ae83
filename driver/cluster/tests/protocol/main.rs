// SPDX-License-Identifier: Apache-2.0
//! The rules of `docs/cluster.md`, each in a tiny network with simulated time.

mod basics;
mod display;
mod faults;
mod healing;
mod link;
mod net;
