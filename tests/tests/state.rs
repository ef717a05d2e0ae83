// SPDX-License-Identifier: Apache-2.0
//! What settings, flags, lease and full buffers do, one by one.

use hashgate_packets::builder::{ACK, Arp, Frame, HEARTBEAT, Icmp, Ip4, Payload, SYN, Upper};
use hashgate_regs::defs::{Reason, Table, Verdict};
use hashgate_regs::registers::TableSelect;
use hashgate_sim::{Build, Ready, SimNic, WireFrame};
use hashgate_tables::{BUCKETS, BucketFlags, Mac, NOBODY, OtherIp, Target};
use hashgate_tests::scene::{
    self, CLIENT_MAC, CLIENT4, CLUSTER, DEDICATED4, DEFAULT_TARGET, MAP, QUEUE, RULE, STATION, TARGET, VIP4, ip4,
    tagged, tcp, tcp4, udp4,
};
use hashgate_tests::{Bench, for_each_build};
use std::net::Ipv4Addr;

for_each_build!(
    destination_macs,
    other_addresses,
    icmp_modes,
    lease,
    links,
    handover,
    rows_of_a_rule,
    zones,
    not_ready,
    host_buffer_fills,
    control_buffer_fills,
    wire_buffer_fills,
    overrun_is_counted,
    no_counters_beyond_their_tables,
);

fn bench(build: Build) -> Bench {
    let mut bench = Bench::new(build, 5);
    let tables = scene::tables(&bench.limits());
    bench.load(&tables);
    bench
}

/// The frame with another destination MAC.
fn to(mac: Mac, frame: &[u8]) -> Vec<u8> {
    [&mac.0[..], &frame[6..]].concat()
}

fn destination_macs(build: Build) {
    let mut bench = bench(build);
    let mut tables = scene::tables(&bench.limits());
    let good = tcp4(80, SYN);
    let other = Mac([0x02, 0, 0, 0, 0, 0x02]);
    let group = Mac([0x01, 0, 0x5e, 0, 0, 0x05]);
    let check = |bench: &mut Bench, wanted: [(Mac, Reason); 5]| {
        for (mac, reason) in wanted {
            assert_eq!(bench.one(0, &to(mac, &good)).reason, reason, "{mac}");
        }
    };
    let always = [(STATION, Reason::Map), (CLUSTER, Reason::Map), (Mac::BROADCAST, Reason::Map)];
    let with = |other_reason, group_reason| {
        let [a, b, c] = always;
        [a, b, c, (other, other_reason), (group, group_reason)]
    };
    check(&mut bench, with(Reason::NotMyMac, Reason::NotMyMac));
    // A third of an address that is ours is not enough.
    for ours in [STATION, CLUSTER, Mac::BROADCAST] {
        for third in 0..3 {
            let mut mac = other;
            mac.0[2 * third..2 * third + 2].copy_from_slice(&ours.0[2 * third..2 * third + 2]);
            let wanted = if [STATION, CLUSTER].contains(&mac) { Reason::Map } else { Reason::NotMyMac };
            assert_eq!(bench.one(0, &to(mac, &good)).reason, wanted, "{mac}");
        }
    }
    tables.settings.all_multicast = true;
    bench.set_settings(&tables.settings);
    check(&mut bench, with(Reason::NotMyMac, Reason::Map));
    tables.settings.all_multicast = false;
    tables.settings.promiscuous = true;
    bench.set_settings(&tables.settings);
    check(&mut bench, with(Reason::Map, Reason::Map));
    tables.settings.promiscuous = false;
    bench.set_settings(&tables.settings);
    tables.multicast.insert(group);
    bench.commit(&tables, |_| {});
    bench.settle();
    check(&mut bench, with(Reason::NotMyMac, Reason::Map));
    bench.compare_counters();
}

