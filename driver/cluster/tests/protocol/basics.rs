// SPDX-License-Identifier: Apache-2.0
//! Joining, leaving, weights, rules: on a good network.

use crate::net::*;
use hashgate_cluster::api::{Adopted, Command, Exclusion, Log, Quorum, Rule, RuleSet, Sharing};
use hashgate_cluster::message::Phase;
use hashgate_tables::BUCKETS;
use std::sync::Arc;

#[test]
fn a_lone_member_listens_then_serves_everything() {
    let mut net = Net::new(1, GOOD, seed());
    net.start(1);
    net.run(SILENCE - MS);
    assert_eq!(net.phase(1), Some(Phase::Listening));
    assert_eq!(net.claimed(1, 0), 0);
    assert!(net.run_until(300 * MS, |net| net.is_stable(&[1])), "{}", net.tell());
}

#[test]
fn members_that_start_together_share_everything() {
    let net = Net::settled(5, GOOD, seed());
    for id in 1..=5 {
        assert!((819..=820).contains(&net.claimed(id, 0)), "{}", net.tell());
        assert_eq!(net.claimed(id, 1), if id == 1 { BUCKETS } else { 0 }, "the lowest is the default host");
        assert_eq!(net.status(id).committed.unwrap().epoch, 1);
    }
}

#[test]
fn a_crash_is_found_and_covered_in_time_and_moves_only_the_leavers_buckets() {
    let mut net = Net::settled(5, GOOD, seed());
    let before = net.nodes[0].nic.maps.clone();
    net.crash(3);
    assert!(net.run_until(500 * MS, |net| [1, 2, 4, 5].iter().all(|id| !net.status(*id).heard.contains(host(3)))));
    assert!(net.run_until(500 * MS, |net| net.is_stable(&[1, 2, 4, 5])), "{}", net.tell());
    let after = &net.nodes[0].nic.maps;
    for (old, new) in before.maps[0].1.owners().iter().zip(after.maps[0].1.owners()) {
        assert!(old == new || *old == 3, "a survivor keeps its buckets");
    }
    assert!(!net.nodes.iter().any(|node| node.log.iter().any(|(_, log)| *log == Log::LeaseExpired)));
    net.assert_single();
}

#[test]
fn a_joiner_fetches_the_base_and_gets_its_share() {
    let mut net = Net::settled(2, GOOD, seed());
    net.crash(2);
    net.run(2_000 * MS);
    let before = net.nodes[0].nic.maps.clone();
    net.start(2);
    net.run(2_000 * MS);
    net.assert_stable(&[1, 2]);
    assert_eq!(before.maps[0].1.moved(&net.nodes[0].nic.maps.maps[0].1), BUCKETS / 2);
    assert_eq!(net.status(2).committed.unwrap().epoch, 3);
}

#[test]
fn a_moving_bucket_is_without_owner_for_two_periods_at_most() {
    let mut net = Net::settled(3, GOOD, seed());
    net.command(1, Command::Capacity(50));
    let total = |net: &Net| (1..=3).map(|id| net.claimed(id, 0)).sum::<usize>();
    assert!(net.run_until(1_000 * MS, |net| total(net) < BUCKETS), "{}", net.tell());
    let from = net.now;
    assert!(net.run_until(1_000 * MS, |net| total(net) == BUCKETS), "{}", net.tell());
    assert!(net.now - from <= 2 * PERIOD, "{} ms", (net.now - from) / MS);
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2, 3]);
    assert!((819..=820).contains(&net.claimed(1, 0)), "{}", net.tell());
}

#[test]
fn a_draining_member_gets_nothing_and_stays() {
    let mut net = Net::settled(3, GOOD, seed());
    net.command(1, Command::Drain);
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2, 3]);
    assert_eq!((net.claimed(1, 0), net.claimed(1, 1)), (0, 0));
    assert_eq!(net.claimed(2, 1), BUCKETS, "the default host is the next one");
    net.command(1, Command::Undrain);
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2, 3]);
    assert_eq!(net.claimed(1, 1), BUCKETS);
}

