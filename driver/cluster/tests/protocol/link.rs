// SPDX-License-Identifier: Apache-2.0
//! Cables that are pulled: a member that knows of it neither takes the others for dead nor claims anything beside them, at any time.

use crate::net::*;
use hashgate_cluster::api::{Adopted, Command, Log, Time};
use hashgate_cluster::message::Phase;
use hashgate_tables::BUCKETS;

/// When a member knows of its link at the latest.
const NOTICED: Time = SILENCE / 4 + PERIOD;

fn strict(members: usize) -> Net {
    let mut net = Net::settled(members, GOOD, seed());
    net.strict = true;
    net
}

#[test]
fn a_member_whose_cable_is_pulled_leaves_the_others_alone() {
    for members in [2, 3, 5] {
        let mut net = strict(members);
        let others: Vec<usize> = (2..=members).collect();
        let all: Vec<usize> = (1..=members).collect();
        for away in [SILENCE, 3 * SILENCE, 10 * SILENCE] {
            net.unplug(1, NOTICED);
            net.run(away);
            assert!(net.run_until(3 * SILENCE, |net| net.is_stable(&others)), "{}", net.tell());
            assert_eq!((net.phase(1), net.claimed(1, 0)), (Some(Phase::Listening), 0), "{}", net.tell());
            // Frames come before it has looked.
            net.plug(1, PERIOD);
            assert!(net.run_until(5 * SILENCE, |net| net.is_stable(&all)), "{}", net.tell());
            net.assert_stable(&all);
        }
        let log = net.nodes[0].log.iter().filter(|(_, log)| matches!(log, Log::Link(_)));
        assert_eq!(log.count(), 6);
        assert!(!net.nodes[0].log.iter().any(|(_, log)| matches!(log, Log::Healed { .. })));
    }
}

#[test]
fn a_link_that_flaps_costs_nothing() {
    let mut net = strict(3);
    let epoch = net.status(1).committed.unwrap().epoch;
    for _ in 0..5 {
        net.unplug(1, SILENCE / 4);
        net.run(SILENCE / 4 + MS);
        assert!(net.claimed(1, 0) > 0);
        net.plug(1, 0);
        net.run(2 * SILENCE);
    }
    net.assert_stable(&[1, 2, 3]);
    assert_eq!(net.status(1).committed.unwrap().epoch, epoch);
    assert!(!net.nodes[0].log.iter().any(|(_, log)| *log == Log::LeaseExpired));
}

#[test]
fn who_is_alone_withdraws_without_a_link_and_listens_before_it_claims_again() {
    let mut net = strict(2);
    net.crash(2);
    assert!(net.run_until(10 * SILENCE, |net| net.is_stable(&[1])), "{}", net.tell());
    net.unplug(1, NOTICED);
    net.run(NOTICED + MS);
    assert_eq!((net.phase(1), net.claimed(1, 0)), (Some(Phase::Listening), 0));
    // Somebody starts on the other side, and serves.
    net.start(2);
    assert!(net.run_until(5 * SILENCE, |net| net.is_stable(&[2])), "{}", net.tell());
    net.plug(1, PERIOD);
    net.run(SILENCE);
    assert_eq!(net.claimed(1, 0), 0, "{}", net.tell());
    assert!(net.run_until(5 * SILENCE, |net| net.is_stable(&[1, 2])), "{}", net.tell());
    net.assert_stable(&[1, 2]);
    // Alone again, it goes on by itself as soon as it has listened.
    net.crash(2);
    assert!(net.run_until(10 * SILENCE, |net| net.is_stable(&[1])), "{}", net.tell());
    net.unplug(1, NOTICED);
    net.run(5 * SILENCE);
    net.plug(1, 0);
    net.run(SILENCE - MS);
    assert_eq!(net.claimed(1, 0), 0);
    assert!(net.run_until(SILENCE, |net| net.is_stable(&[1])), "{}", net.tell());
}

#[test]
fn a_starter_without_a_link_claims_nothing() {
    let mut net = Net::new(1, GOOD, seed());
    net.start(1);
    net.unplug(1, NOTICED);
    net.run(10 * SILENCE);
    assert_eq!((net.phase(1), net.claimed(1, 0)), (Some(Phase::Listening), 0));
    net.plug(1, 0);
    net.run(3 * SILENCE);
    net.assert_stable(&[1]);
}

#[test]
fn a_nic_that_goes_on_while_its_member_listens_is_heard_of() {
    let mut net = strict(3);
    net.command(1, Command::Hold(1_400));
    net.run(3 * PERIOD);
    let (committed, maps) = (net.status(1).committed.unwrap(), net.nodes[0].nic.maps.clone());
    net.kill(1);
    // Those who know that it comes back die; who starts now knows nothing.
    net.crash(2);
    net.crash(3);
    net.start(2);
    net.run(SILENCE - PERIOD);
    assert!(net.claimed(1, 0) > 0);
    let lease = net.nodes[0].nic.lease;
    net.start_with(1, Some(Adopted { committed, maps, lease }));
    assert!(net.run_until(10 * SILENCE, |net| net.is_stable(&[1, 2])), "{}", net.tell());
    net.assert_stable(&[1, 2]);
    assert_eq!(net.claimed(1, 0) + net.claimed(2, 0), BUCKETS);
}