fn other_addresses(build: Build) {
    let mut bench = bench(build);
    let mut settings = scene::tables(&bench.limits()).settings;
    let default = bench.limits().rules;
    let to = |address| scene::frame(ip4(address, tcp(80, SYN)));
    for (other_ip, verdict, reason, rule) in [
        (OtherIp::Deliver, Verdict::Host, Reason::Unfiltered, None),
        (OtherIp::Discard, Verdict::Discard, Reason::NotMyIp, None),
        (OtherIp::Balance, Verdict::Port, Reason::DefaultHost, Some(default)),
    ] {
        settings.other_ip = other_ip;
        bench.set_settings(&settings);
        let event = bench.one(0, &to(Ipv4Addr::new(203, 0, 113, 1)));
        assert_eq!((event.verdict, event.reason, event.rule), (verdict, reason, rule));
        for address in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::new(239, 255, 255, 255)] {
            let event = bench.one(0, &to(address));
            assert_eq!((event.verdict, event.reason), (Verdict::Host, Reason::Unfiltered), "{address}");
        }
        assert_eq!(bench.one(0, &to(DEDICATED4)).reason, Reason::Dedicated);
        assert_eq!(bench.one(0, &to(VIP4)).reason, Reason::Map);
    }
}

fn icmp_modes(build: Build) {
    let mut bench = bench(build);
    let mut settings = scene::tables(&bench.limits()).settings;
    let default = bench.limits().rules;
    let icmp = |kind, payload| scene::frame(ip4(VIP4, Upper::Icmp(Icmp { kind, code: 0, rest: [0; 4], payload })));
    let echo = icmp(8, vec![0; 30]);
    // The VIP's answer from port 80, which a router could not forward.
    let mut answer = Ip4::new(VIP4, CLIENT4, tcp(0, ACK));
    if let Upper::Tcp(tcp) = &mut answer.upper {
        (tcp.source_port, tcp.destination_port) = (80, 50000);
    }
    let error = icmp(3, answer.bytes()[..28].to_vec());
    let connection = bench.one(0, &tcp4(80, ACK));
    for owner in [false, true] {
        settings.icmp_owner = owner;
        bench.set_settings(&settings);
        let event = bench.one(0, &error);
        assert_eq!((event.verdict, event.reason, event.rule), (Verdict::Host, Reason::IcmpError, Some(RULE)));
        assert_eq!((event.bucket, event.queue), (connection.bucket, connection.queue), "as the connection itself");
        let event = bench.one(0, &echo);
        let wanted = if owner {
            (Verdict::Port, Reason::IcmpOwner, Some(default))
        } else {
            (Verdict::Host, Reason::Unfiltered, None)
        };
        assert_eq!((event.verdict, event.reason, event.rule), wanted);
    }
}

fn links(build: Build) {
    let mut bench = bench(build);
    let seen = |bench: &mut Bench| {
        bench.run(4);
        (0..3).map(|port| bench.nic.has_link(port)).collect::<Vec<_>>()
    };
    let ports = build.ports();
    let all: Vec<bool> = (0..3).map(|port| port < ports).collect();
    assert_eq!(seen(&mut bench), all);
    for port in 0..ports {
        bench.sim().set_link(port as u8, false);
        let wanted: Vec<bool> = all.iter().enumerate().map(|(number, link)| *link && number != port).collect();
        assert_eq!(seen(&mut bench), wanted);
        // It says so, and no more: what still comes in is decided as always.
        assert_eq!(bench.one(port as u8, &tcp4(80, SYN)).reason, Reason::Map);
        bench.sim().set_link(port as u8, true);
        assert_eq!(seen(&mut bench), all);
    }
}

fn lease(build: Build) {
    let mut bench = bench(build);
    let vip = tcp4(80, SYN);
    let expect = |bench: &mut Bench, ok: bool| {
        bench.board.model.state.lease_ok = ok;
        assert_eq!(bench.nic.lease().expired, !ok);
        assert_eq!(bench.one(0, &vip).reason, if ok { Reason::Map } else { Reason::LeaseExpired });
        let dedicated = scene::frame(ip4(DEDICATED4, tcp(80, SYN)));
        assert_eq!(bench.one(0, &dedicated).reason, Reason::Dedicated);
        assert_eq!(bench.one(0, &scene::frame(Payload::Raw(HEARTBEAT, vec![0; 46]))).reason, Reason::Control);
    };
    // A step is far longer than the frames of `expect` take.
    let step = 1_000_000;
    let pass = |bench: &mut Bench, until: u64| {
        while bench.nic.time_ns() <= until {
            bench.run(1000);
        }
    };
    let start = bench.nic.time_ns();
    assert!(start < 1_000_000_000, "time counts from the reset on: {start} ns");
    bench.nic.arm_lease(start + step);
    expect(&mut bench, true);
    bench.nic.renew_lease(start + 2 * step);
    pass(&mut bench, start + step);
    expect(&mut bench, true);
    pass(&mut bench, start + 2 * step);
    expect(&mut bench, false);
    // Renewing does not revive it, arming does.
    bench.nic.renew_lease(start + 100 * step);
    expect(&mut bench, false);
    let now = bench.nic.time_ns();
    bench.nic.arm_lease(now + step);
    expect(&mut bench, true);
    pass(&mut bench, now + step);
    expect(&mut bench, false);
    bench.nic.disable_lease();
    bench.board.model.state.lease_ok = true;
    assert_eq!(bench.one(0, &vip).reason, Reason::Map);
    bench.compare_counters();
}

