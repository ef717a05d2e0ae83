// SPDX-License-Identifier: Apache-2.0
//! Loss, pauses, one-way links, partitions, restarts, replays and nonsense.

use crate::net::*;
use hashgate_cluster::Cluster;
use hashgate_cluster::api::{Action, Command, Event, Exclusion, Log, Rule, RuleSet, Sharing};
use hashgate_cluster::message::{
    Body, Committed, Echo, Fetch, Heartbeat, Holdings, HostSet, MapIndex, MapPage, Message, Phase,
};
use hashgate_tables::BUCKETS;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Loses a twentieth.
const LOSSY: Conditions = Conditions { loss: 50, ..GOOD };

#[test]
fn loss_of_a_twentieth_costs_no_lease_and_no_member() {
    let mut net = Net::new(5, LOSSY, seed());
    (1..=5).for_each(|id| net.start(id));
    net.run(20 * SILENCE);
    assert!(net.is_stable(&[1, 2, 3, 4, 5]), "{}", net.tell());
    let epoch = net.status(1).committed.unwrap().epoch;
    net.run(100 * SILENCE);
    net.assert_stable(&[1, 2, 3, 4, 5]);
    let (expired, lost) = net.nodes.iter().flat_map(|node| &node.log).fold((0, 0), |(expired, lost), (_, log)| {
        (expired + u32::from(*log == Log::LeaseExpired), lost + u32::from(matches!(log, Log::PeerLost { .. })))
    });
    // Four lost in a row are silence: 6 in a million beats of each of 20 pairs.
    assert!(lost <= 2 && net.status(1).committed.unwrap().epoch - epoch <= 4, "{lost} lost");
    assert!(expired <= lost, "{expired} leases ended");
}

#[test]
fn a_joiner_fetches_the_base_at_loss() {
    let mut net = Net::settled(2, GOOD, seed());
    net.crash(2);
    net.run(2_000 * MS);
    net.conditions.loss = 200;
    net.start(2);
    assert!(net.run_until(20 * SILENCE, |net| net.is_stable(&[1, 2])), "{}", net.tell());
    net.assert_single();
}

#[test]
fn a_fetch_goes_on_from_another_holder() {
    let mut net = Net::settled(4, GOOD, seed());
    net.crash(4);
    net.run(2_000 * MS);
    net.start(4);
    // The lowest holder vanishes while it is asked.
    assert!(net.run_until(2_000 * MS, |net| net.phase(4) == Some(Phase::Converging)));
    net.cut(4, 1);
    net.run(SILENCE / 2);
    net.crash(1);
    net.run(3_000 * MS);
    net.assert_stable(&[2, 3, 4]);
}

#[test]
fn a_pause_of_any_length_at_any_time_claims_nothing_twice() {
    let seed = seed();
    for n in 0..12 {
        let mut net = Net::new(3, Conditions { loss: 100, ..GOOD }, seed.wrapping_add(n));
        (1..=3).for_each(|id| net.start(id));
        net.run(1_500 * MS);
        for _ in 0..6 {
            // In the middle of a hand-over.
            let percent = net.rng.random_range(10..200);
            net.command(2, Command::Capacity(percent));
            let wait = net.rng.random_range(0..120);
            net.run(wait * MS);
            let (id, pause) = (net.rng.random_range(1..=3), net.rng.random_range(50..1_500));
            net.pause(id, pause * MS);
            net.run(pause * MS + 10 * MS);
            let wait = net.rng.random_range(0..600);
            net.run(wait * MS);
        }
        net.conditions.loss = 0;
        net.run(4_000 * MS);
        assert!(net.is_stable(&[1, 2, 3]), "run {n}: {}", net.tell());
        assert!(net.doubles.is_empty(), "run {n}: {:?}\n{}", net.doubles.first(), net.tell());
    }
}

