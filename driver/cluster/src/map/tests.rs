// SPDX-License-Identifier: Apache-2.0
//! Judges maps by two oracles that share no code with the algorithm: all maps of tiny clusters tried one by one, and a
//! minimum-cost flow for clusters of full size.

use super::*;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

type Weights = BTreeMap<u16, u32>;

fn seed() -> u64 {
    let seed = std::env::var("HASHGATE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed} (HASHGATE_SEED={seed} repeats this run)");
    seed
}

fn members(weights: &Weights) -> Vec<Member> {
    weights.iter().map(|(&target, &weight)| Member { target, weight }).collect()
}

fn counts(owners: &[u16]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for owner in owners {
        *counts.entry(*owner).or_default() += 1;
    }
    counts
}

/// Buckets beyond "less than one from the quota", summed over the members.
fn excess(owners: &[u16], weights: &Weights) -> i64 {
    let total: i64 = weights.values().map(|w| i64::from(*w)).sum();
    let counts = counts(owners);
    let beyond = weights.iter().map(|(target, weight)| {
        let have = counts.get(target).copied().unwrap_or(0) as i64;
        // |have - quota| < 1, times `total`: count the steps towards the quota until it holds.
        let quota = owners.len() as i64 * i64::from(*weight);
        (0..).find(|step| ((have * total - quota).abs() - step * total) < total).unwrap()
    });
    beyond.sum()
}

/// Rule 1: whether a bucket may go from `from` to `to`.
fn may_move(from: u16, to: u16, old: &Weights, new: &Weights) -> bool {
    let weight = |map: &Weights, target| map.get(&target).copied().unwrap_or(0);
    let (stays, reduced) = (weight(new, from) > 0, weight(new, from) < weight(old, from));
    from == to || !stays || reduced || weight(new, to) > weight(old, to)
}

/// Tries every map: smallest (excess, moves) among those that rule 1 allows.
fn best_by_trying_all(base: &[u16], old: &Weights, new: &Weights) -> (i64, usize) {
    let targets: Vec<u16> = new.keys().copied().collect();
    let mut digits = vec![0; base.len()];
    let mut best = (i64::MAX, usize::MAX);
    loop {
        let owners: Vec<u16> = digits.iter().map(|d| targets[*d]).collect();
        if base.iter().zip(&owners).all(|(from, to)| may_move(*from, *to, old, new)) {
            let moves = base.iter().zip(&owners).filter(|(a, b)| a != b).count();
            best = best.min((excess(&owners, new), moves));
        }
        let Some(digit) = digits.iter().position(|d| d + 1 < targets.len()) else { return best };
        digits[digit] += 1;
        digits[..digit].fill(0);
    }
}

/// Smallest (excess, moves) by a minimum-cost flow (repeated shortest augmenting path): source -> members of the base ->
/// {stay, or through a pool at cost 1} -> members of the new map -> sink, where a bucket beyond the rounded-up quota costs
/// a great deal and one up to the rounded-down quota earns as much.
fn best_by_flow(base: &[u16], old: &Weights, new: &Weights) -> (i64, usize) {
    const DEAR: i64 = 1 << 20;
    let total: u64 = new.values().map(|w| u64::from(*w)).sum();
    let index: BTreeMap<u16, usize> = new.keys().enumerate().map(|(i, t)| (*t, i)).collect();
    let n = index.len();
    let (source, sink, free, bound, gone) = (2 * n, 2 * n + 1, 2 * n + 2, 2 * n + 3, 2 * n + 4);
    // (from, to, room, cost); arc k ^ 1 is the way back.
    let mut arcs: Vec<(usize, usize, i64, i64)> = Vec::new();
    let mut arc = |from, to, room: i64, cost: i64| arcs.extend([(from, to, room, cost), (to, from, 0, -cost)]);
    let everything = base.len() as i64;
    let have = counts(base);
    let mut placed = 0;
    let mut must = 0;
    for (target, &i) in &index {
        let (before, after) = (old.get(target).copied().unwrap_or(0), new[target]);
        let own = have.get(target).copied().unwrap_or(0) as i64;
        placed += own;
        arc(source, i, own, 0);
        arc(i, n + i, everything, 0);
        arc(i, if after < before { free } else { bound }, everything, 1);
        arc(free, n + i, everything, 0);
        if after > before {
            arc(bound, n + i, everything, 0);
        }
        let quota = base.len() as u64 * u64::from(after);
        let (low, high) = ((quota / total) as i64, quota.div_ceil(total) as i64);
        must += low;
        arc(n + i, sink, low, -DEAR);
        arc(n + i, sink, high - low, 0);
        arc(n + i, sink, everything, DEAR);
    }
    arc(source, gone, everything - placed, 0);
    arc(gone, free, everything, 1);

    let (mut flow, mut cost) = (0, 0);
    while flow < everything {
        let mut distance = vec![(i64::MAX, usize::MAX); 2 * n + 5];
        distance[source].0 = 0;
        while {
            let mut changed = false;
            for (k, &(from, to, room, cost)) in arcs.iter().enumerate() {
                if room > 0 && distance[from].0 != i64::MAX && distance[from].0 + cost < distance[to].0 {
                    distance[to] = (distance[from].0 + cost, k);
                    changed = true;
                }
            }
            changed
        } {}
        let path: Vec<usize> = std::iter::successors(Some(distance[sink].1), |k| {
            let from = arcs[*k].0;
            (from != source).then(|| distance[from].1)
        })
        .collect();
        let amount = path.iter().map(|k| arcs[*k].2).min().unwrap().min(everything - flow);
        for k in path {
            arcs[k].2 -= amount;
            arcs[k ^ 1].2 += amount;
        }
        flow += amount;
        cost += amount * distance[sink].0;
    }
    // cost = moves + DEAR x (above - kept), and missing = must - kept.
    let moves = cost.rem_euclid(DEAR);
    ((cost - moves) / DEAR + must, moves as usize)
}

