// SPDX-License-Identifier: Apache-2.0
//! Map sets: a map for each rule and one for the default host, and the digests by which members compare them.

use crate::map::BucketMap;
use std::sync::Arc;

/// Key of the map of the default host; no rule has it.
pub const DEFAULT_KEY: u64 = 0;

/// What members agree on. The last map is that of the default host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MapSet {
    /// Key of the rule, and its map; at most 65.
    pub maps: Vec<(u64, Arc<BucketMap>)>,
}

impl MapSet {
    /// CRC-32 (ISO-HDLC) of a map: owners as little-endian u16, then each weight as target u16 and weight u32.
    pub fn crc(map: &BucketMap) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for owner in map.owners() {
            crc.update(&owner.to_le_bytes());
        }
        for (target, weight) in map.weights() {
            crc.update(&target.to_le_bytes());
            crc.update(&weight.to_le_bytes());
        }
        crc.finalize()
    }

    /// Digest of the set: the first 64 bits (little-endian) of SHA-256 over key (u64) and CRC-32 (u32) of each map, little-endian.
    pub fn digest(&self) -> u64 {
        Self::digest_of(self.maps.iter().map(|(key, map)| (*key, Self::crc(map))))
    }

    /// As [`MapSet::digest`], from what a [`crate::message::MapIndex`] says.
    pub fn digest_of(index: impl IntoIterator<Item = (u64, u32)>) -> u64 {
        use sha2::{Digest, Sha256};
        let mut sha = Sha256::new();
        for (key, crc) in index {
            sha.update(key.to_le_bytes());
            sha.update(crc.to_le_bytes());
        }
        let digest = sha.finalize();
        u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
    }
}