#[test]
fn a_rule_drains_alone() {
    let mut net = Net::settled(2, GOOD, seed());
    net.command(1, Command::DrainRules(1));
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2]);
    assert_eq!((net.claimed(1, 0), net.claimed(1, 1)), (0, BUCKETS));
    net.command(1, Command::EnableRules(1));
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2]);
    assert_eq!(net.claimed(1, 0), BUCKETS / 2);
}

#[test]
fn a_stopped_member_withdraws_at_once_and_the_others_do_not_wait_for_its_lease() {
    let mut net = Net::settled(3, GOOD, seed());
    net.command(2, Command::Stop);
    assert_eq!(net.claimed(2, 0), 0);
    assert!(net.run_until(350 * MS, |net| net.is_stable(&[1, 3])), "{}", net.tell());
    net.run(1_000 * MS);
    net.assert_stable(&[1, 3]);
    net.command(2, Command::Start);
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2, 3]);
}

#[test]
fn suspend_outlasts_start() {
    let mut net = Net::settled(2, GOOD, seed());
    net.command(2, Command::Suspend);
    net.command(2, Command::Start);
    net.run(1_000 * MS);
    assert_eq!(net.phase(2), Some(Phase::Suspended));
    net.assert_stable(&[1]);
    net.command(2, Command::Resume);
    net.command(2, Command::Start);
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2]);
}

#[test]
fn a_staged_rule_set_is_active_everywhere_or_nowhere() {
    let mut net = Net::settled(3, GOOD, seed());
    let next = Arc::new(RuleSet {
        digest: 2,
        rules: vec![
            Rule { key: 9, sharing: Sharing::Single(vec![(host(3), 1), (host(1), 2)]) },
            rules(1).rules[0].clone(),
        ],
    });
    let old = net.nodes[0].nic.maps.maps[0].1.clone();
    net.command(1, Command::Stage(next.clone()));
    net.command(2, Command::Stage(next.clone()));
    net.command(1, Command::Activate);
    net.run(1_000 * MS);
    assert!(net.nodes.iter().all(|node| node.nic.maps.maps.len() == 2), "one lacks it");
    net.command(3, Command::Stage(next));
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2, 3]);
    assert_eq!(net.claimed(3, 0), BUCKETS, "the handling priority decides");
    assert_eq!(net.nodes[0].nic.maps.maps[1].1, old, "a rule keeps its map when its number changes");
}

#[test]
fn an_aborted_rule_set_is_not_activated() {
    let mut net = Net::settled(2, GOOD, seed());
    net.command(1, Command::Stage(rules(2)));
    net.command(1, Command::AbortStage);
    net.run(100 * MS);
    net.command(2, Command::Stage(rules(2)));
    net.command(2, Command::Activate);
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2]);
    assert_eq!(net.status(1).committed.unwrap().epoch, 1);
}

#[test]
fn nobody_claims_while_members_have_different_rules() {
    let mut net = Net::settled(3, GOOD, seed());
    (1..=3).for_each(|id| net.command(id, Command::Stage(rules(2))));
    net.command(2, Command::Activate);
    // From the first activation until all have released nothing is claimed by those that have it.
    assert!(net.run_until(1_000 * MS, |net| (1..=3).all(|id| net.claimed(id, 0) == 0)), "{}", net.tell());
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2, 3]);
}

#[test]
fn a_newcomer_with_other_rules_stays_out_and_is_named() {
    let mut net = Net::new(3, GOOD, seed());
    net.nodes[2].settings.rules = rules(99);
    net.start(1);
    net.start(2);
    net.run(1_500 * MS);
    net.start(3);
    net.run(1_500 * MS);
    net.assert_stable(&[1, 2]);
    assert_eq!(net.status(3).excluded, Some(Exclusion::RuleSet { theirs: 1 }));
    let named = Log::PeerExcluded { host: host(3), cause: Exclusion::RuleSet { theirs: 99 } };
    assert!(net.nodes[0].log.iter().any(|(_, log)| *log == named), "{}", net.tell());
    // The others still converge among themselves.
    net.crash(2);
    net.run(1_500 * MS);
    net.assert_stable(&[1]);
}