/// A random change of a membership: leaves, joins, weight changes, or all at once.
fn change(rng: &mut ChaCha8Rng, old: &Weights, most: u16, weight: u32) -> Weights {
    let kind = rng.random_range(0..4);
    let mut new = old.clone();
    let leave = |rng: &mut ChaCha8Rng, new: &mut Weights| {
        if new.len() > 1 {
            let gone = *new.keys().choose(rng).unwrap();
            new.remove(&gone);
        }
    };
    let join = |rng: &mut ChaCha8Rng, new: &mut Weights| {
        let id = rng.random_range(1..=most);
        new.entry(id).or_insert(rng.random_range(1..=weight));
    };
    for _ in 0..rng.random_range(1..=2) {
        match kind {
            0 => leave(rng, &mut new),
            1 => join(rng, &mut new),
            2 => *new.values_mut().choose(rng).unwrap() = rng.random_range(1..=weight),
            _ => {
                leave(rng, &mut new);
                join(rng, &mut new);
                *new.values_mut().choose(rng).unwrap() = rng.random_range(1..=weight);
            }
        }
    }
    new
}

fn check_rule_1(base: &[u16], next: &[u16], old: &Weights, new: &Weights) {
    for (bucket, (from, to)) in base.iter().zip(next).enumerate() {
        assert!(may_move(*from, *to, old, new), "bucket {bucket} moved from {from} to {to}: {old:?} -> {new:?}");
    }
}

#[test]
fn oracles_agree_and_tiny_maps_are_minimal() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    for _ in 0..1500 {
        let mut old: Weights = (1..=4).map(|id| (id, rng.random_range(1..=4))).collect();
        old.retain(|_, _| rng.random_bool(0.7));
        if old.is_empty() {
            continue;
        }
        let new = change(&mut rng, &old, 4, 4);
        // Any base, also one far from balance: members restart and partitions heal.
        let candidates: Vec<u16> = old.keys().copied().chain([NOBODY]).collect();
        let base: Vec<u16> = (0..rng.random_range(1..=6)).map(|_| *candidates.choose(&mut rng).unwrap()).collect();
        let next = rebalance(&base, &old, &new);
        check_rule_1(&base, &next, &old, &new);
        let moves = base.iter().zip(&next).filter(|(a, b)| a != b).count();
        let best = best_by_trying_all(&base, &old, &new);
        assert_eq!(best_by_flow(&base, &old, &new), best, "the oracles differ: {base:?} {old:?} -> {new:?}");
        assert_eq!((excess(&next, &new), moves), best, "not minimal: {base:?} -> {next:?}, {old:?} -> {new:?}");
    }
}

#[test]
fn chains_of_changes_are_minimal() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    for _ in 0..12 {
        let size = rng.random_range(1..=16);
        let mut weights: Weights = (0..size).map(|_| (rng.random_range(1..=32), rng.random_range(1..=100))).collect();
        let mut map = first_map(&members(&weights)).unwrap();
        assert_eq!(excess(map.owners(), &weights), 0);
        for _ in 0..12 {
            let new = change(&mut rng, &weights, 32, 100);
            let next = next_map(&map, &members(&new)).unwrap();
            check_rule_1(map.owners(), next.owners(), &weights, &new);
            let best = best_by_flow(map.owners(), &weights, &new);
            assert_eq!((excess(next.owners(), &new), map.moved(&next)), best, "{weights:?} -> {new:?}");
            assert_eq!(next_map(&next, &members(&new)).unwrap(), next, "same membership, other map");
            (map, weights) = (next, new);
        }
    }
}

