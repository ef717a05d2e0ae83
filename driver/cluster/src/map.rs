// SPDX-License-Identifier: Apache-2.0
//! Bucket maps: shares by weight, and the fewest moves when the membership changes.
//!
//! A member's *quota* is `buckets x weight / sum of weights`. The rules, in this order:
//!
//! 1. A bucket of a member that stays with the same or a higher weight moves only to a member that joined or whose
//!    weight grew. So a leave moves the leaver's buckets and no other, and a join takes only what the joiner gets.
//! 2. Every member's number of buckets differs from its quota by less than one; where rule 1 does not allow that, the
//!    sum of what lies beyond is the smallest possible.
//! 3. Of all maps that fulfil 1 and 2, one with the fewest moves.
//!
//! Nothing moves while members and weights are the same. *Which* buckets a member gives or gets is decided by weighted
//! rendezvous (highest random weight: member `m` claims bucket `b` with `-log2(hash(m, b)) / weight`, the smallest
//! claim wins), in integers only, so the answer is the same on every machine.
//!
//! Owners are target ids. A weight of 0 is a member without buckets. With nobody to own them, buckets belong to
//! [`NOBODY`].

use crate::message::MAX_HOSTS;
use hashgate_tables::{BUCKETS, NOBODY};
use std::collections::BTreeMap;
use std::sync::LazyLock;

#[cfg(test)]
mod tests;

/// Highest weight of a member.
pub const MAX_WEIGHT: u32 = 65_535;

/// A member of a cluster and its share of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Target id that owns the member's buckets, 0..=1022.
    pub target: u16,
    /// Load weight, 0..=[`MAX_WEIGHT`]; only the relation to the others' weights counts.
    pub weight: u32,
}

/// Why no map can be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The same target id twice.
    #[error("member {0} is listed twice: every member of a map needs its own target id")]
    DuplicateMember(u16),
    /// The target id is the reserved owner "nobody" or beyond.
    #[error("member {0} cannot own buckets: target ids are 0..=1022, 1023 means nobody")]
    TargetRange(u16),
    /// The weight is above [`MAX_WEIGHT`].
    #[error("member {target} has weight {weight}: the limit is {MAX_WEIGHT}")]
    Weight {
        /// The member.
        target: u16,
        /// Its weight.
        weight: u32,
    },
}

/// Owners of all buckets of one map, and the weights by which they were shared out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketMap {
    owners: Vec<u16>,
    weights: BTreeMap<u16, u32>,
}

impl BucketMap {
    /// A map from elsewhere: [`BUCKETS`] owners, and the weights by which they were shared out. `None` if the number of
    /// owners is another, or an owner other than [`NOBODY`] or a weight is out of range.
    pub fn from_parts(owners: Vec<u16>, weights: BTreeMap<u16, u32>) -> Option<BucketMap> {
        let good = owners.len() == BUCKETS
            && owners.iter().all(|owner| *owner <= NOBODY)
            && weights.iter().all(|(target, weight)| *target < NOBODY && (1..=MAX_WEIGHT).contains(weight));
        good.then_some(BucketMap { owners, weights })
    }

    /// Weights by target by which the buckets were shared out, none of them 0.
    pub fn weights(&self) -> &BTreeMap<u16, u32> {
        &self.weights
    }

    /// Owner of each of the [`BUCKETS`] buckets.
    pub fn owners(&self) -> &[u16] {
        &self.owners
    }

    /// Number of buckets that `target` owns.
    pub fn count(&self, target: u16) -> usize {
        self.owners.iter().filter(|owner| **owner == target).count()
    }

    /// Number of buckets whose owner differs between the two maps.
    pub fn moved(&self, other: &BucketMap) -> usize {
        self.owners.iter().zip(&other.owners).filter(|(a, b)| a != b).count()
    }
}

/// The first map of a cluster: every bucket to the strongest claim, then exact quotas by the fewest moves.
///
/// # Errors
/// [`MapError`] if a member is not possible.
pub fn first_map(members: &[Member]) -> Result<BucketMap, MapError> {
    let weights = checked(members)?;
    let owners = (0..BUCKETS)
        .map(|bucket| {
            let claims = weights.iter().map(|(target, weight)| (Claim::new(*target, *weight, bucket), *target));
            claims.min_by(|a, b| a.0.order(&b.0).then(a.1.cmp(&b.1))).map_or(NOBODY, |(_, target)| target)
        })
        .collect::<Vec<_>>();
    // Here every bucket is free to move: as if every member came from a higher weight.
    let higher = weights.iter().map(|(target, weight)| (*target, weight + 1)).collect();
    Ok(BucketMap { owners: rebalance(&owners, &higher, &weights), weights })
}

/// The map after a change of membership or weights, by the rules of this module.
///
/// # Errors
/// [`MapError`] if a member is not possible.
pub fn next_map(base: &BucketMap, members: &[Member]) -> Result<BucketMap, MapError> {
    let weights = checked(members)?;
    let owners = rebalance(&base.owners, &base.weights, &weights);
    Ok(BucketMap { owners, weights })
}