#[test]
fn whoever_wakes_in_the_middle_of_a_hand_over_does_not_believe_old_releases() {
    // 2 pauses at each moment of a convergence, so long that the others go on without it, and wakes to old messages.
    for wait in 0..20 {
        let mut net = Net::settled(3, GOOD, 5);
        net.command(1, Command::Capacity(30));
        net.run(wait * 10 * MS);
        net.pause(2, 2_000 * MS);
        net.run(2_001 * MS);
        // It hears nobody when it wakes.
        net.cut(1, 2);
        net.cut(3, 2);
        net.run(SILENCE * 9 / 10);
        assert!(net.doubles.is_empty(), "after {} ms: {:?}", wait * 10, net.doubles.first());
        let overlap = net.claimed(1, 0) + net.claimed(2, 0) + net.claimed(3, 0);
        assert!(overlap <= BUCKETS, "after {} ms: {}", wait * 10, net.tell());
        net.heal();
        net.run(3_000 * MS);
        assert!(net.is_stable(&[1, 2, 3]), "after {} ms: {}", wait * 10, net.tell());
    }
}

#[test]
fn an_expired_lease_is_armed_again_by_a_new_epoch_only() {
    let mut net = Net::settled(3, GOOD, seed());
    let epoch = net.status(1).committed.unwrap().epoch;
    // Longer than the lease, shorter than the time of silence from the last heartbeat: nobody removes it.
    net.run_until(PERIOD, |net| net.sent.is_multiple_of(3));
    net.pause(2, 365 * MS);
    net.run(366 * MS);
    assert_eq!(net.claimed(2, 0), 0, "the NIC has withdrawn");
    net.run(2_000 * MS);
    net.assert_stable(&[1, 2, 3]);
    assert!(net.status(1).committed.unwrap().epoch > epoch);
}

#[test]
fn a_lease_that_the_nic_has_lost_begins_anew_with_a_new_epoch() {
    let mut net = Net::settled(3, GOOD, seed());
    let epoch = net.status(1).committed.unwrap().epoch;
    net.lose_lease(2);
    assert_eq!(net.claimed(2, 0), 0, "the NIC has withdrawn");
    assert_eq!(net.status(2).lease, None, "and the member knows");
    net.run(2_000 * MS);
    net.assert_stable(&[1, 2, 3]);
    assert!(net.status(1).committed.unwrap().epoch > epoch);
    assert!(net.claimed(2, 0) > 0);
}

#[test]
fn a_member_that_hears_nobody_does_not_take_the_others_with_it() {
    for deaf in 1..=3 {
        let mut net = Net::settled(3, GOOD, seed());
        let others: Vec<usize> = (1..=3).filter(|id| *id != deaf).collect();
        others.iter().for_each(|other| net.cut(*other, deaf));
        let mut served = 0;
        for _ in 0..400 {
            net.run(10 * MS);
            served += u32::from(others.iter().any(|id| net.claimed(*id, 0) > 0));
        }
        assert!(served >= 400, "the others serve all the time, not {served} of 400\n{}", net.tell());
        assert!(net.is_stable(&others), "{}", net.tell());
        net.heal();
        net.run(3_000 * MS);
        assert!(net.is_stable(&[1, 2, 3]), "{}", net.tell());
    }
}

#[test]
fn a_starter_that_hears_nobody_holds_nothing_up() {
    let mut net = Net::new(3, GOOD, seed());
    net.cut(1, 3);
    net.cut(2, 3);
    net.start(1);
    net.start(2);
    net.start(3);
    net.run(3_000 * MS);
    assert!(net.is_stable(&[1, 2]), "{}", net.tell());
    net.command(1, Command::Capacity(50));
    net.run(1_000 * MS);
    assert!(net.is_stable(&[1, 2]), "{}", net.tell());
}

#[test]
fn a_member_that_is_not_heard_stops() {
    let mut net = Net::settled(3, GOOD, seed());
    net.cut(2, 1);
    net.cut(2, 3);
    net.run(3_000 * MS);
    net.assert_stable(&[1, 3]);
    assert!(!net.nodes[1].nic.claims(net.now));
    net.heal();
    net.run(3_000 * MS);
    net.assert_stable(&[1, 2, 3]);
}

