// SPDX-License-Identifier: Apache-2.0
//! Switch occupancy: the share of the link that frames of other hosts take (requirement N20).

use hashgate_api::v1::OccupancyHost;
use hashgate_config::daemon::Daemon;
use hashgate_nic::Count;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is measured over.
const WINDOW: Duration = Duration::from_secs(10);
/// Of a frame on the wire beside what the NIC counts: preamble, gap and FCS, bytes.
const OVERHEAD: u64 = 8 + 12 + 4;

/// Counts at some times.
#[derive(Debug, Default)]
pub struct Occupancy {
    samples: VecDeque<(Instant, Count, Count)>,
}

impl Occupancy {
    /// What was received in all, and what of it was others', until now.
    pub fn add(&mut self, now: Instant, received: Count, foreign: Count) {
        self.samples.push_back((now, received, foreign));
        while self.samples.len() > 2 && now - self.samples[1].0 >= WINDOW {
            self.samples.pop_front();
        }
    }

    /// Of the last seconds.
    pub fn host(&self, host: String, daemon: &Daemon) -> OccupancyHost {
        let zero = OccupancyHost { host: host.clone(), ..OccupancyHost::default() };
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return zero };
        let seconds = (last.0 - first.0).as_secs_f64();
        if seconds <= 0.0 {
            return zero;
        }
        let foreign_packets = last.2.packets.saturating_sub(first.2.packets);
        let foreign_bytes = last.2.bytes.saturating_sub(first.2.bytes);
        let bits = 8 * (foreign_bytes + OVERHEAD * foreign_packets);
        let share = bits as f64 / seconds / daemon.link_bits_per_second as f64;
        OccupancyHost {
            host,
            seconds,
            received_bytes: last.1.bytes.saturating_sub(first.1.bytes),
            foreign_bytes,
            share,
            warning: share > daemon.occupancy_warning,
        }
    }
}