/// A map with one owner: of a single-host rule, or of the default rule. `None`: nobody.
///
/// # Errors
/// [`MapError::TargetRange`] if the owner is no possible target.
pub fn single_map(owner: Option<u16>) -> Result<BucketMap, MapError> {
    let members = owner.map(|target| Member { target, weight: 1 });
    Ok(BucketMap { weights: checked(members.as_slice())?, owners: vec![owner.unwrap_or(NOBODY); BUCKETS] })
}

/// Weights by target, without those of 0.
fn checked(members: &[Member]) -> Result<BTreeMap<u16, u32>, MapError> {
    let mut weights = BTreeMap::new();
    for Member { target, weight } in members.iter().copied() {
        if target >= NOBODY {
            return Err(MapError::TargetRange(target));
        }
        if weight > MAX_WEIGHT {
            return Err(MapError::Weight { target, weight });
        }
        if weights.insert(target, weight).is_some() {
            return Err(MapError::DuplicateMember(target));
        }
    }
    weights.retain(|_, weight| *weight > 0);
    Ok(weights)
}

/// How a member's weight changed; it decides where its buckets may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Joined, or a higher weight: may take from everybody.
    Grown,
    Same,
    /// A lower weight: may give to everybody.
    Shrunk,
}

#[derive(Clone, Debug)]
struct Share {
    target: u16,
    weight: u32,
    change: Change,
    /// Buckets in the base.
    have: usize,
    /// Buckets in the new map.
    want: usize,
    /// The two whole numbers less than one from the quota; equal if the quota is whole.
    low: usize,
    high: usize,
}

/// New owners from a base by the rules of this module; any number of buckets, all weights above 0.
fn rebalance(base: &[u16], old: &BTreeMap<u16, u32>, new: &BTreeMap<u16, u32>) -> Vec<u16> {
    if new.is_empty() {
        return vec![NOBODY; base.len()];
    }
    let shares = plan(base, old, new);
    let mut owners = base.to_vec();

    // Buckets that move: of members that left, and of those that give, the ones with the weakest claim.
    let (mut bound, mut free) = (Vec::new(), Vec::new());
    free.extend((0..base.len()).filter(|bucket| !new.contains_key(&base[*bucket])));
    for giver in shares.iter().filter(|s| s.have > s.want) {
        let mut own: Vec<usize> = (0..base.len()).filter(|bucket| base[*bucket] == giver.target).collect();
        own.sort_by_cached_key(|bucket| {
            (std::cmp::Reverse(Claim::new(giver.target, giver.weight, *bucket).distance), *bucket)
        });
        let given = &own[..giver.have - giver.want];
        if giver.change == Change::Shrunk { free.extend(given) } else { bound.extend(given) }
    }
    bound.sort_unstable();
    free.sort_unstable();

    // Each goes to the strongest claim among those that still lack some; the bound ones first, as fewer may take them.
    let mut room: Vec<usize> = shares.iter().map(|s| s.want.saturating_sub(s.have)).collect();
    for (buckets, anybody) in [(&bound, false), (&free, true)] {
        for &bucket in buckets {
            let taker = (0..shares.len())
                .filter(|i| room[*i] > 0 && (anybody || shares[*i].change == Change::Grown))
                .min_by(|a, b| {
                    let claim = |i: usize| Claim::new(shares[i].target, shares[i].weight, bucket);
                    claim(*a).order(&claim(*b)).then(a.cmp(b))
                })
                .expect("the plan has room for every bucket that moves");
            room[taker] -= 1;
            owners[bucket] = shares[taker].target;
        }
    }
    owners
}