#[test]
fn a_second_host_with_an_id_stays_out() {
    let mut net = Net::new(3, GOOD, seed());
    net.nodes[2].settings.host = host(2);
    net.nodes[2].host = host(2);
    net.start(1);
    net.start(2);
    net.run(1_500 * MS);
    net.assert_stable(&[1, 2]);
    net.start(3);
    net.run(2_000 * MS);
    assert_eq!(net.status(3).excluded, Some(Exclusion::DuplicateHost));
    assert!(!net.nodes[2].nic.claims(net.now));
    net.assert_stable(&[1, 2]);
}

#[test]
fn a_restarted_member_resumes_from_what_its_nic_says() {
    let mut net = Net::settled(3, GOOD, seed());
    let committed = net.status(1).committed.unwrap();
    let maps = net.nodes[0].nic.maps.clone();
    (1..=3).for_each(|id| net.kill(id));
    net.run(1_000 * MS);
    assert!(net.nodes.iter().all(|node| !node.nic.claims(net.now)), "their leases have ended");
    net.start_with(2, Some(Adopted { committed, maps: maps.clone(), lease: None }));
    net.start(1);
    net.start(3);
    net.run(2_000 * MS);
    net.assert_stable(&[1, 2, 3]);
    assert_eq!(net.status(1).committed.unwrap().epoch, committed.epoch + 1);
    assert_eq!(*net.nodes[0].nic.maps, *maps, "nothing has moved");
}

#[test]
fn handover_is_set_until_the_others_hold_nothing() {
    let mut net = Net::settled(2, GOOD, seed());
    assert!(net.nodes[0].nic.flags[0].iter().all(|flags| *flags == 0), "nobody holds anything");
    // Host 2 holds bindings in buckets 0..8.
    let mut held = vec![0u8; BUCKETS / 8];
    held[0] = 0xff;
    net.nodes[1].held = vec![held, Vec::new()];
    net.command(1, Command::Capacity(200));
    net.run(1_500 * MS);
    net.assert_stable(&[1, 2]);
    let mine = |net: &Net| {
        let owners = net.nodes[0].nic.maps.maps[0].1.owners().iter();
        owners.take(8).enumerate().fold(0u8, |bits, (n, owner)| bits | u8::from(*owner == 1) << n)
    };
    assert_ne!(mine(&net), 0, "some of eight buckets");
    assert_eq!(net.nodes[0].nic.flags[0][0], mine(&net), "HANDOVER where I own what another holds");
    assert!(net.nodes[0].nic.flags[0][1..].iter().all(|flags| *flags == 0));
    // A second move does not clear it.
    net.command(1, Command::Capacity(150));
    net.run(1_500 * MS);
    assert_eq!(net.nodes[0].nic.flags[0][0], mine(&net));
    // Its connections end.
    net.nodes[1].held = Vec::new();
    net.run(4_000 * MS);
    assert!(net.nodes[0].nic.flags[0].iter().all(|flags| *flags == 0));
}

#[test]
fn without_quorum_nobody_serves() {
    let quorum = Quorum { expected_hosts: 3, witness: None };
    let mut net = Net::new(3, GOOD, seed()).quorum(quorum);
    net.start(1);
    net.run(2_000 * MS);
    assert!(!net.nodes[0].nic.claims(net.now), "one of three");
    net.start(2);
    net.run(2_000 * MS);
    net.assert_stable(&[1, 2]);
    net.start(3);
    net.run(2_000 * MS);
    net.assert_stable(&[1, 2, 3]);
    net.part(&[1], &[2, 3]);
    net.run(2_000 * MS);
    assert!(!net.nodes[0].nic.claims(net.now), "{}", net.tell());
    net.assert_stable(&[2, 3]);
    net.heal();
    net.run(2_000 * MS);
    net.assert_stable(&[1, 2, 3]);
}