#[test]
fn with_one_broken_link_the_higher_host_is_left_out_and_named() {
    for (a, b) in [(1, 2), (2, 3), (1, 3)] {
        let mut net = Net::settled(3, GOOD, seed());
        net.cut(a, b);
        net.run(3_000 * MS);
        let rest: Vec<usize> = (1..=3).filter(|id| *id != b).collect();
        net.assert_stable(&rest);
        assert!(matches!(net.status(b).excluded, Some(Exclusion::OneWay(_))), "{}", net.tell());
        assert!(!net.nodes[b - 1].nic.claims(net.now));
        net.heal();
        net.run(3_000 * MS);
        net.assert_stable(&[1, 2, 3]);
    }
}

#[test]
fn of_two_only_one_serves_when_one_does_not_hear_the_other() {
    for (from, to) in [(1, 2), (2, 1)] {
        let mut net = Net::settled(2, GOOD, seed());
        net.cut(from, to);
        net.run(3_000 * MS);
        let serving: Vec<usize> = (1..=2).filter(|id| net.claimed(*id, 0) == BUCKETS).collect();
        assert_eq!(serving, [to], "who hears the other yields: {}", net.tell());
        net.heal();
        net.run(3_000 * MS);
        net.assert_stable(&[1, 2]);
    }
}

#[test]
fn a_chain_of_four_has_one_owner_where_members_hear_each_other() {
    let mut net = Net::settled(4, GOOD, seed());
    // 1 - 3 - 4 - 2
    net.cut_both(1, 2);
    net.cut_both(1, 4);
    net.cut_both(2, 3);
    net.run(4_000 * MS);
    let serves: Vec<usize> = (1..=4).filter(|id| net.claimed(*id, 0) > 0).collect();
    assert!(
        !(serves.contains(&3) && serves.contains(&4)) || net.status(3).view == net.status(4).view,
        "{}",
        net.tell()
    );
    assert!(!serves.is_empty());
    net.heal();
    net.run(4_000 * MS);
    assert!(net.is_stable(&[1, 2, 3, 4]), "{}", net.tell());
}

#[test]
fn sides_of_a_partition_serve_everything_and_heal() {
    let mut net = Net::settled(5, GOOD, seed());
    net.part(&[1, 2], &[3, 4, 5]);
    net.run(2_000 * MS);
    assert!(net.is_stable(&[1, 2]) && net.is_stable(&[3, 4, 5]), "{}", net.tell());
    net.heal();
    assert!(net.run_until(2_000 * MS, |net| net.is_stable(&[1, 2, 3, 4, 5])), "{}", net.tell());
    net.assert_single();
}

#[test]
fn members_that_come_and_go_too_often_are_held_down_and_nobody_waits_for_them() {
    let mut net = Net::settled(3, GOOD, seed());
    for _ in 0..5 {
        net.crash(3);
        net.run(SILENCE + 200 * MS);
        net.start(3);
        net.run(SILENCE + 300 * MS);
    }
    assert_ne!(net.status(1).view.len(), 3, "it is held down: {}", net.tell());
    net.run(500 * MS);
    net.command(1, Command::Capacity(50));
    assert!(net.run_until(1_000 * MS, |net| net.is_stable(&[1, 2])), "{}", net.tell());
    assert!(net.run_until(10_000 * MS, |net| net.is_stable(&[1, 2, 3])), "{}", net.tell());
}

#[test]
fn an_old_start_of_a_member_is_not_believed() {
    let mut net = Net::new(2, GOOD, seed());
    net.record = Some(Vec::new());
    net.start(1);
    net.start(2);
    net.run(2_000 * MS);
    let old: Vec<Message> = net.record.take().unwrap().into_iter().filter(|message| message.host == host(2)).collect();
    net.crash(2);
    net.crash(1);
    net.run(2_000 * MS);
    net.start(1);
    for message in old {
        net.inject(1, message);
        net.run(10 * MS);
        assert!(!net.status(1).heard.contains(host(2)), "{}", net.tell());
    }
    net.run(1_000 * MS);
    net.assert_stable(&[1]);
}

