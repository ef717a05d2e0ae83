// SPDX-License-Identifier: Apache-2.0
//! Placement of keys into an exact-match table of the NIC (VIP table, multicast filter).
//!
//! The table has four ways of equal size. A key may lie in one row of each way, which a hash of the key names; the NIC
//! looks at all four at once. So a set of keys fits if every key can be given a slot of its own among its four. This is
//! a matching in a bipartite graph: [`place`] finds one whenever there is one, by augmenting paths.

use hashgate_tables::STANDARD_HASH_KEY;
use std::collections::HashMap;
use std::hash::Hash;

/// Ways of a table.
pub(crate) const WAYS: usize = 4;

/// A key in the form that is hashed.
pub(crate) trait ExactKey: Clone + Eq + Hash {
    /// Bytes that are hashed, in order.
    fn bytes(&self) -> Vec<u8>;
}

/// The first 32 bits of a Toeplitz hash: the sum (XOR) over all set bits i of `message` of bits i..i+32 of `key`, first
/// bits most significant. `key` is at least four bytes longer than `message`.
fn toeplitz(message: &[u8], key: &[u8]) -> u32 {
    let mut hash = 0;
    for (byte, window) in message.iter().zip(key.windows(5)) {
        let bits = window.iter().fold(0u64, |bits, b| bits << 8 | u64::from(*b));
        for bit in 0..8 {
            if byte << bit & 0x80 != 0 {
                hash ^= (bits >> (8 - bit)) as u32;
            }
        }
    }
    hash
}

/// Constant key of a way: the standard key's 40 bytes, rotated by 5 (way + 1) bytes and repeated. As in `exact_table.sv`.
fn way_key(way: usize) -> [u8; 52] {
    std::array::from_fn(|i| STANDARD_HASH_KEY[(i + 5 * (way + 1)) % 40])
}

/// Entry numbers at which `key` may lie in a table of [`WAYS`] x `rows`, a power of two.
pub(crate) fn candidates(key: &[u8], rows: usize) -> [usize; WAYS] {
    std::array::from_fn(|way| way * rows + (toeplitz(key, &way_key(way)) as usize & (rows - 1)))
}

/// Gives each key an entry number, and keeps those of `current` (what lies where now) where that is possible: a key that
/// is there already moves only to make room for another.
///
/// # Errors
/// The first key, in order, that has no place beside those before it.
pub(crate) fn place<K: ExactKey>(keys: &[K], current: &HashMap<K, usize>, rows: usize) -> Result<Vec<usize>, K> {
    let options: Vec<[usize; WAYS]> = keys.iter().map(|key| candidates(&key.bytes(), rows)).collect();
    // Number of the key in each slot.
    let mut slots: Vec<Option<usize>> = vec![None; WAYS * rows];
    let mut places: Vec<Option<usize>> = vec![None; keys.len()];
    for (n, key) in keys.iter().enumerate() {
        if let Some(&slot) = current.get(key)
            && options[n].contains(&slot)
            && slots[slot].is_none()
        {
            slots[slot] = Some(n);
            places[n] = Some(slot);
        }
    }
    for n in 0..keys.len() {
        if places[n].is_none() && !augment(n, &options, &mut slots, &mut places) {
            return Err(keys[n].clone());
        }
    }
    Ok(places.into_iter().map(|place| place.expect("every key was placed")).collect())
}

