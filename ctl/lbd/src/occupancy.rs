// SPDX-License-Identifier: Apache-2.0
//! Samples of counters, for switch occupancy (requirement N20) over the last seconds.

use hashgate_api::v1::{CountersReply, OccupancyHost};
use hashgate_config::daemon::Daemon;
use hashgate_watch::occupancy::{Link, Reading};
use std::collections::VecDeque;

/// What is measured over, ns.
const WINDOW: u64 = 10_000_000_000;

/// Counts at some times.
#[derive(Debug, Default)]
pub struct Occupancy {
    readings: VecDeque<Reading>,
}

impl Occupancy {
    /// What has been counted by now.
    pub fn add(&mut self, counters: &CountersReply) {
        let reading = Reading::of(counters);
        self.readings.push_back(reading);
        while self.readings.get(1).is_some_and(|second| reading.time.saturating_sub(second.time) >= WINDOW) {
            self.readings.pop_front();
        }
    }

    /// Of the last seconds; zeros before the second sample.
    pub fn host(&self, host: &str, daemon: &Daemon) -> OccupancyHost {
        let link = Link { bits_per_second: daemon.link_bits_per_second, threshold: daemon.occupancy_warning };
        let measured =
            self.readings.front().zip(self.readings.back()).and_then(|(first, last)| first.until(last, host, link));
        measured.unwrap_or_else(|| OccupancyHost { host: host.to_owned(), ..OccupancyHost::default() })
    }
}
