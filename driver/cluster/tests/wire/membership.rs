// SPDX-License-Identifier: Apache-2.0
//! Membership frames, judged by the dissector that `tshark` has of its own.

use crate::golden;
use crate::samples::*;
use crate::tshark;
use hashgate_cluster::frame::{Codec, Kind, Refusal};
use hashgate_cluster::map::{Member, first_map, single_map};
use hashgate_cluster::membership::{BINS, BYTES, Membership, RULES, Rule, VERSION, bins, convergence_state};
use hashgate_cluster::message::Phase;
use rand::Rng;
use std::net::Ipv4Addr;

/// Fields of the dissector, in the order of the frame.
const FIELDS: [&str; 25] = [
    "msnlb.signature",
    "msnlb.version",
    "msnlb.unique_host_id",
    "msnlb.cluster_ip",
    "msnlb.host_ip",
    "msnlb.my_host_ip",
    "msnlb.default_host_ip",
    "msnlb.convergence_state",
    "msnlb.number_of_port_rules",
    "msnlb.unique_host_code",
    "msnlb.packets_handled",
    "msnlb.teamincfg",
    "msnlb.teamincfg.reserved",
    "msnlb.teamingcfg.xorclusterip",
    "msnlb.teamingcfg.number_of_participants",
    "msnlb.teamingcfg.hashing",
    "msnlb.teamingcfg.master",
    "msnlb.teamingcfg.active",
    "msnlb.reserved",
    "msnlb.portruleconfiguration.data",
    "msnlb.currentmap.data",
    "msnlb.newmap.data",
    "msnlb.idlemap.data",
    "msnlb.readymap.data",
    "msnlb.loadweights.data",
];
const RESERVED: &str = "msnlb.reserved2.data";

fn quiet() -> Membership {
    Membership {
        version: VERSION,
        unique_host_id: 3,
        cluster_ip: CLUSTER,
        host_ip: HOST_IP,
        host: 3,
        default_host: 0,
        convergence_state: convergence_state(Phase::Listening),
        rule_count: 0,
        unique_code: 0,
        packets_handled: 0,
        teaming: 0,
        reserved: 0,
        rules: [Rule::default(); RULES],
    }
}

pub fn full() -> Membership {
    let rule = Rule { code: !0, current: !0, new: !0, idle: !0, ready: !0, weight: !0, reserved: !0 };
    Membership {
        version: !0,
        unique_host_id: !0,
        cluster_ip: Ipv4Addr::BROADCAST,
        host_ip: Ipv4Addr::BROADCAST,
        host: !0,
        default_host: !0,
        convergence_state: !0,
        rule_count: !0,
        unique_code: !0,
        packets_handled: !0,
        teaming: !0,
        reserved: !0,
        rules: [rule; RULES],
    }
}

fn any(random: &mut impl Rng) -> Membership {
    let mut it = Membership {
        version: random.random(),
        unique_host_id: random.random(),
        cluster_ip: random.random::<u32>().into(),
        host_ip: random.random::<u32>().into(),
        host: random.random(),
        default_host: random.random(),
        convergence_state: random.random(),
        rule_count: random.random(),
        unique_code: random.random(),
        packets_handled: random.random(),
        teaming: random.random(),
        reserved: random.random(),
        rules: [Rule::default(); RULES],
    };
    for rule in &mut it.rules {
        *rule = Rule {
            code: random.random(),
            current: random.random(),
            new: random.random(),
            idle: random.random(),
            ready: random.random(),
            weight: random.random(),
            reserved: random.random(),
        };
    }
    it
}

