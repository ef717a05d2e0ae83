// SPDX-License-Identifier: Apache-2.0
//! The membership frames of a whole cluster.

use crate::net::*;
use hashgate_cluster::membership::{BINS, Membership};
use std::net::Ipv4Addr;

const CLUSTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// What a member's frame says, read back.
fn shown(net: &Net, id: usize) -> Membership {
    let own = Ipv4Addr::new(192, 0, 2, 10 + id as u8);
    let cluster = net.nodes[id - 1].cluster.as_ref().expect("it runs");
    let said = cluster.membership(CLUSTER, own, 7);
    let read = Membership::decode(&said.encode([2, 0, 0, 0, 0, id as u8], [0xff; 6])).expect("a good frame");
    assert_eq!(read, said);
    assert_eq!((read.host, read.cluster_ip, read.host_ip, read.packets_handled), (id as u16, CLUSTER, own, 7));
    read
}

/// Bins of a rule that members have now: none twice.
fn union(frames: &[Membership], rule: usize) -> u64 {
    frames.iter().fold(0, |all, frame| {
        assert_eq!(all & frame.rules[rule].current, 0, "a bin has two owners");
        all | frame.rules[rule].current
    })
}

#[test]
fn frames_of_all_members_make_up_the_map() {
    let mut net = Net::settled(4, GOOD, seed());
    let frames: Vec<Membership> = (1..=4).map(|id| shown(&net, id)).collect();
    for rule in [0, 1] {
        assert_eq!(union(&frames, rule), (1 << BINS) - 1);
    }
    for frame in &frames {
        assert_eq!((frame.default_host, frame.convergence_state, frame.rule_count), (1, 3, 1));
        let [rule, default] = [frame.rules[0], frame.rules[1]];
        assert_eq!((rule.code, rule.weight, rule.new, rule.idle, rule.ready), (7, 100, rule.current, 0, 0));
        assert_eq!(default.current.count_ones(), if frame.host == 1 { BINS as u32 } else { 0 });
        assert!(frame.rules[2..].iter().all(|rule| *rule == Default::default()), "no more rules");
    }
    let codes: std::collections::BTreeSet<u32> = frames.iter().map(|frame| frame.unique_code).collect();
    assert_eq!(codes.len(), 4, "each start has its own");

    // A fifth joins: what others gave up is idle there, then ready here, then its own.
    net.nodes.push(Net::new(5, GOOD, 1).nodes.remove(4));
    net.start(5);
    let idle = |net: &Net| (1..=4).map(|id| shown(net, id).rules[0].idle).fold(0, |all, idle| all | idle);
    assert!(net.run_until(2_000 * MS, |net| idle(net) != 0 && shown(net, 5).convergence_state == 2), "{}", net.tell());
    let given_up = idle(&net);
    assert!(net.run_until(1_000 * MS, |net| net.is_stable(&[1, 2, 3, 4, 5])), "{}", net.tell());
    let frames: Vec<Membership> = (1..=5).map(|id| shown(&net, id)).collect();
    assert_eq!(union(&frames, 0), (1 << BINS) - 1);
    assert_eq!(frames[4].rules[0].current & given_up, given_up, "what was idle is the newcomer's");
}
