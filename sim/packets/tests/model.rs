// SPDX-License-Identifier: Apache-2.0
//! The generator against the reference model: it reaches every combination, and what it says about frames is true.

use hashgate_model::{Clocks, Nic, Table};
use hashgate_packets::coverage::{Bin, Coverage};
use hashgate_packets::random::{Defect, Generator, HostKind, MAX_FRAME, Profile};
use hashgate_packets::tables::{Options, change, flag_change, switch, tables};
use hashgate_regs::defs::{Reason, Verdict};
use hashgate_tables::{Limits, Tables};
use rand::Rng;
use std::collections::BTreeSet;

const LIMITS: Limits = Limits { ports: 2, rules: 64, maps: 65, vips: 512, targets: 1024, multicast: 512 };

fn load(nic: &mut Nic, tables: &Tables) {
    nic.set_settings(tables.settings.clone());
    nic.set_flags(tables.flags.clone());
    nic.commit(tables.clone());
    nic.state.enabled = true;
}

/// Frames in which every combination must be reached: fewer than the equivalence tests may take.
const FRAMES: u64 = 150_000;

/// The rhythm of the equivalence test: fresh tables now and then, some changes and new switches every 300 frames.
#[test]
fn random_frames_reach_every_combination() {
    let mut coverage = Coverage::default();
    let mut nic = Nic::new(LIMITS);
    let mut loaded = Tables::default();
    let mut generator = Generator::new(1, &loaded, Profile::mixed(2));
    for n in 0..FRAMES {
        if n % 10_000 == 0 {
            loaded = tables(n, &LIMITS, Options { dangling: n % 20_000 != 0, full: n == 50_000 });
            load(&mut nic, &loaded);
            generator.set_tables(&loaded);
        } else if n % 300 == 0 {
            for _ in 0..4 {
                change(generator.rng(), &LIMITS, &mut loaded, true);
            }
            switch(generator.rng(), &mut loaded.settings);
            for _ in 0..20 {
                let (map, bucket, flags) = flag_change(generator.rng(), &loaded);
                loaded.flags.insert((map, bucket), flags);
            }
            nic.set_flags(loaded.flags.clone());
            nic.set_settings(loaded.settings.clone());
            nic.commit(loaded.clone());
            nic.state.enabled = generator.rng().random_bool(0.95);
            nic.state.lease_ok = generator.rng().random_bool(0.9);
            generator.set_tables(&loaded);
            if n > FRAMES / 2 {
                generator.aim(coverage.missing_kinds());
            }
        }
        if n % 16 == 0 {
            let Clocks { fast, slow } = nic.bindings().clocks();
            let step = u16::from(n % 64 == 0);
            nic.set_clocks(Clocks { fast: fast.wrapping_add(1), slow: slow.wrapping_add(step) });
        }
        let generated = generator.frame();
        let decision = nic.receive(generated.port, &generated.frame, generated.error);
        nic.count(&decision);
        let refused = decision.needs_room().map(|needed| needed && generator.rng().random_bool(0.02));
        nic.apply(&decision, refused).expect("effects of the newest decision");
        coverage.meet(&decision);
        coverage.add(Bin::new(&generated.what, decision.reason, decision.mode(nic.active())));
    }
    println!("{coverage}");
    let missing: Vec<String> = coverage.missing().iter().map(ToString::to_string).collect();
    assert!(missing.is_empty(), "{} never seen:\n{}", missing.len(), missing.join("\n"));
    assert_eq!(nic.counters.received().packets, FRAMES);
    let (asked, found) = coverage.found(Table::Connection);
    let (asked_affinity, found_affinity) = coverage.found(Table::Affinity);
    let enough = 4 * found > asked && 5 * found_affinity > 2 * asked_affinity;
    assert!(enough, "of {asked} and {asked_affinity} frames only {found} and {found_affinity} met a binding");
    let events = nic.take_events();
    assert!(events.iter().zip(0..).all(|(event, n)| event.number == n));
}

