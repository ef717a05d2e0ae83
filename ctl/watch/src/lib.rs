// SPDX-License-Identifier: Apache-2.0
//! What a daemon shows, and whom it tells, without the daemon: it hands values in and gets calls back.
//!
//! * [`metrics`]: the state of a member as OpenMetrics text, and the HTTP server for it.
//! * [`occupancy`]: share of the link that other hosts' frames take.
//! * [`monitor`]: checks of applications that drain, disable and enable rules.
//! * [`notify`]: a script that is called when a member becomes another.
//!
//! What a person needs to know of them is in `docs/monitoring.md`.
#![forbid(unsafe_code)]

pub mod metrics;
pub mod monitor;
pub mod notify;
pub mod occupancy;
mod run;

/// A future on the heap, as callbacks return it.
pub type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