#[test]
fn leave_moves_the_leavers_buckets_only_and_join_takes_only_its_share() {
    for hosts in [2u16, 3, 7, 32] {
        let all: Weights = (1..=hosts).map(|id| (id, 1)).collect();
        let map = first_map(&members(&all)).unwrap();
        for leaver in 1..=hosts {
            let mut rest = all.clone();
            rest.remove(&leaver);
            let without = next_map(&map, &members(&rest)).unwrap();
            for (before, after) in map.owners().iter().zip(without.owners()) {
                assert!((before == after) != (*before == leaver), "{before} -> {after} when {leaver} left");
            }
            let back = next_map(&without, &members(&all)).unwrap();
            assert_eq!(without.moved(&back), back.count(leaver));
            let quota = BUCKETS as f64 / f64::from(hosts);
            assert!((back.count(leaver) as f64 - quota).abs() < 1.0);
        }
    }
}

#[test]
fn weights_that_only_scale_move_nothing() {
    let weights: Weights = [(1, 10), (2, 20), (3, 30)].into();
    let map = first_map(&members(&weights)).unwrap();
    let doubled: Weights = weights.iter().map(|(t, w)| (*t, 2 * w)).collect();
    assert_eq!(map.moved(&next_map(&map, &members(&doubled)).unwrap()), 0);
    assert_eq!((map.count(1), map.count(2), map.count(3)), (682, 1366, 2048));
}

#[test]
fn first_map_is_near_the_pure_rendezvous() {
    // Exact quotas cost few moves against the unrounded claims: the claims alone share out by weight.
    let weights: Weights = [(1, 100), (2, 100), (3, 50), (4, 25)].into();
    let map = first_map(&members(&weights)).unwrap();
    let strongest = |bucket| {
        let claim = |t: &u16| Claim::new(*t, weights[t], bucket);
        *weights.keys().min_by(|a, b| claim(a).order(&claim(b))).unwrap()
    };
    let moved = (0..BUCKETS).filter(|bucket| map.owners()[*bucket] != strongest(*bucket)).count();
    // Standard deviation of a host's count is below 32; four of them moved by three deviations would be 384.
    assert!(moved < 384, "{moved} buckets moved from the strongest claim");
}

#[test]
fn maps_are_the_same_on_every_machine() {
    // A change of the claims would break clusters of mixed versions. The owners of the first buckets were computed apart
    // from this code, in floating point; the checksum covers all.
    let weights: Weights = [(1, 100), (2, 60), (3, 40)].into();
    let map = first_map(&members(&weights)).unwrap();
    let sum = map.owners().iter().fold(0u64, |sum, owner| mix(sum ^ u64::from(*owner)));
    assert_eq!((&map.owners()[..12], sum), (&[2, 2, 1, 2, 1, 2, 2, 2, 1, 1, 2, 3][..], 8_648_166_458_394_916_197));
}

#[test]
fn logarithm_matches_floating_point() {
    for x in [1u64, 2, 3, 10, 12345, 1 << 40, u64::MAX / 3, u64::MAX] {
        let exact = (x as f64).log2() * f64::from(2u32).powi(32);
        assert!((log2(x) as f64 - exact).abs() <= 64.0, "log2({x})");
    }
}

#[test]
fn edge_cases() {
    assert!(first_map(&[]).unwrap().owners().iter().all(|o| *o == NOBODY));
    let idle = first_map(&[Member { target: 4, weight: 0 }]).unwrap();
    assert_eq!(idle.count(NOBODY), BUCKETS);
    let revived = next_map(&idle, &[Member { target: 4, weight: 1 }]).unwrap();
    assert_eq!(revived.count(4), BUCKETS);
    assert_eq!(single_map(Some(9)).unwrap().count(9), BUCKETS);
    assert_eq!(single_map(None).unwrap().count(NOBODY), BUCKETS);
    assert_eq!(single_map(Some(NOBODY)), Err(MapError::TargetRange(NOBODY)));
    let twice = [Member { target: 4, weight: 1 }; 2];
    assert_eq!(first_map(&twice), Err(MapError::DuplicateMember(4)));
    let heavy = Member { target: 1, weight: MAX_WEIGHT + 1 };
    assert_eq!(first_map(&[heavy]), Err(MapError::Weight { target: 1, weight: MAX_WEIGHT + 1 }));
    let heaviest = first_map(&[Member { target: 1, weight: MAX_WEIGHT }, Member { target: 2, weight: 1 }]).unwrap();
    assert!(heaviest.count(1) >= 4095);
}
