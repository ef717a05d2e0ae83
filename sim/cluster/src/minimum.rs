// SPDX-License-Identifier: Apache-2.0
//! The fewest buckets that a change can move: an oracle written without regard to how `map.rs` does it.
//!
//! It knows numbers of buckets only. Each host has so many before (`have`) and gets some number after; buckets flow from
//! hosts to hosts. By the rules of the map, a bucket of a host that stays with the same or a higher weight may go only to
//! one that grew or joined; all others may go anywhere. First the sum of what lies beyond the quotas is to be smallest,
//! then the number of buckets that change hosts. That is a flow of minimum cost, solved by successive shortest paths.

use std::collections::BTreeMap;

/// Cost of a bucket beyond a quota: more than all moves together.
const BEYOND: i64 = 1 << 20;

struct Edge {
    to: usize,
    room: i64,
    cost: i64,
}

#[derive(Default)]
struct Graph {
    edges: Vec<Edge>,
    out: Vec<Vec<usize>>,
}

impl Graph {
    fn new(nodes: usize) -> Graph {
        Graph { edges: Vec::new(), out: vec![Vec::new(); nodes] }
    }

    /// An edge and its reverse, which has the number after it.
    fn add(&mut self, from: usize, to: usize, room: i64, cost: i64) {
        self.out[from].push(self.edges.len());
        self.edges.push(Edge { to, room, cost });
        self.out[to].push(self.edges.len());
        self.edges.push(Edge { to: from, room: 0, cost: -cost });
    }

    /// Sends as much as possible from `source` to `sink`, as cheaply as possible: amount and cost.
    fn flow(&mut self, source: usize, sink: usize) -> (i64, i64) {
        let (mut amount, mut total) = (0, 0);
        loop {
            // Bellman and Ford, with a queue.
            let mut distance = vec![i64::MAX; self.out.len()];
            let mut by = vec![usize::MAX; self.out.len()];
            let mut queue = std::collections::VecDeque::from([source]);
            let mut queued = vec![false; self.out.len()];
            distance[source] = 0;
            while let Some(node) = queue.pop_front() {
                queued[node] = false;
                for &number in &self.out[node] {
                    let edge = &self.edges[number];
                    let length = distance[node] + edge.cost;
                    if edge.room > 0 && length < distance[edge.to] {
                        distance[edge.to] = length;
                        by[edge.to] = number;
                        if !queued[edge.to] {
                            queued[edge.to] = true;
                            queue.push_back(edge.to);
                        }
                    }
                }
            }
            if distance[sink] == i64::MAX {
                return (amount, total);
            }
            let mut path = Vec::new();
            let mut node = sink;
            while node != source {
                path.push(by[node]);
                node = self.edges[by[node] ^ 1].to;
            }
            let some = path.iter().map(|number| self.edges[*number].room).min().expect("a path has edges");
            for number in path {
                self.edges[number].room -= some;
                self.edges[number ^ 1].room += some;
            }
            amount += some;
            total += some * distance[sink];
        }
    }
}

