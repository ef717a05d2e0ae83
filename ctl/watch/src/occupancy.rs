// SPDX-License-Identifier: Apache-2.0
//! Switch occupancy (requirement N20): the share of a link that is taken by frames which every member gets and another one is meant by.
//!
//! A frame counts as *foreign* if this NIC discarded it because somebody else has it: by the action `discard` of the target that its map or binding names (row j of the order of decisions in `docs/dataplane.md`; the
//! reasons are those that rows 15..19, d and e give), or as `handover`, a packet in the middle of a connection that another member still holds. Not foreign: what nobody takes (`nobody`, `rule-disabled`, `rule-draining`,
//! `lease-expired`, malformed frames) and what is not the cluster's (`not-my-mac`, `not-my-ip`).
//!
//! On the wire a frame takes 24 bytes more than the counters say: FCS 4, preamble and start 8, shortest gap 12 (IEEE 802.3). The counters are those of all wire ports together; the link is one.

use hashgate_api::v1::{CountersReply, OccupancyHost};

/// Reasons that make a discarded frame foreign.
pub const FOREIGN: &[&str] = &[
    "map",
    "default-host",
    "fragment-unknown",
    "beyond-window",
    "icmp-error",
    "icmp-owner",
    "binding",
    "affinity",
    "handover",
];
/// Bytes on the wire that byte counters leave out, for each frame.
pub const OVERHEAD: u64 = 24;

/// Counters at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Nanoseconds, of any clock that goes on evenly.
    pub time: u64,
    /// Bytes received, whatever became of them.
    pub received_bytes: u64,
    /// Foreign frames.
    pub foreign_packets: u64,
    /// Their bytes, without FCS.
    pub foreign_bytes: u64,
}

impl Reading {
    /// What matters of the counters; [`CountersReply::time`] is the time.
    pub fn of(counters: &CountersReply) -> Reading {
        let mut reading = Reading { time: counters.time, ..Reading::default() };
        for count in &counters.reasons {
            reading.received_bytes = reading.received_bytes.saturating_add(count.bytes);
            if count.verdict == "discard" && FOREIGN.contains(&count.reason.as_str()) {
                reading.foreign_packets = reading.foreign_packets.saturating_add(count.packets);
                reading.foreign_bytes = reading.foreign_bytes.saturating_add(count.bytes);
            }
        }
        reading
    }

    /// Occupancy from here to `later`. `None` if no time went by, or a counter went back (the NIC was reset), or the link has no speed.
    pub fn until(&self, later: &Reading, host: &str, link: Link) -> Option<OccupancyHost> {
        let nanoseconds = later.time.checked_sub(self.time).filter(|time| *time > 0)?;
        let received_bytes = later.received_bytes.checked_sub(self.received_bytes)?;
        let foreign_packets = later.foreign_packets.checked_sub(self.foreign_packets)?;
        let foreign_bytes = later.foreign_bytes.checked_sub(self.foreign_bytes)?;
        if link.bits_per_second == 0 {
            return None;
        }
        let seconds = nanoseconds as f64 / 1e9;
        let bits = (u128::from(foreign_bytes) + u128::from(foreign_packets) * u128::from(OVERHEAD)) * 8;
        let share = bits as f64 / (link.bits_per_second as f64 * seconds);
        Some(OccupancyHost {
            host: host.to_owned(),
            seconds,
            received_bytes,
            foreign_bytes,
            share,
            warning: share >= link.threshold,
        })
    }
}