/// Places key `n` by the shortest chain of moves: breadth first from its slots over the keys that lie there to theirs.
fn augment(n: usize, options: &[[usize; WAYS]], slots: &mut [Option<usize>], places: &mut [Option<usize>]) -> bool {
    // For each slot reached: the key that would move there.
    let mut mover: Vec<Option<usize>> = vec![None; slots.len()];
    let mut queue = std::collections::VecDeque::from([n]);
    while let Some(key) = queue.pop_front() {
        for &slot in &options[key] {
            if mover[slot].is_some() {
                continue;
            }
            mover[slot] = Some(key);
            match slots[slot] {
                Some(occupant) => queue.push_back(occupant),
                None => {
                    // Free: everybody on the way back moves up by one.
                    let mut slot = slot;
                    loop {
                        let key = mover[slot].expect("the chain was reached from the new key");
                        let left = places[key].replace(slot);
                        slots[slot] = Some(key);
                        match left {
                            Some(left) => slot = left,
                            None => return true,
                        }
                    }
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, seq::SliceRandom};
    use rand_chacha::ChaCha8Rng;
    use std::collections::HashSet;

    impl ExactKey for Vec<u8> {
        fn bytes(&self) -> Vec<u8> {
            self.clone()
        }
    }

    fn check(keys: &[Vec<u8>], places: &[usize], rows: usize) {
        assert_eq!(places.iter().collect::<HashSet<_>>().len(), keys.len(), "two keys share a slot");
        for (key, place) in keys.iter().zip(places) {
            assert!(candidates(key, rows).contains(place), "{key:x?} does not belong to {place}");
        }
    }

    fn ip4(zone: u8, address: u32) -> Vec<u8> {
        [vec![0, zone], vec![0; 12], address.to_be_bytes().to_vec()].concat()
    }

    /// The values published with the receive-side-scaling specification: TCP over IPv4 and over IPv6.
    #[test]
    fn toeplitz_gives_the_published_values() {
        let four = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
        assert_eq!(toeplitz(&four[..8], &STANDARD_HASH_KEY), 0x323e_8fc2);
        assert_eq!(toeplitz(&four, &STANDARD_HASH_KEY), 0x51cc_c178);
        let mut six = Vec::new();
        for address in ["3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1"] {
            six.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
        }
        assert_eq!(toeplitz(&six, &STANDARD_HASH_KEY), 0x2cc1_8cd5);
    }

    #[test]
    fn every_random_set_of_512_fits() {
        for seed in 0..300 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let keys: Vec<Vec<u8>> = match seed % 3 {
                0 => (0..512).map(|_| ip4(0, random.random())).collect(),
                1 => (0..512)
                    .map(|_| {
                        let head = [1, random.random_range(0..3), 0x20, 1, 0x0d, 0xb8];
                        [&head[..], &random.random::<[u8; 12]>()].concat()
                    })
                    .collect(),
                _ => (0..512).map(|_| random.random::<[u8; 6]>().to_vec()).collect(),
            };
            let keys: Vec<_> = keys.into_iter().collect::<HashSet<_>>().into_iter().collect();
            let places = place(&keys, &HashMap::new(), 256).unwrap_or_else(|key| panic!("seed {seed}: {key:x?}"));
            check(&keys, &places, 256);
        }
    }

    /// Addresses in a row, which a linear hash could map to few rows: every way they may start, and with gaps.
    #[test]
    fn sets_in_a_row_fit() {
        for start in [0x0a00_0000u32, 0xc0a8_0101, 0xcb00_7100, 0xfffe_fdfc] {
            for step in 0..20 {
                let keys: Vec<_> = (0..512u32).map(|n| ip4(0, start.wrapping_add(n << step))).collect();
                let keys: Vec<_> = keys.into_iter().collect::<HashSet<_>>().into_iter().collect();
                let places = place(&keys, &HashMap::new(), 256)
                    .unwrap_or_else(|key| panic!("start {start:#x} step {step}: {key:x?}"));
                check(&keys, &places, 256);
            }
        }
        // The same two addresses in every zone.
        let keys: Vec<_> = (0..=255).flat_map(|zone| [ip4(zone, 0x0a00_0001), ip4(zone, 0x0a00_0002)]).collect();
        check(&keys, &place(&keys, &HashMap::new(), 256).unwrap(), 256);
        // Multicast groups 239.0.0.0/23 as MACs.
        let keys: Vec<_> = (0..512u16).map(|n| [&[1, 0, 0x5e, 0][..], &n.to_be_bytes()].concat()).collect();
        check(&keys, &place(&keys, &HashMap::new(), 256).unwrap(), 256);
    }

    #[test]
    fn keys_stay_where_they_are() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut keys: Vec<_> = (0..400).map(|n| ip4(0, 0x0a00_0000 + 7 * n)).collect();
        let first = place(&keys, &HashMap::new(), 256).unwrap();
        let current: HashMap<_, _> = keys.iter().cloned().zip(first).collect();
        keys.shuffle(&mut random);
        keys.truncate(300);
        keys.push(ip4(9, 1));
        let second = place(&keys, &current, 256).unwrap();
        check(&keys, &second, 256);
        let moved = keys.iter().zip(&second).filter(|(key, place)| current.get(*key) != Some(place)).count();
        assert!(moved <= 3, "{moved} of 301 keys moved for one that is new");
    }

    #[test]
    fn five_keys_of_the_same_four_slots_do_not_fit() {
        // Search by brute force for keys that share all four rows of a tiny table.
        let mut groups: HashMap<[usize; WAYS], Vec<Vec<u8>>> = HashMap::new();
        let keys = (0..).find_map(|address| {
            let key = ip4(0, address);
            let group = groups.entry(candidates(&key, 4)).or_default();
            group.push(key);
            (group.len() == 5).then(|| group.clone())
        });
        let keys = keys.unwrap();
        check(&keys[..4], &place(&keys[..4], &HashMap::new(), 4).unwrap(), 4);
        assert_eq!(place(&keys, &HashMap::new(), 4), Err(keys[4].clone()));
    }
}
