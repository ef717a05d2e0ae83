// SPDX-License-Identifier: Apache-2.0
//! Two parts of a cluster that worked by themselves meet again: of each rule the part with more sessions goes on.

use crate::net::*;
use hashgate_cluster::api::{Event, Log, Rule, RuleSet, Sharing};
use hashgate_cluster::map::{BucketMap, Member, next_map};
use hashgate_tables::{BUCKETS, NOBODY};
use std::sync::Arc;

/// Rules 1 and 2 with equal weights; the default host's map is the third.
fn two_rules() -> Arc<RuleSet> {
    let rule = |key| Rule { key, sharing: Sharing::Multiple((1..=5).map(|id| (host(id), 100)).collect()) };
    Arc::new(RuleSet { digest: 12, rules: vec![rule(1), rule(2)] })
}

/// Hosts 1 and 2 on one side, 3, 4 and 5 on the other, both settled; each member has opened so many sessions by rule.
fn parted(sessions: [[u32; 3]; 5]) -> Net {
    let mut net = Net::new(5, GOOD, seed());
    net.nodes.iter_mut().for_each(|node| node.settings.rules = two_rules());
    (1..=5).for_each(|id| net.start(id));
    net.run(3_000 * MS);
    net.assert_stable(&[1, 2, 3, 4, 5]);
    net.part(&[1, 2], &[3, 4, 5]);
    net.run(3_000 * MS);
    assert!(net.is_stable(&[1, 2]) && net.is_stable(&[3, 4, 5]), "{}", net.tell());
    sessions.iter().enumerate().for_each(|(n, sessions)| net.event(n, Event::Connections(sessions.to_vec())));
    net
}

fn maps(net: &Net, id: usize) -> Vec<Arc<BucketMap>> {
    net.nodes[id - 1].nic.maps.maps.iter().map(|(_, map)| map.clone()).collect()
}

/// What a side's map becomes when all five share it.
fn grown(map: &BucketMap) -> BucketMap {
    let members: Vec<Member> = (1..=5).map(|target| Member { target, weight: 100 }).collect();
    next_map(map, &members).expect("members are sound")
}

#[test]
fn of_each_rule_the_part_with_more_sessions_goes_on() {
    // Rule 1: 70 to 60; rule 2: 0 to 3; default host: equal, so that the larger part wins.
    let mut net = parted([[30, 0, 5], [40, 0, 0], [20, 1, 5], [20, 1, 0], [20, 1, 0]]);
    let (one, other) = (maps(&net, 1), maps(&net, 3));
    assert_ne!(one, other);
    let met = net.now;
    net.heal();
    let gave_up = |net: &Net, id: usize, map: usize| {
        let node = &net.nodes[id - 1];
        node.nic.claims(net.now) && node.nic.maps.maps[map].1.owners().iter().all(|owner| *owner == NOBODY)
    };
    // At once: long before they have agreed, and without losing the lease, so that connections go on.
    let at_once = net.run_until(2 * PERIOD, |net| {
        let flagged = |node: &Node| node.nic.flags.iter().take(3).all(|flags| flags.iter().all(|byte| *byte == 0xff));
        let stopped = [3, 4, 5].iter().all(|id| gave_up(net, *id, 0)) && [1, 2].iter().all(|id| gave_up(net, *id, 1));
        // And nobody refuses a connection of the other part.
        stopped && net.nodes.iter().all(flagged)
    });
    assert!(at_once, "{}", net.tell());
    assert!(net.run_until(2_000 * MS, |net| net.is_stable(&[1, 2, 3, 4, 5])), "{}", net.tell());
    let all = maps(&net, 1);
    assert_eq!(*all[0], grown(&one[0]), "rule 1 goes on from the map of hosts 1 and 2");
    assert_eq!(*all[1], grown(&other[1]), "rule 2 goes on from the map of hosts 3, 4 and 5");
    let lost = |id: usize| {
        net.nodes[id - 1]
            .log
            .iter()
            .filter_map(|(_, log)| if let Log::Healed { lost } = log { Some(*lost) } else { None })
    };
    for (id, rules) in [(1, 0b110), (2, 0b110), (3, 0b001), (4, 0b001), (5, 0b001)] {
        let (all, sum) = lost(id).fold((0, 0), |(all, sum), lost| (all | lost, sum + lost));
        assert_eq!((all, sum), (rules, rules), "host {id}: each once");
    }
    let stopped = |(at, log): &(u64, Log)| *at > met && matches!(log, Log::LeaseExpired | Log::Excluded(_));
    assert!(!net.nodes.iter().any(|node| node.log.iter().any(stopped)), "connections go on: {}", net.tell());
}

#[test]
fn what_was_given_up_to_a_part_that_goes_is_taken_back() {
    let mut net = parted([[0, 0, 0], [0, 0, 0], [9, 9, 9], [9, 9, 9], [9, 9, 9]]);
    net.heal();
    let gave_up = |net: &Net| (0..3).all(|map| net.claimed(1, map) + net.claimed(2, map) == 0);
    assert!(net.run_until(2 * PERIOD, gave_up), "{}", net.tell());
    // The winners fail before anything is agreed on.
    [3, 4, 5].iter().for_each(|id| net.crash(*id));
    assert!(net.run_until(4_000 * MS, |net| net.is_stable(&[1, 2])), "{}", net.tell());
    assert_eq!(net.claimed(1, 1) + net.claimed(2, 1), BUCKETS);
    net.assert_single();
}

#[test]
fn parts_of_different_rules_do_not_count_them_against_each_other() {
    let mut net = parted([[5, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]);
    let rules = Arc::new(RuleSet { digest: 13, rules: vec![two_rules().rules[1].clone()] });
    for id in 3..=5 {
        net.command(id, hashgate_cluster::api::Command::Stage(rules.clone()));
    }
    net.command(3, hashgate_cluster::api::Command::Activate);
    net.run(2_000 * MS);
    assert!(net.is_stable(&[3, 4, 5]), "{}", net.tell());
    net.heal();
    net.run(4_000 * MS);
    // Who has committed more recently stays, the others are left out, whatever they have opened.
    let serving: Vec<usize> = (1..=5).filter(|id| net.claimed(*id, 0) > 0).collect();
    assert_eq!(serving, [3, 4, 5], "{}", net.tell());
    assert!(net.nodes.iter().all(|node| !node.log.iter().any(|(_, log)| matches!(log, Log::Healed { .. }))));
}
