// SPDX-License-Identifier: Apache-2.0
//! The three counter vectors ("Counters" of `docs/dataplane.md`).

use crate::Decision;
use hashgate_regs::defs::{Reason, Verdict};
use std::collections::BTreeMap;

/// Packets and their bytes (without FCS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Frames.
    pub packets: u64,
    /// Bytes, at most 9022 for each frame.
    pub bytes: u64,
}

impl Count {
    /// Counts one frame of `length` bytes.
    pub fn add(&mut self, length: u16) {
        self.packets += 1;
        self.bytes += u64::from(length);
    }
}

/// Everything that received frames are counted in; absent entries are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Every frame, once.
    pub by_reason: BTreeMap<(Verdict, Reason), Count>,
    /// Frames with a rule.
    pub by_rule: BTreeMap<u8, Count>,
    /// Frames with a target.
    pub by_target: BTreeMap<u16, Count>,
}

impl Counters {
    /// Counts one frame.
    pub fn count(&mut self, decision: &Decision) {
        let length = decision.length;
        self.by_reason.entry((decision.verdict, decision.reason)).or_default().add(length);
        if decision.is_late() || decision.reason == Reason::TableParity {
            return;
        }
        if let Some(rule) = decision.rule {
            self.by_rule.entry(rule).or_default().add(length);
        }
        if let Some(target) = decision.target {
            self.by_target.entry(target).or_default().add(length);
        }
    }

    /// All frames received.
    pub fn received(&self) -> Count {
        self.by_reason
            .values()
            .fold(Count::default(), |sum, c| Count { packets: sum.packets + c.packets, bytes: sum.bytes + c.bytes })
    }
}