#[test]
fn of_two_halves_the_witness_serves() {
    let mut net = Net::new(2, GOOD, seed()).quorum(Quorum { expected_hosts: 2, witness: Some(host(2)) });
    net.start(1);
    net.start(2);
    net.run(2_000 * MS);
    net.assert_stable(&[1, 2]);
    net.part(&[1], &[2]);
    net.run(2_000 * MS);
    assert!(!net.nodes[0].nic.claims(net.now), "{}", net.tell());
    net.assert_stable(&[2]);
}

/// Rules of equal weights for all of five hosts, in this order.
fn rules_with(digest: u64, keys: &[u64]) -> Arc<RuleSet> {
    let weights = || (1..=5).map(|id| (host(id), 100)).collect();
    let rules = keys.iter().map(|key| Rule { key: *key, sharing: Sharing::Multiple(weights()) }).collect();
    Arc::new(RuleSet { digest, rules })
}

#[test]
fn a_rule_that_drains_or_is_disabled_stays_so_under_another_number() {
    let mut net = Net::new(3, GOOD, seed());
    net.nodes.iter_mut().for_each(|node| node.settings.rules = rules_with(20, &[1, 2, 3]));
    (1..=3).for_each(|id| net.start(id));
    net.run(3_000 * MS);
    net.command(2, Command::DrainRules(1 << 0));
    net.command(3, Command::DisableRules(1 << 1 | 1 << 64));
    net.run(2_000 * MS);
    let owned = |net: &Net, id: usize| (0..4).map(|map| net.claimed(id, map) > 0).collect::<Vec<_>>();
    assert_eq!((owned(&net, 2), owned(&net, 3)), (vec![false, true, true, false], vec![true, false, true, false]));
    // Rule 3 goes, 4 comes, 1 and 2 change places.
    let next = rules_with(21, &[2, 4, 1]);
    (1..=3).for_each(|id| net.command(id, Command::Stage(next.clone())));
    net.command(1, Command::Activate);
    net.run(2_000 * MS);
    assert!(net.is_stable(&[1, 2, 3]), "{}", net.tell());
    assert_eq!((owned(&net, 2), owned(&net, 3)), (vec![true, true, false, false], vec![false, true, true, false]));
    // Who drains altogether drains new rules too.
    net.command(2, Command::Drain);
    let last = rules_with(22, &[5]);
    (1..=3).for_each(|id| net.command(id, Command::Stage(last.clone())));
    net.command(1, Command::Activate);
    net.run(2_000 * MS);
    assert_eq!(owned(&net, 2), [false; 4]);
    assert_eq!(net.claimed(1, 0) + net.claimed(3, 0), BUCKETS);
}

#[test]
fn who_replaced_what_the_others_activate_takes_it_again() {
    let mut net = Net::new(3, GOOD, seed());
    [1, 2].iter().for_each(|id| net.start(*id));
    net.run(2_000 * MS);
    net.start(3);
    net.run(50 * MS);
    let (first, second) = (rules_with(30, &[7]), rules_with(31, &[7]));
    (1..=3).for_each(|id| net.command(id, Command::Stage(first.clone())));
    net.command(1, Command::Activate);
    net.run(40 * MS);
    // The third listens and has agreed on nothing, so it takes the next one; the others do not any more.
    (1..=3).for_each(|id| net.command(id, Command::Stage(second.clone())));
    let refused = |id: usize| net.nodes[id - 1].log.iter().any(|(_, log)| *log == Log::StageRefused { digest: 31 });
    assert_eq!([1, 2, 3].map(refused), [true, true, false]);
    net.run(3_000 * MS);
    net.assert_stable(&[1, 2, 3]);
}
