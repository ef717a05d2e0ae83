// SPDX-License-Identifier: Apache-2.0
//! Which data queue a frame goes to.

use crate::RingError;
use hashgate_regs::defs::Reason;
use hashgate_regs::host::DATA_QUEUES;
use std::collections::BTreeMap;

/// Which data queue frames go to that are not of the control class: by reason; else by bucket, if they have one; else the core decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueChoice {
    /// Queue 0..=7 of reasons that have their own.
    pub by_reason: BTreeMap<Reason, u8>,
    /// Queue 0..=7 by the low seven bits of the bucket.
    pub spread: [u8; 128],
}

impl Default for QueueChoice {
    /// As after power-up: all frames with a bucket go to queue 0.
    fn default() -> QueueChoice {
        QueueChoice { by_reason: BTreeMap::new(), spread: [0; 128] }
    }
}

impl QueueChoice {
    /// Buckets spread evenly over queues 0 to `queues` - 1.
    ///
    /// # Errors
    /// [`RingError::Range`] unless there are 1 to 8.
    pub fn spread_over(queues: u8) -> Result<QueueChoice, RingError> {
        if !(1..=DATA_QUEUES as u8).contains(&queues) {
            return Err(RingError::Range { what: "number of queues", value: queues.into(), possible: "1 to 8" });
        }
        Ok(QueueChoice { spread: std::array::from_fn(|n| (n % usize::from(queues)) as u8), ..QueueChoice::default() })
    }

    /// Words of the registers.
    pub(crate) fn words(&self) -> Result<([u32; 8], [u32; 16]), RingError> {
        let check = |queue: &u8| {
            let good = usize::from(*queue) < DATA_QUEUES;
            let error = RingError::Range { what: "data queue", value: (*queue).into(), possible: "0 to 7" };
            if good { Ok(()) } else { Err(error) }
        };
        self.by_reason.values().chain(&self.spread).try_for_each(check)?;
        let mut reasons = [u32::MAX; 8];
        for (reason, queue) in &self.by_reason {
            let (word, shift) = (*reason as usize / 8, 4 * (*reason as u32 % 8));
            reasons[word] = reasons[word] & !(15 << shift) | u32::from(*queue) << shift;
        }
        let nibbles = |n: usize| (0..8).map(|k| u32::from(self.spread[8 * n + k]) << (4 * k)).sum();
        Ok((reasons, std::array::from_fn(nibbles)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_nibbles() {
        let mut choice = QueueChoice::spread_over(3).unwrap();
        choice.by_reason.insert(Reason::Dedicated, 5);
        let (reasons, spread) = choice.words().unwrap();
        assert_eq!(reasons[0], 0x5fff_ffff);
        assert_eq!(reasons[1..], [u32::MAX; 7]);
        assert_eq!(spread[..2], [0x1021_0210, 0x0210_2102]);
        choice.spread[127] = 8;
        assert!(matches!(choice.words(), Err(RingError::Range { value: 8, .. })));
        assert!(QueueChoice::spread_over(0).is_err());
        assert!(QueueChoice::spread_over(9).is_err());
    }
}
