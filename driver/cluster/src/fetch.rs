// SPDX-License-Identifier: Apache-2.0
//! Getting the base from those who have it, piece by piece.

use crate::api::Time;
use crate::map::BucketMap;
use crate::maps::MapSet;
use crate::message::{Fetch, HostId, MAX_RULES, MapIndex, MapPage, PAGE_BUCKETS};
use hashgate_tables::{BUCKETS, NOBODY};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Questions to a holder without an answer before the next one is asked.
const FETCH_TRIES: u8 = 3;
const PAGES: usize = BUCKETS / PAGE_BUCKETS;

/// A fetch under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fetching {
    pub digest: u64,
    index: Option<Vec<(u64, u32)>>,
    /// Maps that are complete, by CRC.
    maps: BTreeMap<u32, Arc<BucketMap>>,
    /// Pages of the map that is asked for.
    pages: Vec<MapPage>,
    holder: usize,
    tries: u8,
    pub again_at: Time,
}

impl Fetching {
    /// `known`: maps that need not be fetched.
    pub fn new<'m>(digest: u64, known: impl Iterator<Item = &'m Arc<BucketMap>>, now: Time) -> Fetching {
        let maps = known.map(|map| (MapSet::crc(map), map.clone())).collect();
        Fetching { digest, index: None, maps, pages: Vec::new(), holder: 0, tries: 0, again_at: now }
    }

    /// The next question, to one of `holders`, if it is time for one.
    pub fn ask(&mut self, now: Time, period: Time, holders: &[HostId]) -> Option<Fetch> {
        if holders.is_empty() || now < self.again_at {
            return None;
        }
        if self.tries == FETCH_TRIES {
            (self.tries, self.holder) = (0, self.holder + 1);
        }
        self.tries += 1;
        self.again_at = now + period;
        let from = holders[self.holder % holders.len()];
        Some(match (&self.index, self.missing()) {
            (Some(_), Some(crc)) => Fetch::Page { from, crc, first: (self.pages.len() * PAGE_BUCKETS) as u16 },
            _ => Fetch::Index { from, digest: self.digest },
        })
    }

    fn missing(&self) -> Option<u32> {
        self.index.as_ref()?.iter().map(|(_, crc)| *crc).find(|crc| !self.maps.contains_key(crc))
    }

    /// Takes an index; gives the maps if that was all.
    pub fn take_index(&mut self, now: Time, index: &MapIndex) -> Option<Arc<MapSet>> {
        let fits = index.digest == self.digest && index.maps.len() <= MAX_RULES + 1 && self.index.is_none();
        if fits && MapSet::digest_of(index.maps.iter().copied()) == self.digest {
            self.index = Some(index.maps.clone());
            (self.again_at, self.tries) = (now, 0);
        }
        self.complete()
    }

    /// Takes a page; gives the maps if that was all.
    pub fn take_page(&mut self, now: Time, page: &MapPage) -> Option<Arc<MapSet>> {
        let wanted = self.missing() == Some(page.crc) && usize::from(page.first) == self.pages.len() * PAGE_BUCKETS;
        if !wanted || page.owners.len() != PAGE_BUCKETS {
            return None;
        }
        self.pages.push(page.clone());
        (self.again_at, self.tries) = (now, 0);
        if self.pages.len() == PAGES {
            let pages = std::mem::take(&mut self.pages);
            let owner = |owner: &Option<HostId>| owner.map_or(NOBODY, |host| host.get().into());
            let owners = pages.iter().flat_map(|page| &page.owners).map(owner).collect();
            let weights = pages[0].weights.iter().map(|(host, weight)| (host.get().into(), *weight)).collect();
            match BucketMap::from_parts(owners, weights) {
                Some(map) if MapSet::crc(&map) == page.crc => {
                    self.maps.insert(page.crc, Arc::new(map));
                }
                // Somebody sent something else: all pages again, from the next one.
                _ => (self.holder, self.tries) = (self.holder + 1, 0),
            }
        }
        self.complete()
    }

    fn complete(&self) -> Option<Arc<MapSet>> {
        let maps = self.index.as_ref()?.iter().map(|(key, crc)| Some((*key, self.maps.get(crc)?.clone())));
        Some(Arc::new(MapSet { maps: maps.collect::<Option<_>>()? }))
    }
}

/// The answer to a question about one of these sets.
pub fn answer<'s>(question: &Fetch, mut sets: impl Iterator<Item = &'s Arc<MapSet>>) -> Option<Answer> {
    match *question {
        Fetch::Index { digest, .. } => {
            let set = sets.find(|set| set.digest() == digest)?;
            let maps = set.maps.iter().map(|(key, map)| (*key, MapSet::crc(map))).collect();
            Some(Answer::Index(MapIndex { digest, maps }))
        }
        Fetch::Page { crc, first, .. } => {
            let map = sets.flat_map(|set| &set.maps).map(|(_, map)| map).find(|map| MapSet::crc(map) == crc)?;
            let owners = map.owners().get(usize::from(first)..usize::from(first) + PAGE_BUCKETS)?;
            let host = |target: u16| u8::try_from(target).ok().and_then(HostId::new);
            let owners = owners.iter().map(|owner| host(*owner)).collect();
            let weights = map.weights().iter().filter_map(|(target, weight)| Some((host(*target)?, *weight))).collect();
            Some(Answer::Page(MapPage { crc, first, weights, owners }))
        }
    }
}

/// An answer.
pub enum Answer {
    Index(MapIndex),
    Page(MapPage),
}