#[test]
fn frames_repeat_and_their_defects_are_real() {
    let made = tables(7, &LIMITS, Options { dangling: false, full: false });
    let mut nic = Nic::new(LIMITS);
    load(&mut nic, &made);
    let mut generator = Generator::new(3, &made, Profile::mixed(2));
    let mut again = generator.clone();
    let mut balanced = 0;
    let mut lengths = BTreeSet::new();
    for n in 0..30_000 {
        let generated = generator.frame();
        assert_eq!(generated, again.frame(), "frame {n} repeats");
        lengths.insert(generated.frame.len());
        let decision = nic.receive(generated.port, &generated.frame, generated.error);
        let early = [Reason::NotMyMac, Reason::Oversize, Reason::Truncated];
        let wanted = match generated.what.defect {
            None => {
                balanced += u32::from(decision.rule.is_some());
                assert!(decision.reason as u8 <= 9 || decision.verdict == Verdict::Discard, "frame {n}: {decision:?}");
                assert!((decision.reason as u8) < 32, "frame {n} has no defect: {decision:?} {generated:02x?}");
                continue;
            }
            Some(Defect::FrameError) => Reason::FrameError,
            Some(Defect::Runt) => Reason::Runt,
            Some(Defect::Oversize) => Reason::Oversize,
            Some(Defect::Truncated) => Reason::Truncated,
            Some(Defect::NotMyMac) => continue,
            Some(Defect::VlanTooDeep) => Reason::VlanTooDeep,
            Some(Defect::Ip4Version) => Reason::Ip4Version,
            Some(Defect::Ip4HeaderLength) => Reason::Ip4HeaderLength,
            Some(Defect::Ip4TotalLength) => Reason::Ip4TotalLength,
            Some(Defect::Ip4Checksum) => Reason::Ip4Checksum,
            Some(Defect::Ip6Version) => Reason::Ip6Version,
            Some(Defect::Ip6Extension) => Reason::Ip6Extension,
            Some(Defect::L4Truncated) => Reason::L4Truncated,
            Some(Defect::TcpDataOffset) => Reason::TcpDataOffset,
            Some(Defect::TcpSynFin) => Reason::TcpSynFin,
            Some(Defect::TcpSynRst) => Reason::TcpSynRst,
            // A first fragment may promise more than it has.
            Some(Defect::UdpLength) if decision.reason != Reason::UdpLength => continue,
            Some(Defect::UdpLength) => Reason::UdpLength,
        };
        assert!(
            decision.reason == wanted || early.contains(&decision.reason),
            "frame {n}: {decision:?} {generated:02x?}"
        );
    }
    assert!(balanced > 10_000, "{balanced} of about 20 000 good frames go by a rule");
    assert!((0..300).all(|len| lengths.contains(&len)), "every short length occurs");
    assert!(lengths.last().is_some_and(|l| *l > MAX_FRAME));
}

#[test]
fn host_frames_reach_every_edit() {
    let made = tables(9, &LIMITS, Options { dangling: false, full: false });
    let mut nic = Nic::new(LIMITS);
    load(&mut nic, &made);
    let mut generator = Generator::new(4, &made, Profile::good(2));
    let [mut masked, mut arp, mut nd, mut kept, mut dropped, mut padded] = [0; 6];
    for _ in 0..10_000 {
        let from_host = generator.host_frame();
        let result = nic.transmit(from_host.port, &from_host.frame);
        masked += u32::from(result.masked);
        arp += u32::from(result.arp);
        nd += u32::from(result.nd);
        kept += u32::from(from_host.kind == HostKind::Discovery && !result.nd);
        padded += u32::from(result.frame.as_ref().is_some_and(|f| f.len() > from_host.frame.len()));
        dropped += u32::from(result.frame.is_none());
    }
    println!("masked {masked}, arp {arp}, nd {nd}, discovery kept {kept}, dropped {dropped}, padded {padded}");
    assert!(arp > 100 && nd > 500 && kept > 500 && dropped > 50 && padded > 100);
    assert_eq!(masked > 0, made.settings.mask_source);
}