#[test]
fn replays_of_all_messages_change_nothing() {
    let mut net = Net::new(3, GOOD, seed());
    net.record = Some(Vec::new());
    (1..=3).for_each(|id| net.start(id));
    net.run(1_500 * MS);
    // One restarts, so that there are messages of an old start of each host id.
    net.crash(3);
    net.run(1_000 * MS);
    net.start(3);
    net.run(1_500 * MS);
    let all = net.record.take().unwrap();
    let epoch = net.status(1).committed.unwrap().epoch;
    for message in all.iter().chain(&all) {
        let to = net.rng.random_range(1..=3);
        net.inject(to, message.clone());
        net.run(2 * MS);
    }
    net.run(500 * MS);
    net.assert_stable(&[1, 2, 3]);
    assert_eq!(net.status(1).committed.unwrap().epoch, epoch);
}

#[test]
fn a_planned_restart_keeps_its_share() {
    let mut net = Net::settled(3, GOOD, seed());
    let maps = net.nodes[1].nic.maps.clone();
    net.command(2, Command::Hold(2_000));
    net.run(300 * MS);
    let committed = net.status(2).committed.unwrap();
    net.kill(2);
    net.run(1_000 * MS);
    assert!(net.claimed(2, 0) > 0, "the NIC goes on: {}", net.tell());
    assert_eq!(net.status(1).view.len(), 3);
    let lease = net.nodes[1].nic.lease;
    net.start_with(2, Some(hashgate_cluster::api::Adopted { committed, maps: maps.clone(), lease }));
    net.run(2_500 * MS);
    net.assert_stable(&[1, 2, 3]);
    assert_eq!(*net.nodes[1].nic.maps, *maps);
    // One that does not come back is covered.
    net.command(2, Command::Hold(1_000));
    net.run(300 * MS);
    net.crash(2);
    net.run(3_000 * MS);
    net.assert_stable(&[1, 3]);
}

/// Joins, leaves, pauses, cuts and restarts in quick succession, on a bad network.
pub fn storm(seed: u64, members: usize, loss: u32) -> Net {
    let mut net = Net::new(members, Conditions { loss, ..GOOD }, seed);
    (1..=members).for_each(|id| net.start(id));
    net.run(1_500 * MS);
    for _ in 0..15 {
        let id = net.rng.random_range(1..=members);
        let other = net.rng.random_range(1..=members);
        match net.rng.random_range(0..10) {
            0 | 1 => net.crash(id),
            2 => net.kill(id),
            3 | 4 => {
                let pause = net.rng.random_range(20..1_200);
                net.pause(id, pause * MS);
            }
            5 if id != other => net.cut(id, other),
            6 => net.heal(),
            7 => {
                let percent = net.rng.random_range(1..300);
                net.command(id, Command::Capacity(percent));
            }
            _ => {
                if net.nodes[id - 1].cluster.is_none() {
                    net.start(id);
                }
            }
        }
        let wait = net.rng.random_range(0..700);
        net.run(wait * MS);
    }
    net.heal();
    net.conditions.loss = 20;
    for id in 1..=members {
        if net.nodes[id - 1].cluster.is_none() {
            net.start(id);
        }
    }
    net
}