/// How many buckets each member shall have. In the order of the target ids.
fn plan(base: &[u16], old: &BTreeMap<u16, u32>, new: &BTreeMap<u16, u32>) -> Vec<Share> {
    use Change::{Grown, Same, Shrunk};
    let buckets = base.len() as u64;
    let total: u64 = new.values().map(|w| u64::from(*w)).sum();
    let mut counts = vec![0; usize::from(NOBODY) + 1];
    base.iter().for_each(|owner| counts[usize::from(*owner)] += 1);
    let mut shares: Vec<Share> = new
        .iter()
        .map(|(&target, &weight)| {
            let have = counts[usize::from(target)];
            let quota = buckets * u64::from(weight);
            let change = match weight.cmp(&old.get(&target).copied().unwrap_or(0)) {
                std::cmp::Ordering::Greater => Grown,
                std::cmp::Ordering::Equal => Same,
                std::cmp::Ordering::Less => Shrunk,
            };
            let (low, high) = ((quota / total) as usize, quota.div_ceil(total) as usize);
            Share { target, weight, change, have, want: have, low, high }
        })
        .collect();
    // Buckets of members that left, to be placed.
    let mut pool = base.len() - shares.iter().map(|s| s.have).sum::<usize>();

    // How far a member is below its quota, times `total`; the first of equals is taken, so the answer is the same everywhere.
    let need = |s: &Share| (buckets * u64::from(s.weight)) as i64 - (s.want as u64 * total) as i64;
    let neediest = |shares: &[Share], who: &dyn Fn(&Share) -> bool| {
        (0..shares.len()).filter(|i| who(&shares[*i])).max_by_key(|i| (need(&shares[*i]), std::cmp::Reverse(*i)))
    };
    let fullest = |shares: &[Share], who: &dyn Fn(&Share) -> bool| {
        (0..shares.len()).filter(|i| who(&shares[*i])).min_by_key(|i| (need(&shares[*i]), *i))
    };

    // 1. Members that cannot take from everybody get what is free first: the pool, then what shrunk members have to spare.
    while let Some(taker) = neediest(&shares, &|s| s.change != Grown && s.want < s.low) {
        if pool > 0 {
            pool -= 1;
        } else if let Some(giver) = fullest(&shares, &|s| s.change == Shrunk && s.want > s.low) {
            shares[giver].want -= 1;
        } else {
            break;
        }
        shares[taker].want += 1;
    }
    // 2. Members that grew: first from those too full by rule 2, then what is free, then from those with one to spare.
    while let Some(taker) = neediest(&shares, &|s| s.change == Grown && s.want < s.low) {
        if let Some(giver) = fullest(&shares, &|s| s.change != Shrunk && s.want > s.high) {
            shares[giver].want -= 1;
        } else if pool > 0 {
            pool -= 1;
        } else {
            let giver = fullest(&shares, &|s| s.want > s.low).expect("one lacks, so another has more than its quota");
            shares[giver].want -= 1;
        }
        shares[taker].want += 1;
    }
    // 3. What is left of the pool and of the too full goes one above the rounded-down quota. The free ones leave the places
    //    at grown members to those that can go nowhere else.
    while pool > 0 || shares.iter().any(|s| s.change == Shrunk && s.want > s.high) {
        if pool > 0 {
            pool -= 1;
        } else {
            let giver = fullest(&shares, &|s| s.change == Shrunk && s.want > s.high).expect("just seen");
            shares[giver].want -= 1;
        }
        let taker = neediest(&shares, &|s| s.change != Grown && s.want < s.high)
            .or_else(|| neediest(&shares, &|s| s.want < s.high))
            .expect("quotas rounded up hold all buckets");
        shares[taker].want += 1;
    }
    while let Some(giver) = fullest(&shares, &|s| s.change != Shrunk && s.want > s.high)
        && let Some(taker) = neediest(&shares, &|s| s.change == Grown && s.want < s.high)
    {
        shares[giver].want -= 1;
        shares[taker].want += 1;
    }
    shares
}

/// A member's claim on a bucket in weighted rendezvous: `distance / weight`, the smallest wins.
struct Claim {
    /// `-log2(hash / 2^64)` in 1/2^32.
    distance: u64,
    weight: u64,
}

impl Claim {
    fn new(target: u16, weight: u32, bucket: usize) -> Claim {
        // Those of hosts are asked for again and again.
        static OF_HOSTS: LazyLock<Vec<u64>> = LazyLock::new(|| {
            (0..=MAX_HOSTS).flat_map(|target| (0..BUCKETS).map(move |bucket| distance(target as u16, bucket))).collect()
        });
        let known = (usize::from(target) <= MAX_HOSTS && bucket < BUCKETS)
            .then(|| OF_HOSTS[usize::from(target) * BUCKETS + bucket]);
        Claim { distance: known.unwrap_or_else(|| distance(target, bucket)), weight: u64::from(weight) }
    }

    /// Compares `distance / weight` without dividing; both factors are small enough for 64 bits.
    fn order(&self, other: &Claim) -> std::cmp::Ordering {
        (self.distance * other.weight).cmp(&(other.distance * self.weight))
    }
}

/// `-log2(hash(target, bucket) / 2^64)` in 1/2^32.
fn distance(target: u16, bucket: usize) -> u64 {
    let hash = mix(u64::from(target) << 32 | bucket as u64);
    (64 << 32) - log2(hash.max(1))
}

/// Mixes 64 bits so that each bit of the answer depends on each bit of the input (the output function of the
/// SplitMix generator: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Base-2 logarithm of `x` > 0, in 1/2^32, rounded down: the whole part from the leading one, each further bit by
/// squaring the mantissa.
fn log2(x: u64) -> u64 {
    let whole = u64::from(63 - x.leading_zeros());
    // 1 <= mantissa < 2, in 1/2^63.
    let mut mantissa = u128::from(x << x.leading_zeros());
    let mut result = whole;
    for _ in 0..32 {
        mantissa = (mantissa * mantissa) >> 63;
        let carry = mantissa >> 64;
        mantissa >>= carry;
        result = result << 1 | carry as u64;
    }
    result
}