fn handover(build: Build) {
    let mut bench = bench(build);
    let bucket = bench.one(0, &tcp4(80, ACK)).bucket.expect("a bucket");
    let neighbour = bucket ^ 1;
    let flag = |bucket| [((MAP, bucket), BucketFlags { handover: true, track: false })].into();
    let track = [((MAP, bucket), BucketFlags { handover: false, track: true })].into();
    for (flags, reason) in [
        (flag(bucket), Reason::Handover),
        (flag(neighbour), Reason::Map),
        (track, Reason::Map),
        (flag(bucket), Reason::Handover),
        ([].into(), Reason::Map),
    ] {
        bench.set_flags(&flags);
        let event = bench.one(0, &tcp4(80, ACK));
        assert_eq!((event.reason, event.bucket), (reason, Some(bucket)), "{flags:?}");
        assert_eq!(bench.one(0, &tcp4(80, SYN | ACK)).reason, reason, "{flags:?}");
        assert_eq!(bench.one(0, &tcp4(80, SYN)).reason, Reason::Map, "an opening passes");
        assert_eq!(bench.one(0, &udp4(80, 10)).reason, Reason::Map, "other protocols pass");
    }
}

fn rows_of_a_rule(build: Build) {
    let mut bench = bench(build);
    let scene = scene::tables(&bench.limits());
    let frame = tcp4(80, ACK);
    let bucket = bench.one(0, &frame).bucket;
    let mut check = |change: &dyn Fn(&mut hashgate_tables::Tables), reason, bucket, target| {
        let mut tables = scene.clone();
        change(&mut tables);
        bench.commit(&tables, |_| {});
        bench.settle();
        let event = bench.one(0, &frame);
        assert_eq!((event.verdict, event.reason), (Verdict::Discard, reason));
        assert_eq!((event.rule, event.bucket, event.target), (Some(RULE), bucket, target), "{reason}");
    };
    check(&|t| t.rules.retain(|n, _| *n != RULE), Reason::RuleInvalid, None, None);
    let disabled = hashgate_regs::defs::Mode::Disabled;
    check(&|t| t.rules.get_mut(&RULE).expect("rule").mode = disabled, Reason::RuleDisabled, None, None);
    check(&|t| t.rules.get_mut(&RULE).expect("rule").map = 7, Reason::MapInvalid, bucket, None);
    check(&|t| t.maps.get_mut(&MAP).expect("map").fill(NOBODY), Reason::Nobody, bucket, None);
    check(&|t| t.targets.retain(|id, _| *id != TARGET), Reason::TargetInvalid, bucket, Some(TARGET));
    check(&|t| t.targets.extend([(TARGET, Target::discard())]), Reason::Map, bucket, Some(TARGET));
    bench.compare_counters();
}

fn zones(build: Build) {
    let mut bench = bench(build);
    let mut tables = scene::tables(&bench.limits());
    tables.zones.insert((0, 7), 3);
    bench.commit(&tables, |_| {});
    bench.settle();
    let on = |vlan| tagged(vlan, ip4(VIP4, tcp(80, SYN)));
    assert_eq!(bench.one(0, &on(7)).reason, Reason::Unfiltered, "zone 3 knows no such VIP");
    assert_eq!(bench.one(0, &on(8)).reason, Reason::Map);
    assert_eq!(bench.one(0, &on(0x8007)).reason, Reason::Unfiltered, "the priority is no part of the VLAN");
    if bench.limits().ports > 1 {
        assert_eq!(bench.one(1, &on(7)).reason, Reason::Map, "the other port has its own zones");
    }
}