/// The link that is shared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Its speed.
    pub bits_per_second: u64,
    /// Share from which it is a warning.
    pub threshold: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashgate_api::v1::ReasonCount;

    const GIGABIT: Link = Link { bits_per_second: 1_000_000_000, threshold: 0.02 };

    fn counters(time: u64, reasons: &[(&str, &str, u64, u64)]) -> CountersReply {
        let reason = |&(verdict, reason, packets, bytes): &(&str, &str, u64, u64)| ReasonCount {
            verdict: verdict.into(),
            reason: reason.into(),
            packets,
            bytes,
        };
        CountersReply { time, reasons: reasons.iter().map(reason).collect(), ..Default::default() }
    }

    /// 100 000 frames of 60 bytes in 2 s: (60 + 24) x 8 = 672 bits each, 33.6 Mbit/s of 1 Gbit/s.
    #[test]
    fn share_of_minimum_frames() {
        let before = Reading::of(&counters(5_000_000_000, &[("discard", "map", 7, 420), ("host", "map", 1, 60)]));
        let after = Reading::of(&counters(
            7_000_000_000,
            &[("discard", "map", 100_007, 6_000_420), ("host", "map", 50_001, 3_000_060)],
        ));
        let result = before.until(&after, "a", GIGABIT).unwrap();
        assert_eq!((result.host.as_str(), result.seconds), ("a", 2.0));
        assert_eq!((result.received_bytes, result.foreign_bytes), (9_000_000, 6_000_000));
        assert!((result.share - 0.0336).abs() < 1e-12, "{}", result.share);
        assert!(result.warning);
    }

    /// A full 10GbE link of 1514-byte frames is 812 743.8 frames a second of 12 304 bits.
    #[test]
    fn share_of_a_full_link() {
        let after =
            Reading { time: 1_000_000_000, received_bytes: 0, foreign_packets: 812_744, foreign_bytes: 812_744 * 1514 };
        let link = Link { bits_per_second: 10_000_000_000, threshold: 1.0 };
        let share = Reading::default().until(&after, "a", link).unwrap().share;
        assert!((share - 812_744.0 * 12_304.0 / 1e10).abs() < 1e-12);
        assert!((share - 1.0).abs() < 1e-5, "{share}");
    }

    #[test]
    fn only_what_others_take_is_foreign() {
        let mut all = Vec::new();
        for reason in FOREIGN {
            all.push(("discard", *reason, 1, 100));
            all.push(("host", *reason, 10, 1000));
            all.push(("port", *reason, 10, 1000));
        }
        for reason in [
            "nobody",
            "rule-disabled",
            "rule-draining",
            "lease-expired",
            "not-my-mac",
            "not-my-ip",
            "runt",
            "host-full",
            "not-ready",
        ] {
            all.push(("discard", reason, 10, 1000));
        }
        let reading = Reading::of(&counters(1, &all));
        assert_eq!((reading.foreign_packets, reading.foreign_bytes), (9, 900));
        assert_eq!(reading.received_bytes, 9 * 2100 + 9 * 1000);
    }

    /// Warning from the threshold on: 2 % of 1 Gbit/s is 2.5 MB in a second, 25 000 frames of 76 bytes (100 on the wire).
    #[test]
    fn threshold() {
        let reading = |packets| Reading {
            time: 1_000_000_000,
            foreign_packets: packets,
            foreign_bytes: packets * 76,
            received_bytes: 0,
        };
        let at = Reading::default().until(&reading(25_000), "a", GIGABIT).unwrap();
        assert_eq!((at.share, at.warning), (0.02, true));
        assert!(!Reading::default().until(&reading(24_999), "a", GIGABIT).unwrap().warning);
    }

    #[test]
    fn no_answer_without_time_or_after_a_reset() {
        let now = Reading { time: 5, received_bytes: 10, foreign_packets: 1, foreign_bytes: 10 };
        assert_eq!(now.until(&now, "a", GIGABIT), None);
        assert_eq!(now.until(&Reading { time: 4, ..now }, "a", GIGABIT), None);
        assert_eq!(now.until(&Reading { time: 6, received_bytes: 9, ..now }, "a", GIGABIT), None);
        assert_eq!(now.until(&Reading { time: 6, foreign_packets: 0, ..now }, "a", GIGABIT), None);
        assert_eq!(now.until(&Reading { time: 6, foreign_bytes: 9, ..now }, "a", GIGABIT), None);
        assert_eq!(now.until(&Reading { time: 6, ..now }, "a", Link { bits_per_second: 0, ..GIGABIT }), None);
    }

    #[test]
    fn hostile_numbers() {
        let most = ("discard", "map", u64::MAX, u64::MAX);
        let result = Reading::default().until(&Reading::of(&counters(1, &[most, most])), "a", GIGABIT).unwrap();
        assert!(result.share.is_finite() && result.warning);
    }

    /// The names are those of the interface's definition.
    #[test]
    fn reasons_exist() {
        for reason in FOREIGN {
            assert!(
                include_str!("../../../hw/defs/hashgate.toml").contains(&format!("name = \"{reason}\"\nid")),
                "{reason}"
            );
        }
    }
}