#[test]
fn storms_never_let_two_claim_the_same_and_end_in_one_map() {
    let seed = seed();
    let runs: u64 = std::env::var("HASHGATE_STORMS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(36);
    let (mut doubles, mut unstable) = (Vec::new(), Vec::new());
    for n in 0..runs {
        let members = 3 + (n % 3) as usize;
        let mut net = storm(seed.wrapping_add(n), members, [0, 50, 150, 300][(n / 3 % 4) as usize]);
        let all: Vec<usize> = (1..=members).collect();
        let end = net.now + 15_000 * MS;
        while net.now < end && !net.is_stable(&all) {
            net.run(20 * MS);
        }
        if !net.is_stable(&all) {
            unstable.push((seed.wrapping_add(n), net.tell()));
        }
        println!(
            "run {n}: {members} members, {} s, {} frames, {} doubles",
            net.now / 1000 / MS,
            net.sent,
            net.doubles.len()
        );
        if let Some(first) = net.doubles.first() {
            doubles.push((seed.wrapping_add(n), members, net.conditions.loss, net.doubles.len(), first.clone()));
        }
    }
    assert!(unstable.is_empty(), "{} of {runs} do not end: {:?}\n{}", unstable.len(), unstable[0].0, unstable[0].1);
    assert!(doubles.is_empty(), "{} of {runs}: {doubles:#?}", doubles.len());
}

fn nonsense(rng: &mut ChaCha8Rng, starts: &[u64]) -> Message {
    fn wild(rng: &mut ChaCha8Rng) -> u64 {
        [0, 1, rng.random(), u64::MAX, rng.random_range(0..100)][rng.random_range(0..5)]
    }
    let from = rng.random_range(1..=32);
    let phases = [Phase::Listening, Phase::Converging, Phase::Idle, Phase::Ready, Phase::Stable, Phase::Excluded];
    let committed = |rng: &mut ChaCha8Rng| Committed {
        epoch: wild(rng),
        view_size: rng.random(),
        lowest: host(rng.random_range(1..=32)),
        digest: wild(rng),
    };
    let start = |rng: &mut ChaCha8Rng| *starts.choose(rng).unwrap();
    let body = match rng.random_range(0..8) {
        0 => Body::Fetch(Fetch::Index { from: host(1), digest: wild(rng) }),
        1 => Body::Fetch(Fetch::Page { from: host(1), crc: rng.random(), first: rng.random() }),
        2 => Body::MapIndex(MapIndex {
            digest: wild(rng),
            maps: vec![(wild(rng), rng.random()); rng.random_range(0..100)],
        }),
        3 => Body::MapPage(MapPage {
            crc: rng.random(),
            first: rng.random(),
            weights: Default::default(),
            owners: vec![None; rng.random_range(0..2000)],
        }),
        4 => {
            let buckets = vec![rng.random(); [0, 511, 512, 513][rng.random_range(0..4)]];
            Body::Holdings(Holdings { proposal: wild(rng), rule: rng.random(), buckets })
        }
        _ => {
            let echo = |rng: &mut ChaCha8Rng| Echo {
                host: host(rng.random_range(1..=4)),
                incarnation: start(rng),
                sequence: wild(rng),
                age_ms: rng.random(),
                counted: rng.random(),
            };
            Body::Heartbeat(Arc::new(Heartbeat {
                phase: *phases.choose(rng).unwrap(),
                period_ms: rng.random(),
                tolerance: rng.random(),
                hold_ms: if rng.random_ratio(1, 10) { rng.random_range(0..5_000) } else { 0 },
                echoes: (0..rng.random_range(0..80)).map(|_| echo(rng)).collect(),
                view: HostSet(rng.random()),
                committed: rng.random::<bool>().then(|| committed(rng)),
                proposal: wild(rng),
                epoch: wild(rng),
                proposed_digest: wild(rng),
                released: wild(rng),
                rules: [1, wild(rng)][rng.random_range(0..2)],
                staged: wild(rng),
                activate: rng.random(),
                capacity: rng.random(),
                draining: rng.random(),
                disabled: rng.random(),
                holding: rng.random(),
                connections: vec![rng.random(); rng.random_range(0..200)],
            }))
        }
    };
    Message { host: host(from), incarnation: rng.random_range(1..4), sequence: wild(rng), body }
}

#[test]
fn nonsense_does_no_harm_and_fills_no_memory() {
    let seed = seed();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut net = Net::settled(1, GOOD, seed);
    let starts = [net.nodes[0].settings.incarnation, 1, 2, 3];
    for _ in 0..20_000 {
        let message = nonsense(&mut rng, &starts);
        net.inject(1, message);
        net.run(rng.random_range(0..3) * MS);
    }
    assert!(format!("{:?}", net.nodes[0].cluster.as_ref().unwrap().status()).len() < 1_000_000);
    net.run(200 * SILENCE);
    net.assert_stable(&[1]);
}

#[test]
fn wrong_commands_and_answers_do_no_harm() {
    let mut net = Net::settled(2, GOOD, seed());
    let rule = |key, weights| Rule { key, sharing: Sharing::Multiple(weights) };
    let bad = [
        vec![rule(1, vec![(host(1), u32::MAX)])],
        vec![rule(1, vec![(host(1), 1), (host(1), 2)])],
        vec![rule(1, vec![]), rule(1, vec![])],
        vec![rule(0, vec![])],
        (0..70).map(|key| rule(key + 1, vec![])).collect(),
    ];
    for rules in bad {
        for id in 1..=2 {
            net.command(id, Command::Stage(Arc::new(RuleSet { digest: 5, rules: rules.clone() })));
            net.command(id, Command::Activate);
        }
        net.run(500 * MS);
    }
    for event in [
        Event::Committed(0),
        Event::Committed(u64::MAX),
        Event::BindingsHanded(3),
        Event::Holdings { proposal: net.status(1).proposal.0, rules: vec![vec![1; 512]; 300] },
        Event::Holdings { proposal: net.status(1).proposal.0, rules: vec![vec![1; 5]; 2] },
        Event::Connections(vec![7; 1000]),
        Event::Command(Command::Capacity(u16::MAX)),
        Event::Command(Command::EnableRules(u128::MAX)),
        Event::Command(Command::Capacity(100)),
    ] {
        net.event(0, event);
        net.run(300 * MS);
    }
    net.run(1_000 * MS);
    net.assert_stable(&[1, 2]);
    assert_eq!(net.status(1).committed.map(|it| it.view_size), Some(2));
}

#[test]
fn steps_are_deterministic() {
    let run = || {
        let mut net = storm(77, 4, 100);
        net.run(2_000 * MS);
        let states: Vec<Option<Cluster>> = net.nodes.iter().map(|node| node.cluster.clone()).collect();
        (states, net.sent)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_heartbeat_is_cheap() {
    let mut net = Net::settled(5, GOOD, 1);
    let (mut cluster, now) = (net.nodes[0].cluster.clone().unwrap(), net.now);
    net.record = Some(Vec::new());
    net.run(2_000 * MS);
    let messages: Vec<Message> =
        net.record.take().unwrap().into_iter().filter(|message| message.host != host(1)).collect();
    let begun = std::time::Instant::now();
    let mut actions: Vec<Action> = Vec::new();
    for message in &messages {
        actions.extend(cluster.step(now + MS, Event::Message(message.clone())));
    }
    let each = begun.elapsed() / messages.len() as u32;
    println!("{} messages, {each:?} each, {} actions", messages.len(), actions.len());
    assert!(each < std::time::Duration::from_millis(1), "{each:?}");
}

#[test]
fn recordings_of_an_earlier_start_of_mine_do_not_keep_me_out() {
    let mut net = Net::settled(3, GOOD, seed());
    net.record = Some(Vec::new());
    net.run(1_000 * MS);
    let record = net.record.take().expect("it is on");
    let own: Vec<_> = record.into_iter().filter(|message| message.host == host(1)).collect();
    assert!(own.len() > 5, "{} messages", own.len());
    net.crash(1);
    net.run(1_000 * MS);
    net.start(1);
    for message in own.iter().cycle().take(50) {
        net.inject(1, message.clone());
        net.run(PERIOD / 2);
    }
    net.assert_stable(&[1, 2, 3]);
}
