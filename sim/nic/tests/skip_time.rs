// SPDX-License-Identifier: Apache-2.0
//! Time that is put forward while nothing happens looks like time that went by.

use hashgate_nic::Nic;
use hashgate_sim::{Build, InProcess, SimNic};

const SECOND: u64 = 1_000_000_000;

/// A lease that ends a second ahead, and is renewed, runs on across every multiple of 2^32 ns, where both halves of the time change: a time of which one half is old is seconds off.
#[test]
fn a_lease_lives_while_time_is_put_forward() {
    let device = InProcess::new(SimNic::with_host_interface(Build::B64, 0).unwrap());
    let mut nic = Nic::open(&device).unwrap();
    let start = nic.time_ns();
    nic.arm_lease(start + SECOND);
    let mut before = start;
    for _ in 0..100 {
        device.nic().skip_time(97_000_003);
        device.run(7);
        let now = nic.time_ns();
        assert!(now >= before + 97_000_003, "from {before} ns on to {now}");
        assert!(now < before + 98_000_000, "from {before} ns on to {now}");
        assert!(!nic.lease().expired, "it ended at {now} ns, its end is {} ns", before + SECOND);
        nic.renew_lease(now + SECOND);
        before = now;
    }
    assert!(before - start > 2 << 32, "two multiples of 2^32 ns were passed");
    device.nic().skip_time(SECOND);
    device.run(7);
    assert!(nic.lease().expired, "and ends at its time");
}
