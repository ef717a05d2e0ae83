// SPDX-License-Identifier: Apache-2.0
//! Counters.

use crate::{Nic, NicError};
use hashgate_regs::defs::{CountReasonEntry, CountRuleEntry, CountTargetEntry, Reason, Table, Verdict};
use std::ops::{Add, AddAssign};

/// Packets and bytes (without FCS). Both wrap at 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Add for Count {
    type Output = Count;
    fn add(self, other: Count) -> Count {
        Count { packets: self.packets.wrapping_add(other.packets), bytes: self.bytes.wrapping_add(other.bytes) }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        *self = *self + other;
    }
}

fn count(words: [u32; 4]) -> Count {
    let [packets_low, packets_high, bytes_low, bytes_high] = words.map(u64::from);
    Count { packets: packets_high << 32 | packets_low, bytes: bytes_high << 32 | bytes_low }
}

/// The three vectors of counters of received frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By verdict and reason, in the order of their numbers; every frame is in exactly one.
    pub by_reason: Vec<(Verdict, Reason, Count)>,
    /// By rule; the last one is the default rule.
    pub by_rule: Vec<Count>,
    /// By target.
    pub by_target: Vec<Count>,
}

impl Counters {
    /// All frames received.
    pub fn received(&self) -> Count {
        self.by_reason.iter().fold(Count::default(), |sum, (_, _, count)| sum + *count)
    }

    /// The count of a verdict with a reason.
    pub fn reason(&self, verdict: Verdict, reason: Reason) -> Count {
        let found = self.by_reason.iter().find(|(v, r, _)| (*v, *r) == (verdict, reason));
        found.map_or(Count::default(), |(_, _, count)| *count)
    }
}

/// Counters of a wire port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Frames lost before the pipeline, because both ports together offered more than it takes.
    pub rx_overrun: u64,
    /// Frames that left the port, without the aborted ones.
    pub tx: Count,
    /// Frames that left with an abort mark; wraps at 2^32.
    pub tx_aborted: u32,
}

/// Counters of frames from the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostTxCounters {
    /// Frames taken from the host, bytes after padding.
    pub sent: Count,
    /// Frames shorter than 14 or longer than 9022 bytes, dropped.
    pub dropped: u64,
    /// Frames whose source MAC was masked.
    pub masked: u64,
    /// ARP frames rewritten.
    pub arp: u64,
    /// Neighbour discovery frames rewritten.
    pub neighbour: u64,
}

impl Nic {
    /// All counters of received frames. Each entry is read as a whole, but traffic goes on between entries.
    pub fn counters(&self) -> Counters {
        Counters {
            by_reason: self.reason_counters(),
            by_rule: (0..=self.info().limits.rules).map(|rule| self.rule_counter(rule)).collect(),
            by_target: (0..self.info().limits.targets).map(|target| self.target_counter(target)).collect(),
        }
    }

    /// The counters by verdict and reason, in the order of their numbers.
    pub fn reason_counters(&self) -> Vec<(Verdict, Reason, Count)> {
        let pairs = Verdict::ALL.iter().flat_map(|v| Reason::ALL.iter().map(|r| (*v, *r)));
        pairs.map(|(verdict, reason)| (verdict, reason, self.reason_counter(verdict, reason))).collect()
    }

    /// As [`Nic::reason_counters`], by the table mover if there is one.
    ///
    /// # Errors
    /// [`NicError::Bulk`] if it fails.
    pub fn read_reason_counters(&mut self) -> Result<Vec<(Verdict, Reason, Count)>, NicError> {
        let all = self.read_counts(Table::CountReason, 64 * Verdict::ALL.len())?;
        let pairs = Verdict::ALL.iter().flat_map(|v| Reason::ALL.iter().map(|r| (*v, *r)));
        Ok(pairs.map(|(verdict, reason)| (verdict, reason, all[64 * verdict as usize + reason as usize])).collect())
    }

    /// The counters of the rules, the last one that of the default rule, by the table mover if there is one.
    ///
    /// # Errors
    /// [`NicError::Bulk`] if it fails.
    pub fn read_rule_counters(&mut self) -> Result<Vec<Count>, NicError> {
        self.read_counts(Table::CountRule, usize::from(self.info().limits.rules) + 1)
    }

    /// The counters of the first targets, by the table mover if there is one.
    ///
    /// # Errors
    /// [`NicError::Bulk`] if it fails.
    pub fn read_target_counters(&mut self, targets: u16) -> Result<Vec<Count>, NicError> {
        self.read_counts(Table::CountTarget, targets.min(self.info().limits.targets).into())
    }

    fn read_counts(&mut self, table: Table, entries: usize) -> Result<Vec<Count>, NicError> {
        let words = self.dump_words(table, 0, entries * table.stride() as usize)?;
        Ok(words.as_chunks::<4>().0.iter().map(|words| count(*words)).collect())
    }

    /// The counter of a verdict with a reason.
    pub fn reason_counter(&self, verdict: Verdict, reason: Reason) -> Count {
        let words: [u32; CountReasonEntry::WORDS] =
            self.read_entry(Table::CountReason, 64 * verdict as u32 + reason as u32);
        count(words)
    }

    /// The counter of a rule; the default rule has the number `limits.rules`. 0 for rules that there are none of.
    pub fn rule_counter(&self, rule: u8) -> Count {
        if rule > self.info().limits.rules {
            return Count::default();
        }
        let words: [u32; CountRuleEntry::WORDS] = self.read_entry(Table::CountRule, rule.into());
        count(words)
    }

    /// The counter of a target. 0 for targets that there are none of.
    pub fn target_counter(&self, target: u16) -> Count {
        if target >= self.info().limits.targets {
            return Count::default();
        }
        let words: [u32; CountTargetEntry::WORDS] = self.read_entry(Table::CountTarget, target.into());
        count(words)
    }

    /// The counters of a wire port; zeros for ports that there are none of.
    pub fn port_counters(&self, port: u8) -> PortCounters {
        if port >= self.info().ports {
            return PortCounters::default();
        }
        let (registers, port) = (self.registers(), port.into());
        PortCounters {
            rx_overrun: registers.port_rx_overrun(port),
            tx: Count { packets: registers.port_tx_packets(port), bytes: registers.port_tx_bytes(port) },
            tx_aborted: registers.port_tx_aborted(port),
        }
    }

    /// The counters of frames from the host.
    pub fn host_tx_counters(&self) -> HostTxCounters {
        let registers = self.registers();
        HostTxCounters {
            sent: Count { packets: registers.host_tx_packets(), bytes: registers.host_tx_bytes() },
            dropped: registers.host_tx_dropped(),
            masked: registers.host_tx_masked(),
            arp: registers.host_tx_arp(),
            neighbour: registers.host_tx_nd(),
        }
    }
}