/// The fewest moves from `have` buckets by host, shared out by the weights `old`, to the weights `new`. Buckets of
/// nobody count in `nobodys`. All weights are above 0.
pub fn fewest_moves(
    have: &BTreeMap<u16, usize>,
    nobodys: usize,
    old: &BTreeMap<u16, u32>,
    new: &BTreeMap<u16, u32>,
) -> usize {
    let owned: usize = have.values().sum();
    if new.is_empty() {
        return owned;
    }
    let buckets = (owned + nobodys) as u64;
    let total: u64 = new.values().map(|w| u64::from(*w)).sum();
    // Nodes: source, sink, buckets of hosts that are gone and of nobody, then each host before and after.
    let (source, sink, free) = (0, 1, 2);
    let before = |i: usize| 3 + 2 * i;
    let after = |i: usize| 4 + 2 * i;
    let mut graph = Graph::new(3 + 2 * new.len());
    let staying: usize = new.keys().map(|host| have.get(host).copied().unwrap_or(0)).sum();
    graph.add(source, free, (owned + nobodys - staying) as i64, 0);
    let grown: Vec<bool> = new.iter().map(|(host, weight)| old.get(host).is_none_or(|was| weight > was)).collect();
    for (i, (host, weight)) in new.iter().enumerate() {
        let quota = buckets * u64::from(*weight);
        let (low, high) = ((quota / total) as i64, quota.div_ceil(total) as i64);
        graph.add(after(i), sink, low, -BEYOND);
        graph.add(after(i), sink, high - low, 0);
        graph.add(after(i), sink, buckets as i64, BEYOND);
        graph.add(source, before(i), have.get(host).copied().unwrap_or(0) as i64, 0);
        graph.add(before(i), after(i), buckets as i64, 0);
        graph.add(free, after(i), buckets as i64, 1);
        let shrunk = old.get(host).is_some_and(|was| weight < was);
        for (j, grown) in grown.iter().enumerate() {
            if i != j && (shrunk || *grown) {
                graph.add(before(i), after(j), buckets as i64, 1);
            }
        }
    }
    let (amount, cost) = graph.flow(source, sink);
    debug_assert_eq!(amount as u64, buckets);
    // The cost of moves is what is left modulo the other, as it is much smaller.
    cost.rem_euclid(BEYOND) as usize
}

#[cfg(test)]
mod tests {
    use super::fewest_moves;
    use std::collections::BTreeMap;

    fn weights(hosts: &[(u16, u32)]) -> BTreeMap<u16, u32> {
        hosts.iter().copied().collect()
    }

    #[test]
    fn known_numbers() {
        let old: BTreeMap<u16, u32> = (1..=32).map(|h| (h, 1)).collect();
        let have: BTreeMap<u16, usize> = (1..=32).map(|h| (h, 128)).collect();
        let without = |gone: &[u16]| old.iter().filter(|(h, _)| !gone.contains(h)).map(|(h, w)| (*h, *w)).collect();
        assert_eq!(fewest_moves(&have, 0, &old, &old), 0);
        assert_eq!(fewest_moves(&have, 0, &old, &without(&[7])), 128);
        assert_eq!(fewest_moves(&have, 0, &old, &without(&[7, 8, 31])), 384);
        // A thirty-third host would get 4096 / 33 = 124.1 buckets: no fewer than 124 move.
        let mut joined = old.clone();
        joined.insert(33, 1);
        assert_eq!(fewest_moves(&have, 0, &old, &joined), 124);
        // Half the weight of one: 4096 * 0.5 / 31.5 = 65.02 stay at least with 65, at most 66.
        let halved: BTreeMap<u16, u32> = (1..=32).map(|h| (h, if h == 1 { 1 } else { 2 })).collect();
        let doubled: BTreeMap<u16, u32> = (1..=32).map(|h| (h, 2)).collect();
        assert_eq!(fewest_moves(&have, 0, &doubled, &halved), 128 - 66);
    }

    #[test]
    fn what_stays_does_not_move() {
        // 1 has more than its share, but 3 leaves: 1 gives nothing, 2 gets all.
        let have = BTreeMap::from([(1, 60), (2, 20), (3, 20)]);
        let moves = fewest_moves(&have, 0, &weights(&[(1, 1), (2, 1), (3, 1)]), &weights(&[(1, 1), (2, 1)]));
        assert_eq!(moves, 20);
        // With somebody who joins, it may give.
        let moves = fewest_moves(&have, 0, &weights(&[(1, 1), (2, 1), (3, 1)]), &weights(&[(1, 1), (2, 1), (4, 1)]));
        assert_eq!(moves, 60 - 34 + 20);
        // Nobody left: all are given up.
        assert_eq!(fewest_moves(&have, 0, &weights(&[(1, 1)]), &BTreeMap::new()), 100);
        // First map.
        assert_eq!(fewest_moves(&BTreeMap::new(), 100, &BTreeMap::new(), &weights(&[(1, 1)])), 100);
    }
}
