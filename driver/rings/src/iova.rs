// SPDX-License-Identifier: Apache-2.0
//! Addresses that the device sees memory at.

use hashgate_device::DMA_PAGE;
use std::collections::BTreeMap;

/// Addresses left out at the bottom, so that a stray small number is none.
const FIRST: u64 = 1 << 20;
/// End: what every IOMMU takes.
const END: u64 = 1 << 39;
/// Window of interrupt messages.
const WINDOW: std::ops::Range<u64> = 0xfee0_0000..0xfef0_0000;

/// Free addresses of a device: whole pages below 2^39, outside the window of interrupt messages. The lowest that fit are given out.
pub struct IovaSpace {
    /// Free ranges: start, end. No two of them touch.
    free: BTreeMap<u64, u64>,
}

impl Default for IovaSpace {
    fn default() -> IovaSpace {
        IovaSpace::new()
    }
}

impl IovaSpace {
    /// All of them are free.
    pub fn new() -> IovaSpace {
        IovaSpace { free: BTreeMap::from([(FIRST, WINDOW.start), (WINDOW.end, END)]) }
    }

    /// Those from `first` on, which is rounded up to a whole page and lies above the window of interrupt messages: the rest is somebody else's.
    ///
    /// # Panics
    /// If `first` is not above the window and below 2^39.
    pub fn above(first: u64) -> IovaSpace {
        assert!((WINDOW.end..END).contains(&first), "{first:#x} is not between {:#x} and {END:#x}", WINDOW.end);
        IovaSpace { free: BTreeMap::from([(first.next_multiple_of(DMA_PAGE as u64), END)]) }
    }

    /// Takes addresses for `bytes`, rounded up to whole pages; `None` if there is no room. A page behind each range stays free, so that an
    /// access beyond the end of one does not meet the next.
    pub fn take(&mut self, bytes: usize) -> Option<u64> {
        let bytes = Self::taken(bytes)?;
        let (start, end) =
            self.free.iter().find(|(start, end)| *end - *start >= bytes).map(|(start, end)| (*start, *end))?;
        self.free.remove(&start);
        if start + bytes < end {
            self.free.insert(start + bytes, end);
        }
        Some(start)
    }

    /// Gives back what [`IovaSpace::take`] gave for `bytes`.
    pub fn give_back(&mut self, start: u64, bytes: usize) {
        let Some(mut end) = Self::taken(bytes).map(|bytes| start + bytes) else { return };
        let mut start = start;
        if let Some(above) = self.free.remove(&end) {
            end = above;
        }
        if let Some((&below, &until)) = self.free.range(..start).next_back() {
            debug_assert!(until <= start, "addresses are given back once");
            if until == start {
                start = below;
            }
        }
        self.free.insert(start, end);
    }

    /// Bytes with the gap behind them.
    fn taken(bytes: usize) -> Option<u64> {
        let page = DMA_PAGE as u64;
        (bytes as u64).max(1).checked_next_multiple_of(page)?.checked_add(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashgate_device::check_dma;

    #[test]
    fn ranges_are_apart_and_come_back() {
        let mut space = IovaSpace::new();
        let sizes = [1, 4096, 4097, 1 << 30, 3 << 30, 1 << 35, 10];
        let starts: Vec<u64> = sizes.iter().map(|bytes| space.take(*bytes).unwrap()).collect();
        for (n, (start, bytes)) in starts.iter().zip(sizes).enumerate() {
            let whole = bytes.next_multiple_of(DMA_PAGE);
            check_dma(*start, whole).unwrap();
            for (other, others) in starts.iter().zip(sizes).take(n) {
                assert!(start + whole as u64 <= *other || other + others as u64 <= *start, "{start:#x} and {other:#x}");
            }
        }
        assert!(starts[3] < WINDOW.start && starts[4] >= WINDOW.end, "what does not fit below the window is above it");
        for n in [3, 0, 6, 1, 4, 2, 5] {
            space.give_back(starts[n], sizes[n]);
        }
        assert_eq!(space.free, IovaSpace::new().free);
    }

    #[test]
    fn a_part_stays_somebody_elses() {
        let mut space = IovaSpace::above((1 << 38) + 1);
        assert_eq!(space.take(1), Some((1 << 38) + DMA_PAGE as u64));
        assert_eq!(space.take(1 << 38), None);
    }

    #[test]
    fn addresses_end() {
        let mut space = IovaSpace::new();
        assert_eq!(space.take(1 << 39), None);
        assert_eq!(space.take(usize::MAX), None);
        let most = (END - WINDOW.end) as usize - DMA_PAGE;
        assert_eq!(space.take(most + 1), None);
        assert_eq!(space.take(most), Some(WINDOW.end));
        assert_eq!(space.take(1 << 33), None);
        space.give_back(WINDOW.end, most);
        assert_eq!(space.take(1 << 33), Some(WINDOW.end));
    }
}