fn not_ready(build: Build) {
    // While the tables initialise, and before a driver has enabled anything.
    let mut sim = SimNic::new(build).expect("the build is compiled in");
    sim.push_wire(0, WireFrame::new(tcp4(80, SYN)));
    sim.run_until_idle(10_000).expect("idle");
    let event = sim.pop_event().expect("an event");
    assert_eq!((event.verdict, event.reason), (Verdict::Discard, Reason::NotReady));
    drop(sim);

    let mut bench = bench(build);
    bench.enable(false);
    assert_eq!(bench.one(0, &tcp4(80, SYN)).reason, Reason::NotReady);
    assert_eq!(bench.one(0, &scene::frame(Payload::Raw(HEARTBEAT, vec![0; 46]))).reason, Reason::NotReady);
    bench.enable(true);
    assert_eq!(bench.one(0, &tcp4(80, SYN)).reason, Reason::Map);
    bench.compare_counters();
}

/// Frames of one control class each.
fn control_frames(n: u8) -> Vec<u8> {
    let sender = (CLIENT_MAC, Ipv4Addr::new(198, 51, 100, n));
    let arp = Arp { operation: 1, sender, target: (Mac::ZERO, VIP4) };
    if n.is_multiple_of(2) {
        scene::frame(Payload::Arp(arp))
    } else {
        scene::frame(Payload::Raw(HEARTBEAT, vec![n; 1400]))
    }
}

/// How often a reason is among the events.
fn count(events: &[hashgate_sim::VerdictEvent], verdict: Verdict, reason: Reason) -> usize {
    events.iter().filter(|e| (e.verdict, e.reason) == (verdict, reason)).count()
}

fn host_buffer_fills(build: Build) {
    let mut bench = bench(build);
    bench.set_ready(Ready::Never, Ready::Always);
    for _ in 0..60 {
        bench.receive(0, &udp4(80, 1000));
    }
    while bench.sim().rx_pending() > 0 {
        bench.run(1000);
    }
    // Control frames have their own buffer and come first.
    for n in 0..6 {
        bench.receive(0, &control_frames(n));
    }
    bench.run(5000);
    let forwarded = tcp4(1, SYN);
    bench.receive(0, &forwarded);
    let events = bench.settle();
    let delivered = count(&events, Verdict::Host, Reason::Map);
    assert!(delivered >= 20, "a buffer of 32 KB holds {delivered} frames of 1042 bytes");
    assert_eq!(count(&events, Verdict::Discard, Reason::HostFull), 60 - delivered);
    assert_eq!(count(&events, Verdict::Host, Reason::Control), 6);
    assert_eq!(count(&events, Verdict::Port, Reason::DefaultHost), 1, "forwarding does not need the host");
    assert!(delivered < 60, "the buffer was filled");
    // With the host back everything passes again.
    assert_eq!(bench.one(0, &udp4(80, 1000)).queue, QUEUE);
    bench.compare_counters();
}

fn control_buffer_fills(build: Build) {
    let mut bench = bench(build);
    bench.set_ready(Ready::Never, Ready::Always);
    for n in 0..100 {
        bench.receive(0, &control_frames(n));
    }
    bench.receive(0, &udp4(80, 1000));
    let mut sim_idle = 0;
    while sim_idle < 3 {
        bench.run(1000);
        sim_idle = if bench.sim().rx_pending() == 0 { sim_idle + 1 } else { 0 };
    }
    let events = bench.settle();
    let delivered = count(&events, Verdict::Host, Reason::Control);
    assert!((30..100).contains(&delivered), "{delivered} of 100 control frames in 32 KB");
    assert_eq!(count(&events, Verdict::Discard, Reason::ControlFull), 100 - delivered);
    assert_eq!(count(&events, Verdict::Host, Reason::Map), 1, "data frames have their own buffer");
    bench.compare_counters();
}

