// SPDX-License-Identifier: Apache-2.0
//! Seeds of random tests, and what else the environment chooses.

use hashgate_sim::Build;
use std::time::{SystemTime, UNIX_EPOCH};

/// The seed of a random test: `HASHGATE_SEED` if it is set, otherwise a new one. It is printed, with how to repeat it.
///
/// # Panics
/// If `HASHGATE_SEED` is no number.
pub fn seed() -> u64 {
    let seed = match std::env::var("HASHGATE_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("HASHGATE_SEED is \"{text}\": write a number, 0..2^64")),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64),
    };
    println!("HASHGATE_SEED={seed} repeats this test");
    seed
}

/// Build of the whole NIC, host side included, that tests run on: `HASHGATE_NIC`, 64 (the default) or 512. The 512-bit one must be compiled in
/// (`HASHGATE_BUILDS` with nic512).
///
/// # Panics
/// If `HASHGATE_NIC` is something else.
pub fn nic_build() -> Build {
    match std::env::var("HASHGATE_NIC").as_deref() {
        Ok("512") => Build::B512,
        Ok("64") | Err(_) => Build::B64,
        Ok(text) => panic!("HASHGATE_NIC is \"{text}\": write 64 or 512"),
    }
}
