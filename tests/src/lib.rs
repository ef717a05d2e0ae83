// SPDX-License-Identifier: Apache-2.0
//! The RTL against the reference model, through the driver that users run.
//!
//! [`Bench`] holds a simulated NIC, its driver and the model; [`Scoreboard`] compares everything that comes out of the
//! NIC with what the model says. The tests are in `tests/tests`, one file for each subject.
//!
//! Random tests draw from a seed that they print; `HASHGATE_SEED` repeats one.
#![forbid(unsafe_code)]

mod bench;
mod bindings;
pub mod scene;
mod scoreboard;
mod seed;

pub use bench::Bench;
pub use scoreboard::{HostTxCounts, PortCounts, Scoreboard};
pub use seed::{nic_build, seed};

/// One module per build with the tests given; so that a runner can tell them apart and run them side by side.
#[macro_export]
macro_rules! for_each_build {
    ($($test:ident),+ $(,)?) => {
        mod build_512 {
            $(
                #[test]
                fn $test() {
                    super::$test(::hashgate_sim::Build::B512);
                }
            )+
        }
        mod build_64 {
            $(
                #[test]
                fn $test() {
                    super::$test(::hashgate_sim::Build::B64);
                }
            )+
        }
    };
}