fn wire_buffer_fills(build: Build) {
    let mut bench = bench(build);
    bench.set_ready(Ready::Always, Ready::Never);
    for _ in 0..60 {
        bench.receive(0, &udp4(1, 1000));
    }
    bench.receive(0, &udp4(80, 1000));
    while bench.sim().rx_pending() > 0 {
        bench.run(1000);
    }
    let events = bench.settle();
    let forwarded = count(&events, Verdict::Port, Reason::DefaultHost);
    assert!((20..60).contains(&forwarded), "{forwarded} of 60 frames in 32 KB");
    assert_eq!(count(&events, Verdict::Discard, Reason::PortFull), 60 - forwarded);
    assert_eq!(count(&events, Verdict::Host, Reason::Map), 1, "the host does not need the wire");
    // A full buffer is no late check: rule and target count the frame.
    let default = bench.limits().rules;
    assert_eq!(bench.nic.rule_counter(default).packets, 60);
    assert_eq!(bench.nic.target_counter(DEFAULT_TARGET).packets, 60);
    bench.compare_counters();
    // The source MAC of what is forwarded is that of the client: nothing is edited on the way.
    let frame = Frame::new(STATION, CLIENT_MAC, ip4(VIP4, tcp(1, SYN))).padded();
    assert_eq!(bench.one(0, &frame).verdict, Verdict::Port);
}

fn overrun_is_counted(build: Build) {
    let bench = bench(build);
    let ports = bench.limits().ports;
    // Every port at line rate, for longer than the buffers before the pipeline last.
    let frame = udp4(80, 1400);
    let each = 100;
    let mut events = 0;
    {
        let mut sim = bench.sim();
        for port in 0..ports {
            for _ in 0..each {
                sim.push_wire(port, WireFrame::new(frame.clone()));
            }
        }
        sim.run_until_idle(1_000_000).expect("idle");
        while let Some(event) = sim.pop_event() {
            // A frame is lost whole or not at all.
            assert_eq!((usize::from(event.length), event.rule), (frame.len(), Some(RULE)));
            events += 1;
        }
    }
    let losses: Vec<u64> = (0..ports).map(|port| bench.nic.port_counters(port).rx_overrun).collect();
    let lost: u64 = losses.iter().sum();
    // The ports take turns, so none loses more than the other.
    assert!(losses.iter().all(|one| one.abs_diff(losses[0]) <= 3), "{losses:?}");
    assert_eq!(events + lost, each * u64::from(ports), "every frame has an event or is counted as lost");
    assert_eq!(lost > 0, ports > 1, "one port never offers more than the pipeline takes; {lost} lost");
    assert_eq!(bench.nic.counters().received().packets, events);
}

fn no_counters_beyond_their_tables(build: Build) {
    let mut bench = bench(build);
    // Reason 0 never counts, so the first entries that do are those of rule 0 and target 0.
    let mut tables = scene::tables(&bench.limits());
    tables.targets.insert(0, Target::deliver(1));
    tables.rules.insert(0, scene::rule(MAP));
    tables.maps.insert(MAP, vec![0; BUCKETS]);
    for slot in tables.slots.iter_mut().flatten() {
        slot.rule = 0;
    }
    bench.commit(&tables, |_| {});
    bench.settle();
    let event = bench.one(0, &tcp4(80, SYN));
    assert_eq!((event.rule, event.target), (Some(0), Some(0)));
    // The counters of rules have room for a power of two, with the default rule.
    let rules = (u32::from(bench.limits().rules) + 1).next_power_of_two();
    for (table, entries) in [(Table::CountRule, rules), (Table::CountTarget, u32::from(bench.limits().targets))] {
        let read = |entry: u32| {
            let registers = bench.nic.registers();
            registers.set_table_select(TableSelect { id: table as u8, active: true, ..TableSelect::default() });
            registers.set_table_index(4 * entry);
            registers.table_data()
        };
        assert!(read(0) > 0, "{table:?}");
        assert_eq!(read(entries), 0, "{table:?}: there is no entry {entries}");
    }
    // Nor of ports that the build does not have.
    let registers = bench.nic.registers();
    for port in usize::from(bench.limits().ports)..2 {
        let sent = (registers.port_tx_packets(port), registers.port_tx_bytes(port), registers.port_tx_aborted(port));
        assert_eq!((registers.port_rx_overrun(port), sent), (0, (0, 0, 0)), "port {port}");
    }
}