/// What the dissector should say.
fn expected(it: &Membership) -> tshark::Fields {
    let bit = |n: u32| u8::from(it.teaming & 1 << n != 0).to_string();
    let each = |value: &dyn Fn(&Rule) -> u64| it.rules.iter().map(|rule| value(rule).to_string()).collect::<Vec<_>>();
    let reserved: String = it.reserved.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let single = [
        "0xc0de01bf".to_owned(),
        it.version.to_string(),
        it.unique_host_id.to_string(),
        it.cluster_ip.to_string(),
        it.host_ip.to_string(),
        it.host.to_string(),
        it.default_host.to_string(),
        it.convergence_state.to_string(),
        it.rule_count.to_string(),
        it.unique_code.to_string(),
        it.packets_handled.to_string(),
        format!("{:#010x}", it.teaming),
        format!("{:#010x}", it.teaming >> 24),
        format!("{:#010x}", it.teaming >> 8 & 0xffff),
        format!("{:#010x}", it.teaming >> 3 & 0x1f),
        bit(2),
        bit(1),
        bit(0),
        reserved,
    ];
    let arrays: [&dyn Fn(&Rule) -> u64; 6] =
        [&|it| it.code.into(), &|it| it.current, &|it| it.new, &|it| it.idle, &|it| it.ready, &|it| it.weight.into()];
    let single = single.into_iter().map(|value| vec![value]);
    let values = single.chain(arrays.into_iter().map(each));
    let mut fields: tshark::Fields = FIELDS.iter().map(|name| name.to_string()).zip(values).collect();
    fields.insert(RESERVED.to_owned(), each(&|it| it.reserved.into()));
    fields
}

#[test]
fn tshark_finds_in_every_field_what_was_sent() {
    if !tshark::there_is() {
        return;
    }
    let mut random = random();
    let mut sent = vec![quiet(), full()];
    sent.extend((0..40).map(|_| any(&mut random)));
    let frames: Vec<_> = sent.iter().map(|it| it.encode(SOURCE, BROADCAST)).collect();
    let names: Vec<_> = FIELDS.into_iter().chain([RESERVED]).collect();
    // The dissector that we ship leaves these frames to the built-in one.
    for dissector in [false, true] {
        for (it, found) in sent.iter().zip(tshark::fields(&frames, dissector, &names)) {
            let expected = expected(it);
            for name in &names {
                assert_eq!(found.get(*name), expected.get(*name), "{name} of {it:?}");
            }
        }
    }
}

#[test]
fn every_membership_frame_comes_back() {
    let mut random = random();
    for n in 0..500 {
        let it = if n == 0 { quiet() } else { any(&mut random) };
        let frame = it.encode(SOURCE, BROADCAST);
        assert_eq!(frame.len(), 14 + BYTES);
        assert_eq!(Kind::of(&frame), Some(Kind::Membership));
        assert_eq!(Membership::decode(&frame), Ok(it));
    }
}

#[test]
fn seeds_of_the_fuzzer_are_what_is_written() {
    let frame = |it: Membership| it.encode(SOURCE, BROADCAST);
    let files = [("quiet".to_owned(), frame(quiet())), ("full".to_owned(), frame(full()))];
    golden::compare("fuzz/corpus/membership", &files.into());
}

#[test]
fn what_is_no_membership_frame_is_refused() {
    let frame = full().encode(SOURCE, BROADCAST);
    for length in 0..frame.len() {
        assert_eq!(Membership::decode(&frame[..length]), Err(Refusal::Truncated));
    }
    let mut longer = frame.clone();
    longer.push(0);
    assert_eq!(Membership::decode(&longer), Err(Refusal::TooLong));
    let mut other = frame.clone();
    other[13] = 0x70;
    assert_eq!(Membership::decode(&other), Err(Refusal::EtherType));
    assert_eq!(Kind::of(&other), None);
    let mut other = frame.clone();
    other[14] = 0xc0;
    assert_eq!(Membership::decode(&other), Err(Refusal::Signature));
    assert_eq!(Kind::of(&frame[..17]), None);

    // It is no authority, whoever sent it.
    assert_eq!(codec().decode(&frame), Err(Refusal::Signature));
    assert_eq!(Codec::new(CLUSTER, hashgate_cluster::auth::Auth::None).decode(&frame), Err(Refusal::Signature));
}

#[test]
fn a_map_is_shown_in_sixty_bits() {
    let members: Vec<_> = (1..=5).map(|target| Member { target, weight: 100 }).collect();
    let map = first_map(&members).unwrap();
    let shares: Vec<_> = (1..=5).map(|id| bins(&map, host(id))).collect();
    assert_eq!(shares.iter().fold(0, |all, bits| all ^ bits), (1 << BINS) - 1, "each bit is one host's");
    assert_eq!(shares.iter().map(|bits| bits.count_ones()).sum::<u32>(), 60);
    assert!(shares.iter().all(|bits| *bits != 0));

    let all = single_map(Some(7)).unwrap();
    assert_eq!(bins(&all, host(7)), (1 << BINS) - 1);
    assert_eq!(bins(&all, host(8)), 0);
    assert_eq!(bins(&single_map(None).unwrap(), host(8)), 0);
}
