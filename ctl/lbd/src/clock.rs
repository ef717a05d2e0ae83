// SPDX-License-Identifier: Apache-2.0
//! NIC time without asking the NIC each time.

use hashgate_cluster::api::Time;
use rustix::time::{ClockId, clock_gettime};

/// Time of the machine, ns; runs on while it sleeps.
pub fn machine_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// NIC time as far as it is known: the difference to the machine's clock lies between two bounds that each reading of the NIC gives (it was read between a time before and a
/// time after), and moves only as far as a new reading demands. Never goes back.
#[derive(Debug)]
pub struct NicClock {
    /// NIC time minus the machine's.
    offset: i64,
    last: Time,
}

impl NicClock {
    /// By a first reading of the NIC.
    pub fn new(read: impl FnOnce() -> u64) -> NicClock {
        let (low, _) = bounds(read);
        NicClock { offset: low, last: 0 }
    }

    /// By another reading ([`bounds`]). The two clocks may run at rates that differ: once a second is enough.
    pub fn read_again(&mut self, (low, high): (i64, i64)) {
        self.offset = self.offset.clamp(low, high.max(low));
    }

    /// Now, NIC time in ns.
    pub fn now(&mut self) -> Time {
        let now = machine_ns().saturating_add_signed(self.offset);
        self.last = self.last.max(now);
        self.last
    }
}

/// What NIC time minus the machine's is at least and at most, by a reading of NIC time.
pub fn bounds(read: impl FnOnce() -> u64) -> (i64, i64) {
    let before = machine_ns() as i64;
    let nic = read() as i64;
    let after = machine_ns() as i64;
    (nic - after, nic - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_moves_only_as_far_as_a_reading_demands() {
        let machine = || machine_ns() as i64;
        let mut clock = NicClock::new(|| machine() as u64 + 1_000_000_000);
        let first = clock.offset;
        // A reading that took long proves little.
        clock.read_again(bounds(|| {
            let nic = machine() as u64 + 1_000_000_000;
            std::thread::sleep(std::time::Duration::from_millis(5));
            nic
        }));
        assert_eq!(clock.offset, first);
        // A NIC that runs slow pulls it back, and time stands still for so long.
        let before = clock.now();
        clock.read_again(bounds(|| machine() as u64 + 900_000_000));
        assert!(clock.offset < first - 50_000_000);
        assert!(clock.now() >= before);
    }
}
