// SPDX-License-Identifier: Apache-2.0
//! The binding tables: each row of the two tables of the page, and what they are for.

use BindingState::{Closing, Established, Flow, HalfOpen, Reset};
use Table::{Affinity, Connection};
use hashgate_model::bindings::EventKind;
use hashgate_model::hash::Key;
use hashgate_model::{ApplyError, Binding, BindingKey, Clocks, Decision, Effect, InsertError, NewBinding, Nic, Table};
use hashgate_packets::builder::{ACK, CTAG, Extension, FIN, Frame, Icmp, Ip4, Ip6, Payload, RST, SYN, Tcp, Udp, Upper};
use hashgate_regs::defs::{BindingState, Mode, Reason, Track, Verdict, VipKind};
use hashgate_tables::{
    BUCKETS, BucketFlags, KeyMask, Limits, Mac, MatchSlot, NOBODY, Rule, Tables, Target, Timeouts, Vip,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const STATION: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 9]);
const VIP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 100);
const CLIENT4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7);
const CLIENT_PORT: u16 = 50000;

/// Rule of the VIP for ports 80..=443, later fragments included.
const WEB: u8 = 5;
/// Rules of the VIP for TCP port 1723 with GRE, and for UDP port 500 with ESP and AH.
const PPTP: u8 = 6;
const IKE: u8 = 7;
const DEFAULT: u8 = 64;
/// Map of all but the default rule, whose map is 64.
const MAP: u8 = 1;

/// Deliver to the host; they bind.
const OWN: u16 = 9;
const SECOND: u16 = 10;
/// Another member's: discard.
const OTHER: u16 = 4;

const TIMES: Timeouts = Timeouts { half_open: 10, reset: 5, established: 100, closing: 20, flow: 30, affinity: 50 };

/// A NIC, the tables it has, and what it is made to see.
struct Scene {
    nic: Nic,
    tables: Tables,
}

impl Scene {
    /// Every bucket belongs to [`OWN`]; all rules track always, none has affinity.
    fn new() -> Scene {
        let mut tables = Tables::default();
        tables.settings.station_mac = STATION;
        tables.settings.icmp_owner = true;
        let vip = |addr| Vip { zone: 0, addr, kind: VipKind::Vip, id: 3 };
        tables.vips = vec![vip(IpAddr::from(VIP4)), vip(IpAddr::from(VIP6))];
        let slot = |ports, tcp, udp, rule| Some(MatchSlot { vip: Some(3), tcp, udp, ports, fragment: true, rule });
        tables.slots = vec![
            slot((80, 443), true, true, WEB),
            slot((1723, 1723), true, false, PPTP),
            slot((500, 500), false, true, IKE),
        ];
        let rule = |map| Rule {
            mode: Mode::Multiple,
            draining: false,
            affinity: false,
            timeouts: TIMES,
            track: Track::Always,
            map,
            group: 0,
            bucket: KeyMask::SOURCE,
            binding: KeyMask::SOURCE,
        };
        tables.rules = [(WEB, rule(MAP)), (PPTP, rule(MAP)), (IKE, rule(MAP)), (DEFAULT, rule(64))].into();
        tables.maps = [(MAP, vec![OWN; BUCKETS]), (64, vec![OWN; BUCKETS])].into();
        tables.targets = [(OWN, Target::deliver(17)), (SECOND, Target::deliver(18)), (OTHER, Target::discard())].into();
        let mut nic = Nic::new(Limits { ports: 2, ..Limits::default() });
        nic.set_settings(tables.settings.clone());
        nic.commit(tables.clone());
        nic.state.enabled = true;
        Scene { nic, tables }
    }

    /// The same with affinity for all rules and without connection bindings.
    fn sticky() -> Scene {
        let mut scene = Scene::new();
        scene.change(|t| {
            for rule in t.rules.values_mut() {
                (rule.affinity, rule.track) = (true, Track::Never);
            }
        });
        scene
    }

    fn change(&mut self, change: impl FnOnce(&mut Tables)) {
        change(&mut self.tables);
        self.nic.set_flags(self.tables.flags.clone());
        self.nic.commit(self.tables.clone());
    }

    /// All buckets of both maps belong to `owner`.
    fn owner(&mut self, owner: u16) {
        self.change(|t| t.maps = [(MAP, vec![owner; BUCKETS]), (64, vec![owner; BUCKETS])].into());
    }

    fn flags(&mut self, flags: BucketFlags) {
        self.change(|t| t.flags = (0..BUCKETS as u16).map(|bucket| ((MAP, bucket), flags)).collect());
    }

    fn rule(&mut self, number: u8, change: impl FnOnce(&mut Rule)) {
        self.change(|t| change(t.rules.get_mut(&number).expect("the rule exists")));
    }

    fn ask(&self, frame: &[u8]) -> Decision {
        self.nic.receive(0, frame, false)
    }

    /// Decides a frame and carries out its effects.
    fn see(&mut self, frame: &[u8]) -> Decision {
        let decision = self.ask(frame);
        self.nic.apply(&decision, [false; 2]).expect("effects of the newest decision");
        decision
    }

    fn wait(&mut self, fast: u16, slow: u16) {
        let now = self.nic.bindings().clocks();
        self.nic.set_clocks(Clocks { fast: now.fast.wrapping_add(fast), slow: now.slow.wrapping_add(slow) });
    }

    fn find(&self, table: Table, key: &BindingKey) -> Option<Binding> {
        self.nic.bindings().find(table, key).copied()
    }

    /// State and ticks left of the connection binding of the client's TCP to port 80.
    fn tcp(&self) -> Option<(BindingState, u16)> {
        self.state(Connection, &tcp_key())
    }

    fn state(&self, table: Table, key: &BindingKey) -> Option<(BindingState, u16)> {
        let clocks = self.nic.bindings().clocks();
        self.find(table, key).map(|b| (b.state, b.expires.wrapping_sub(clocks.of(b.state))))
    }

    /// The host inserts a binding to [`SECOND`] with three ticks left.
    fn insert(&mut self, table: Table, key: BindingKey, state: BindingState) {
        let new = NewBinding { state, target: SECOND, rule: WEB, bucket: 77, ticks: 3 };
        self.nic.insert_binding(table, key, new).expect("can be inserted");
    }

    fn events(&mut self) -> Vec<(EventKind, Table)> {
        self.nic.take_events().into_iter().map(|e| (e.kind, e.table)).collect()
    }

    fn count(&self, table: Table) -> usize {
        self.nic.bindings().iter(table).count()
    }
}

fn key(protocol: u8, destination_port: u16) -> BindingKey {
    let source_port = if destination_port == 0 { 0 } else { CLIENT_PORT };
    let key = Key { source: CLIENT4.into(), destination: VIP4.into(), source_port, destination_port };
    BindingKey { zone: 0, key, protocol }
}

fn tcp_key() -> BindingKey {
    key(6, 80)
}

/// Key of the client's affinity binding under the mask of the scene.
fn client_key(group: u8) -> BindingKey {
    let unspecified = Ipv4Addr::UNSPECIFIED.into();
    let key = Key { source: CLIENT4.into(), destination: unspecified, source_port: 0, destination_port: 0 };
    BindingKey { zone: 0, key, protocol: group }
}

fn ethernet(payload: Payload) -> Vec<u8> {
    Frame::new(STATION, ROUTER, payload).padded()
}

fn ip4(upper: Upper) -> Vec<u8> {
    ethernet(Payload::Ip4(Ip4::new(CLIENT4, VIP4, upper)))
}

fn segment(source_port: u16, destination_port: u16, flags: u8) -> Upper {
    Upper::Tcp(Tcp { source_port, destination_port, flags, options: vec![], payload: vec![] })
}

fn tcp(flags: u8) -> Vec<u8> {
    ip4(segment(CLIENT_PORT, 80, flags))
}

/// TCP of the same client from another port.
fn other_tcp(flags: u8) -> Vec<u8> {
    ip4(segment(50001, 80, flags))
}

fn udp(port: u16) -> Vec<u8> {
    ip4(Upper::Udp(Udp { source_port: CLIENT_PORT, destination_port: port, payload: vec![] }))
}

/// One packet of each protocol that is not TCP, with its key and rule.
fn flows() -> [(Vec<u8>, BindingKey, u8); 4] {
    [
        (udp(80), key(17, 80), WEB),
        (ip4(Upper::gre(&[0; 20])), key(47, 0), PPTP),
        (ip4(Upper::esp(1, &[0; 20])), key(50, 0), IKE),
        (ip4(Upper::ah(6, 1, &[0; 20])), key(51, 0), IKE),
    ]
}

/// A later fragment of a packet of the client.
fn later_fragment(protocol: u8) -> Vec<u8> {
    let mut packet = Ip4::new(CLIENT4, VIP4, Upper::Raw(protocol, vec![0; 24]));
    packet.offset = 100;
    ethernet(Payload::Ip4(packet))
}

/// A router's error about a packet that the VIP sent to the client.
fn error(embedded: Upper) -> Vec<u8> {
    let inside = Ip4::new(VIP4, CLIENT4, embedded).bytes();
    let icmp = Upper::Icmp(Icmp { kind: 3, code: 4, rest: [0; 4], payload: inside });
    ethernet(Payload::Ip4(Ip4::new(Ipv4Addr::new(203, 0, 113, 1), VIP4, icmp)))
}

fn echo() -> Vec<u8> {
    ip4(Upper::Icmp(Icmp { kind: 8, code: 0, rest: [0; 4], payload: vec![] }))
}

/// IPv6 from the client whose TCP header lies beyond the window.
fn beyond() -> Vec<u8> {
    let mut packet = Ip6::new(CLIENT6, VIP6, segment(CLIENT_PORT, 80, SYN));
    packet.extensions = vec![Extension::HopByHop(7)];
    ethernet(Payload::Ip6(packet))
}

#[track_caller]
fn assert_decided(decision: &Decision, reason: Reason, target: u16) {
    assert_eq!((decision.reason, decision.target), (reason, Some(target)), "{decision:?}");
}

// ---- the rows of the connection table ------------------------------------------------------------------------------

#[test]
fn a_live_connection_binding_decides_tcp() {
    let cases = [
        // Flags, state before, state and ticks after. (TCP that opens has tests of its own.)
        (SYN, HalfOpen, HalfOpen, 10),
        (SYN, Established, Established, 100),
        (ACK, HalfOpen, Established, 100),
        (ACK, Established, Established, 100),
        (ACK, Closing, Closing, 20),
        (ACK, Reset, Established, 100),
        (SYN | ACK, HalfOpen, Established, 100),
        (0, Established, Established, 100),
        (FIN | ACK, HalfOpen, Closing, 20),
        (FIN | ACK, Established, Closing, 20),
        (FIN | ACK, Closing, Closing, 20),
        (FIN | ACK, Reset, Closing, 20),
        (RST, HalfOpen, Reset, 5),
        (RST | ACK, Established, Reset, 5),
        (RST, Closing, Reset, 5),
        (RST, Reset, Reset, 5),
        (RST | FIN, Established, Reset, 5),
    ];
    for (flags, before, after, ticks) in cases {
        let mut scene = Scene::new();
        scene.wait(700, 900);
        scene.insert(Connection, tcp_key(), before);
        let decision = scene.see(&tcp(flags));
        assert_decided(&decision, Reason::Binding, SECOND);
        assert_eq!((decision.verdict, decision.queue, decision.rule), (Verdict::Host, 18, Some(WEB)));
        assert_eq!(scene.tcp(), Some((after, ticks)), "flags {flags:02x} in {before}");
        let kept = scene.find(Connection, &tcp_key()).unwrap();
        assert_eq!((kept.target, kept.rule, kept.bucket, kept.fresh), (SECOND, WEB, 77, false));
        // The map says otherwise, and its bucket is told nevertheless.
        assert!(decision.bucket.is_some_and(|bucket| bucket != 77));
    }
}

#[test]
fn tcp_that_opens_ends_a_binding_whose_bucket_went_elsewhere() {
    for state in [HalfOpen, Established, Closing, Reset] {
        for owner in [OTHER, NOBODY, 999] {
            let mut scene = Scene::new();
            scene.insert(Connection, tcp_key(), state);
            scene.owner(owner);
            let decision = scene.see(&tcp(SYN));
            let reason = match owner {
                NOBODY => Reason::Nobody,
                OTHER => Reason::Map,
                _ => Reason::TargetInvalid,
            };
            assert_eq!((decision.reason, decision.verdict), (reason, Verdict::Discard));
            assert_eq!(decision.target, (owner != NOBODY).then_some(owner));
            assert_eq!(scene.tcp(), None, "{state}, owner {owner}");
            assert_eq!(scene.events(), [(EventKind::Created, Connection), (EventKind::Removed, Connection)]);
        }
    }
}

#[test]
fn tcp_that_opens_makes_a_closing_or_reset_binding_again() {
    for state in [Closing, Reset] {
        let mut scene = Scene::new();
        scene.insert(Connection, tcp_key(), state);
        let decision = scene.see(&tcp(SYN));
        assert_decided(&decision, Reason::Map, OWN);
        assert_eq!(decision.needs_room(), [false; 2], "the key has its place");
        assert_eq!(scene.tcp(), Some((HalfOpen, 10)));
        let made = scene.find(Connection, &tcp_key()).unwrap();
        assert_eq!((made.target, Some(made.bucket), made.fresh), (OWN, decision.bucket, true));
        assert_eq!(scene.events(), [(EventKind::Created, Connection), (EventKind::Changed, Connection)]);

        // Not if none is to be made.
        for (track, draining, reason) in
            [(Track::Never, false, Reason::Map), (Track::Always, true, Reason::RuleDraining)]
        {
            let mut scene = Scene::new();
            scene.insert(Connection, tcp_key(), state);
            scene.rule(WEB, |r| (r.track, r.draining) = (track, draining));
            assert_eq!(scene.see(&tcp(SYN)).reason, reason);
            assert_eq!(scene.tcp(), None);
        }
    }
}

#[test]
fn a_live_connection_binding_decides_flows() {
    for (frame, key, rule) in flows() {
        let mut scene = Scene::new();
        scene.insert(Connection, key, Flow);
        let decision = scene.see(&frame);
        assert_decided(&decision, Reason::Binding, SECOND);
        assert_eq!(decision.rule, Some(rule));
        assert_eq!(scene.state(Connection, &key), Some((Flow, 30)), "{key:?}");
        // Also where the bucket is another member's.
        scene.owner(OTHER);
        assert_decided(&scene.see(&frame), Reason::Binding, SECOND);
    }
}

#[test]
fn frames_that_open_make_a_connection_binding() {
    let tcp_case = (tcp(SYN), tcp_key(), WEB);
    for (frame, key, rule) in flows().into_iter().chain([tcp_case]) {
        let mut scene = Scene::new();
        let (state, ticks) = if key.protocol == 6 { (HalfOpen, 10) } else { (Flow, 30) };
        let first = scene.see(&frame);
        assert_decided(&first, Reason::Map, OWN);
        assert_eq!(first.needs_room(), [true, false]);
        let made = scene.find(Connection, &key).unwrap_or_else(|| panic!("none is made for {key:?}"));
        let bucket = first.bucket.unwrap();
        assert_eq!(made, Binding { state, target: OWN, rule, bucket, expires: ticks, fresh: true });
        assert_decided(&scene.see(&frame), Reason::Binding, OWN);
        assert!(!scene.find(Connection, &key).unwrap().fresh);
        assert_eq!(scene.events(), [(EventKind::Created, Connection)], "a new expiry alone is no event");
    }
}

#[test]
fn other_frames_make_none() {
    let mut scene = Scene::new();
    for flags in [ACK, SYN | ACK, RST, FIN | ACK, 0] {
        assert_decided(&scene.see(&tcp(flags)), Reason::Map, OWN);
    }
    for frame in [later_fragment(6), later_fragment(47), echo(), beyond(), error(segment(80, CLIENT_PORT, SYN))] {
        let decision = scene.see(&frame);
        assert_eq!((decision.target, decision.lookups[1]), (Some(OWN), None));
    }
    assert_eq!((scene.count(Connection), scene.count(Affinity)), (0, 0));
    // A first fragment has ports and may open.
    let mut first =
        Ip4::new(CLIENT4, VIP4, Upper::Udp(Udp { source_port: 1, destination_port: 80, payload: vec![0; 16] }));
    first.more = true;
    scene.see(&ethernet(Payload::Ip4(first)));
    assert_eq!(scene.count(Connection), 1);
}

#[test]
fn targets_that_do_not_bind_get_none() {
    for owner in [OTHER, NOBODY, 999] {
        let mut scene = Scene::new();
        scene.owner(owner);
        for (frame, ..) in flows() {
            scene.see(&frame);
        }
        scene.see(&tcp(SYN));
        assert_eq!(scene.count(Connection), 0, "owner {owner}");
    }
    let mut scene = Scene::new();
    scene.change(|t| t.targets.get_mut(&OWN).unwrap().bind = false);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Map, OWN);
    assert_eq!(scene.count(Connection), 0);
    // BIND alone decides, not the action.
    scene.change(|t| *t.targets.get_mut(&OWN).unwrap() = Target { bind: true, ..Target::forward(1) });
    assert_eq!(scene.see(&tcp(SYN)).verdict, Verdict::Port);
    assert_eq!(scene.count(Connection), 1);
}

#[test]
fn tracking_policies() {
    for (track, flagged, made) in [
        (Track::Never, true, false),
        (Track::Flagged, false, false),
        (Track::Flagged, true, true),
        (Track::Always, false, true),
    ] {
        let mut scene = Scene::new();
        scene.rule(WEB, |r| r.track = track);
        scene.flags(BucketFlags { handover: false, track: flagged });
        scene.see(&tcp(SYN));
        scene.see(&udp(80));
        assert_eq!(scene.count(Connection), if made { 2 } else { 0 }, "{track:?}, flagged {flagged}");
        // What is there is kept up by any policy.
        scene.insert(Connection, key(6, 81), Established);
        scene.rule(WEB, |r| r.track = Track::Never);
        assert_decided(&scene.see(&ip4(segment(CLIENT_PORT, 81, ACK))), Reason::Binding, SECOND);
        assert_eq!(scene.state(Connection, &key(6, 81)), Some((Established, 100)));
    }
}

// ---- what connection bindings are for ------------------------------------------------------------------------------

#[test]
fn handover_discards_only_what_is_not_bound() {
    let mut scene = Scene::new();
    scene.see(&tcp(SYN));
    scene.see(&tcp(ACK));
    scene.flags(BucketFlags { handover: true, track: false });
    assert_decided(&scene.see(&tcp(ACK)), Reason::Binding, OWN);
    for flags in [ACK, SYN | ACK, FIN | ACK, RST] {
        let unbound = scene.see(&other_tcp(flags));
        assert_eq!((unbound.verdict, unbound.reason, unbound.target), (Verdict::Discard, Reason::Handover, None));
    }
    assert_decided(&scene.see(&other_tcp(SYN)), Reason::Map, OWN);
    assert_decided(&scene.see(&other_tcp(ACK)), Reason::Binding, OWN);
    // The bucket goes to another member, the connections stay.
    scene.owner(OTHER);
    for frame in [tcp(ACK), other_tcp(ACK), tcp(FIN | ACK), tcp(ACK)] {
        assert_decided(&scene.see(&frame), Reason::Binding, OWN);
    }
    assert_eq!(scene.tcp(), Some((Closing, 20)));
}

#[test]
fn a_port_used_again_belongs_to_the_new_owner() {
    let mut scene = Scene::new();
    scene.see(&tcp(SYN));
    scene.see(&tcp(ACK));
    scene.owner(OTHER);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Binding, OWN);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Map, OTHER);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Map, OTHER);
    assert_eq!(scene.count(Connection), 0);
}

#[test]
fn data_restores_a_connection_after_a_forged_rst() {
    let mut scene = Scene::new();
    scene.see(&tcp(SYN));
    scene.see(&tcp(ACK));
    scene.owner(OTHER);
    assert_decided(&scene.see(&tcp(RST)), Reason::Binding, OWN);
    assert_eq!(scene.tcp(), Some((Reset, 5)));
    scene.wait(4, 0);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Binding, OWN);
    assert_eq!(scene.tcp(), Some((Established, 100)));
    // A true one ends it soon.
    scene.see(&tcp(RST));
    scene.wait(5, 0);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Map, OTHER);
}

#[test]
fn a_half_closed_connection_lives_while_it_is_used() {
    let mut scene = Scene::new();
    scene.see(&tcp(SYN));
    scene.see(&tcp(FIN | ACK));
    scene.owner(OTHER);
    for _ in 0..5 {
        scene.wait(0, 19);
        assert_decided(&scene.see(&tcp(ACK)), Reason::Binding, OWN);
        assert_eq!(scene.tcp(), Some((Closing, 20)));
    }
    scene.wait(0, 20);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Map, OTHER);
}

#[test]
fn a_draining_rule_keeps_its_connections_and_takes_no_new_ones() {
    let mut scene = Scene::new();
    scene.see(&tcp(SYN));
    scene.rule(WEB, |r| r.draining = true);
    // A SYN sent again is no new session.
    for flags in [SYN, ACK, SYN, ACK] {
        assert_decided(&scene.see(&tcp(flags)), Reason::Binding, OWN);
    }
    for frame in [other_tcp(SYN), udp(80)] {
        let decision = scene.see(&frame);
        assert_eq!((decision.verdict, decision.reason), (Verdict::Discard, Reason::RuleDraining));
        assert_eq!((decision.rule, decision.target), (Some(WEB), None));
    }
    assert_eq!(scene.count(Connection), 1);
    // What opens nothing goes by the map, and targets that do not bind drain nothing.
    assert_decided(&scene.see(&other_tcp(ACK)), Reason::Map, OWN);
    assert_decided(&scene.see(&later_fragment(6)), Reason::Map, OWN);
    assert_decided(&scene.see(&error(segment(80, 50001, ACK))), Reason::IcmpError, OWN);
    scene.owner(OTHER);
    assert_decided(&scene.see(&other_tcp(SYN)), Reason::Map, OTHER);
    scene.owner(999);
    assert_eq!(scene.see(&other_tcp(SYN)).reason, Reason::TargetInvalid);
    scene.owner(NOBODY);
    assert_eq!(scene.see(&other_tcp(SYN)).reason, Reason::Nobody);
}

#[test]
fn rows_before_the_tables_ask_nothing() {
    for (change, reason) in [
        ((|t| t.rules.retain(|number, _| *number != WEB)) as fn(&mut Tables), Reason::RuleInvalid),
        (|t| t.rules.get_mut(&WEB).unwrap().mode = Mode::Disabled, Reason::RuleDisabled),
        (|t| t.rules.get_mut(&WEB).unwrap().map = 40, Reason::MapInvalid),
    ] {
        let mut scene = Scene::new();
        scene.insert(Connection, tcp_key(), Established);
        scene.change(change);
        let decision = scene.see(&tcp(FIN | ACK));
        assert_eq!((decision.reason, decision.lookups), (reason, [None; 2]));
        assert_eq!(scene.tcp(), Some((Established, 3)));
    }
    let mut scene = Scene::new();
    scene.insert(Connection, tcp_key(), Established);
    scene.nic.state.lease_ok = false;
    assert_eq!(scene.see(&tcp(ACK)).reason, Reason::LeaseExpired);
    assert_eq!(scene.tcp(), Some((Established, 3)));
}

#[test]
fn the_target_of_a_binding_may_be_gone() {
    let mut scene = Scene::new();
    scene.insert(Connection, tcp_key(), Established);
    scene.change(|t| t.targets.retain(|id, _| *id != SECOND));
    let decision = scene.see(&tcp(ACK));
    assert_decided(&decision, Reason::TargetInvalid, SECOND);
    assert_eq!(decision.verdict, Verdict::Discard);
    assert_eq!(scene.tcp(), Some((Established, 100)));
}

#[test]
fn keys_tell_zones_and_versions_apart() {
    let mut scene = Scene::new();
    scene.change(|t| {
        t.zones.insert((0, 7), 3);
        t.vips.push(Vip { zone: 3, ..t.vips[0] });
    });
    scene.see(&tcp(SYN));
    let mut tagged = Frame::new(STATION, ROUTER, Payload::Ip4(Ip4::new(CLIENT4, VIP4, segment(CLIENT_PORT, 80, SYN))));
    tagged.tags.push((CTAG, 7));
    assert_decided(&scene.see(&tagged.padded()), Reason::Map, OWN);
    let v6 = ethernet(Payload::Ip6(Ip6::new(CLIENT6, VIP6, segment(CLIENT_PORT, 80, SYN))));
    assert_decided(&scene.see(&v6), Reason::Map, OWN);
    assert_decided(&scene.see(&ip4(segment(CLIENT_PORT, 81, SYN))), Reason::Map, OWN);
    assert_decided(&scene.see(&udp(80)), Reason::Map, OWN);
    assert_eq!(scene.count(Connection), 5);
    assert_decided(&scene.see(&v6), Reason::Binding, OWN);
    let found = |zone| scene.find(Connection, &BindingKey { zone, ..tcp_key() });
    assert!(found(0).is_some() && found(3).is_some() && found(1).is_none());
}

// ---- frames that say less ------------------------------------------------------------------------------------------

#[test]
fn icmp_errors_follow_the_connection_and_change_nothing() {
    for (embedded, key) in [
        (segment(80, CLIENT_PORT, ACK), tcp_key()),
        (Upper::Udp(Udp { source_port: 80, destination_port: CLIENT_PORT, payload: vec![] }), key(17, 80)),
        (Upper::gre(&[0; 8]), key(47, 0)),
    ] {
        let mut scene = Scene::new();
        scene.insert(Connection, key, if key.protocol == 6 { Closing } else { Flow });
        scene.owner(OTHER);
        let before = scene.find(Connection, &key);
        let decision = scene.see(&error(embedded.clone()));
        assert_decided(&decision, Reason::IcmpError, SECOND);
        assert_eq!(decision.verdict, Verdict::Host);
        assert_eq!(decision.lookups[0].unwrap().effect, Effect::Keep);
        assert_eq!(scene.find(Connection, &key), before);
        scene.nic.remove_binding(Connection, &key);
        assert_decided(&scene.see(&error(embedded)), Reason::IcmpError, OTHER);
    }
    // By the default rule the reason is another, which the binding replaces.
    let mut scene = Scene::new();
    let inside = segment(9, CLIENT_PORT, ACK);
    assert_decided(&scene.see(&error(inside.clone())), Reason::DefaultHost, OWN);
    scene.insert(Connection, key(6, 9), Established);
    assert_decided(&scene.see(&error(inside)), Reason::Binding, SECOND);
}

#[test]
fn later_fragments_without_ports_follow_their_flow_and_change_nothing() {
    let mut scene = Scene::new();
    for protocol in [47, 50, 51] {
        scene.insert(Connection, key(protocol, 0), Flow);
        assert_decided(&scene.see(&later_fragment(protocol)), Reason::Binding, SECOND);
        assert_eq!(scene.state(Connection, &key(protocol, 0)), Some((Flow, 3)));
    }
    // Those of TCP and UDP have ports, but do not tell them.
    scene.insert(Connection, tcp_key(), Established);
    scene.insert(Connection, key(17, 80), Flow);
    for protocol in [6, 17] {
        assert_decided(&scene.see(&later_fragment(protocol)), Reason::Map, OWN);
    }
}

#[test]
fn keys_of_packets_that_do_not_tell_all() {
    let scene = Scene::new();
    let asked = |frame: &[u8]| scene.ask(frame).lookups[0].expect("was looked up").key;
    assert_eq!(asked(&later_fragment(6)), key(6, 0));
    assert_eq!(asked(&echo()), key(1, 0));
    // The layer 4 that is beyond the window is known, an extension header there is all that is known.
    let beyond = |extensions| {
        let mut packet = Ip6::new(CLIENT6, VIP6, segment(CLIENT_PORT, 80, SYN));
        packet.extensions = extensions;
        let asked = asked(&ethernet(Payload::Ip6(packet)));
        assert_eq!((asked.key.source_port, asked.key.destination_port), (0, 0));
        asked.protocol
    };
    assert_eq!(beyond(vec![Extension::HopByHop(7)]), 6);
    assert_eq!(beyond(vec![Extension::HopByHop(8), Extension::Routing(0)]), 43);
    assert_eq!(beyond([[Extension::HopByHop(0)].repeat(8), vec![Extension::Destination(0)]].concat()), 60);
}

// ---- the rows of the affinity table --------------------------------------------------------------------------------

#[test]
fn frames_that_open_make_an_affinity_binding() {
    for (frame, _, rule) in flows().into_iter().chain([(tcp(SYN), tcp_key(), WEB)]) {
        let mut scene = Scene::sticky();
        let first = scene.see(&frame);
        assert_decided(&first, Reason::Map, OWN);
        assert_eq!(first.needs_room(), [false, true]);
        let made = scene.find(Affinity, &client_key(0)).unwrap();
        let bucket = first.bucket.unwrap();
        assert_eq!(made, Binding { state: Flow, target: OWN, rule, bucket, expires: 50, fresh: true });
        assert_eq!(scene.count(Connection), 0);
        assert_eq!(scene.events(), [(EventKind::Created, Affinity)]);
    }
    // Others make none.
    let mut scene = Scene::sticky();
    for frame in [tcp(ACK), tcp(SYN | ACK), later_fragment(6), echo(), error(segment(80, CLIENT_PORT, ACK))] {
        scene.see(&frame);
    }
    // Nor do rules without affinity or that are draining, and owners that do not bind.
    scene.rule(WEB, |r| r.affinity = false);
    assert_eq!(scene.see(&tcp(SYN)).lookups[1], None);
    scene.rule(WEB, |r| (r.affinity, r.draining) = (true, true));
    assert_eq!(scene.see(&tcp(SYN)).reason, Reason::RuleDraining);
    scene.rule(WEB, |r| r.draining = false);
    for owner in [OTHER, NOBODY, 999] {
        scene.owner(owner);
        scene.see(&tcp(SYN));
    }
    assert_eq!(scene.count(Affinity), 0);
}

#[test]
fn a_live_affinity_binding_decides() {
    let frames = [tcp(SYN), tcp(ACK), tcp(RST), tcp(FIN | ACK), udp(80), later_fragment(17), udp(9), echo()];
    for frame in &frames {
        let mut scene = Scene::sticky();
        scene.insert(Affinity, client_key(0), Flow);
        scene.owner(OTHER);
        scene.flags(BucketFlags { handover: true, track: false });
        let decision = scene.see(frame);
        assert_decided(&decision, Reason::Affinity, SECOND);
        assert_eq!(decision.verdict, Verdict::Host);
        assert_eq!(scene.state(Affinity, &client_key(0)), Some((Flow, 50)));
        let kept = scene.find(Affinity, &client_key(0)).unwrap();
        assert_eq!((kept.target, kept.rule, kept.bucket, kept.fresh), (SECOND, WEB, 77, false));
        assert_eq!(scene.events(), [(EventKind::Created, Affinity)]);
    }
    // An ICMP error is decided too, but keeps nothing alive.
    let mut scene = Scene::sticky();
    scene.insert(Affinity, client_key(0), Flow);
    scene.owner(OTHER);
    assert_decided(&scene.see(&error(segment(80, CLIENT_PORT, ACK))), Reason::IcmpError, SECOND);
    assert_eq!(scene.state(Affinity, &client_key(0)), Some((Flow, 3)));
    // A rule without affinity does not ask.
    scene.rule(WEB, |r| r.affinity = false);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Map, OTHER);
}

#[test]
fn packets_beyond_the_window_stay_with_their_client() {
    let mut scene = Scene::sticky();
    let of_client = BindingKey {
        key: Key { source: CLIENT6.into(), destination: Ipv6Addr::UNSPECIFIED.into(), ..client_key(0).key },
        ..client_key(0)
    };
    assert_decided(&scene.see(&beyond()), Reason::BeyondWindow, OWN);
    scene.insert(Affinity, of_client, Flow);
    assert_decided(&scene.see(&beyond()), Reason::Affinity, SECOND);
    assert_eq!(scene.state(Affinity, &of_client), Some((Flow, 50)));
}

#[test]
fn affinity_is_sticky_until_it_is_not_used() {
    let mut scene = Scene::sticky();
    scene.see(&tcp(SYN));
    scene.owner(SECOND);
    for _ in 0..3 {
        scene.wait(0, 49);
        assert_decided(&scene.see(&other_tcp(SYN)), Reason::Affinity, OWN);
    }
    scene.wait(0, 50);
    assert_decided(&scene.see(&other_tcp(SYN)), Reason::Map, SECOND);
    assert_decided(&scene.see(&other_tcp(SYN)), Reason::Affinity, SECOND);
}

#[test]
fn the_mask_says_who_is_one_client() {
    let mut scene = Scene::sticky();
    scene.rule(WEB, |r| r.binding = KeyMask::CLASS_C);
    scene.see(&tcp(SYN));
    scene.owner(OTHER);
    let from = |last: u8, net: u8| {
        let source = Ipv4Addr::new(198, 51, net, last);
        ethernet(Payload::Ip4(Ip4::new(source, VIP4, segment(1, 80, SYN))))
    };
    assert_decided(&scene.see(&from(200, 100)), Reason::Affinity, OWN);
    assert_decided(&scene.see(&from(7, 101)), Reason::Map, OTHER);
}

#[test]
fn rules_of_one_group_share_affinity() {
    let control = ip4(segment(CLIENT_PORT, 1723, SYN));
    for (number, first, second) in [
        (PPTP, control.clone(), ip4(Upper::gre(&[0; 30]))),
        (IKE, udp(500), ip4(Upper::esp(7, &[0; 30]))),
        (IKE, ip4(Upper::ah(6, 7, &[0; 30])), udp(500)),
    ] {
        let mut scene = Scene::sticky();
        scene.rule(number, |r| r.group = 99);
        assert_decided(&scene.see(&first), Reason::Map, OWN);
        scene.owner(OTHER);
        assert_decided(&scene.see(&second), Reason::Affinity, OWN);
        // The web rule has another group.
        assert_decided(&scene.see(&tcp(SYN)), Reason::Map, OTHER);
    }
    // Two rules, one group.
    let mut scene = Scene::sticky();
    for number in [PPTP, IKE] {
        scene.rule(number, |r| r.group = 99);
    }
    scene.rule(IKE, |r| r.timeouts.affinity = 7);
    scene.see(&control);
    scene.owner(OTHER);
    let decision = scene.see(&udp(500));
    assert_decided(&decision, Reason::Affinity, OWN);
    // The binding stays the first rule's; the time-out is that of the frame's rule.
    assert_eq!((decision.rule, scene.find(Affinity, &client_key(99)).unwrap().rule), (Some(IKE), PPTP));
    assert_eq!(scene.state(Affinity, &client_key(99)), Some((Flow, 7)));
}

#[test]
fn new_sessions_leave_a_target_that_is_draining() {
    let mut scene = Scene::sticky();
    scene.see(&tcp(SYN));
    scene.change(|t| t.targets.get_mut(&OWN).unwrap().draining = true);
    scene.owner(OTHER);
    // What opens nothing stays.
    assert_decided(&scene.see(&tcp(ACK)), Reason::Affinity, OWN);
    // What opens goes by the map; nothing is made, and the old binding is kept for what runs.
    assert_decided(&scene.see(&other_tcp(SYN)), Reason::Map, OTHER);
    assert_eq!(scene.find(Affinity, &client_key(0)).unwrap().target, OWN);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Affinity, OWN);
    // With an owner that binds, it is made again.
    scene.owner(SECOND);
    let decision = scene.see(&other_tcp(SYN));
    assert_decided(&decision, Reason::Map, SECOND);
    assert_eq!(decision.needs_room(), [false; 2]);
    let made = scene.find(Affinity, &client_key(0)).unwrap();
    assert_eq!((made.target, made.fresh), (SECOND, true));
    assert_eq!(scene.events(), [(EventKind::Created, Affinity), (EventKind::Changed, Affinity)]);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Affinity, SECOND);
}

#[test]
fn new_sessions_leave_a_target_that_is_gone() {
    let mut scene = Scene::sticky();
    scene.see(&tcp(SYN));
    scene.change(|t| t.targets.retain(|id, _| *id != OWN));
    scene.owner(SECOND);
    assert_decided(&scene.see(&tcp(ACK)), Reason::TargetInvalid, OWN);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Map, SECOND);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Affinity, SECOND);
}

#[test]
fn a_draining_rule_keeps_its_clients() {
    let mut scene = Scene::sticky();
    scene.see(&tcp(SYN));
    scene.rule(WEB, |r| r.draining = true);
    assert_decided(&scene.see(&other_tcp(SYN)), Reason::Affinity, OWN);
    scene.change(|t| t.targets.get_mut(&OWN).unwrap().draining = true);
    assert_eq!(scene.see(&other_tcp(SYN)).reason, Reason::RuleDraining);
}

// ---- both tables ---------------------------------------------------------------------------------------------------

#[test]
fn the_connection_binding_is_asked_first_and_both_are_kept_up() {
    let mut scene = Scene::sticky();
    scene.rule(WEB, |r| r.track = Track::Always);
    let first = scene.see(&tcp(SYN));
    assert_eq!(first.needs_room(), [true; 2]);
    assert_eq!(scene.events(), [(EventKind::Created, Connection), (EventKind::Created, Affinity)]);
    scene.wait(3, 40);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Binding, OWN);
    assert_eq!(scene.tcp(), Some((Established, 100)));
    assert_eq!(scene.state(Affinity, &client_key(0)), Some((Flow, 50)));
    // A session that runs makes no affinity binding, a new one does.
    scene.nic.remove_binding(Affinity, &client_key(0)).unwrap();
    for flags in [ACK, SYN] {
        assert_decided(&scene.see(&tcp(flags)), Reason::Binding, OWN);
    }
    assert_eq!(scene.count(Affinity), 0);
    assert_decided(&scene.see(&other_tcp(SYN)), Reason::Map, OWN);
    assert_eq!(scene.count(Affinity), 1);
}

#[test]
fn running_sessions_keep_the_affinity_to_a_target_that_drains() {
    let mut scene = Scene::sticky();
    scene.rule(WEB, |r| r.track = Track::Always);
    scene.see(&udp(80));
    scene.change(|t| t.targets.get_mut(&OWN).unwrap().draining = true);
    scene.owner(SECOND);
    scene.wait(0, 20);
    // Every datagram opens, but this session runs: nothing is made again.
    assert_decided(&scene.see(&udp(80)), Reason::Binding, OWN);
    assert_eq!(scene.state(Affinity, &client_key(0)), Some((Flow, 50)));
    assert_eq!(scene.find(Affinity, &client_key(0)).unwrap().target, OWN);
    // A new one leaves, and the client's affinity with it.
    assert_decided(&scene.see(&udp(81)), Reason::Map, SECOND);
    assert_eq!(scene.find(Affinity, &client_key(0)).unwrap().target, SECOND);
    assert_decided(&scene.see(&udp(80)), Reason::Binding, OWN);
}

#[test]
fn a_connection_binding_takes_the_target_of_the_affinity() {
    let mut scene = Scene::sticky();
    scene.rule(WEB, |r| r.track = Track::Always);
    scene.insert(Affinity, client_key(0), Flow);
    scene.owner(OTHER);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Affinity, SECOND);
    assert_eq!(scene.find(Connection, &tcp_key()).map(|b| (b.target, b.state)), Some((SECOND, HalfOpen)));
    // A SYN sent again does not end it: the client is still bound here, whoever owns the bucket.
    assert_decided(&scene.see(&tcp(SYN)), Reason::Binding, SECOND);
    assert_eq!(scene.tcp(), Some((HalfOpen, 10)));
    scene.see(&tcp(FIN | ACK));
    assert_decided(&scene.see(&tcp(SYN)), Reason::Affinity, SECOND);
    assert_eq!(scene.tcp(), Some((HalfOpen, 10)));
    // When new sessions leave the target, it does.
    scene.change(|t| t.targets.get_mut(&SECOND).unwrap().draining = true);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Binding, SECOND);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Map, OTHER);
    assert_eq!(scene.tcp(), None);
    // A target that no longer binds is left by new sessions too; what opens nothing stays.
    scene.change(|t| {
        let target = t.targets.get_mut(&SECOND).unwrap();
        (target.draining, target.bind) = (false, false);
    });
    scene.owner(OWN);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Affinity, SECOND);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Map, OWN);
    assert_eq!(scene.find(Connection, &tcp_key()).map(|b| b.target), Some(OWN));
    assert_eq!(scene.find(Affinity, &client_key(0)).map(|b| b.target), Some(OWN));
}

// ---- time ----------------------------------------------------------------------------------------------------------

#[test]
fn bindings_expire_by_the_clock_of_their_state() {
    // Around the middle and the end of the 16 bits.
    for start in [0, 0x7ff0, 0x7fff, 0x8000, 0xfff0, 0xffff] {
        for (state, fast) in [(HalfOpen, true), (Reset, true), (Established, false), (Closing, false)] {
            let mut scene = Scene::new();
            scene.wait(start, start);
            scene.insert(Connection, tcp_key(), state);
            let mut tick = |on_its_clock: bool| {
                if on_its_clock == fast {
                    scene.wait(1, 0)
                } else {
                    scene.wait(0, 1)
                }
                scene.tcp().is_some()
            };
            assert!((0..100).all(|_| tick(false)), "{state} lives by its own clock");
            assert!(tick(true) && tick(true), "{state} at {start:#x} has three ticks");
            assert!(!tick(true), "{state} at {start:#x} ends with the third tick");
            let removed = scene.nic.take_events().pop().unwrap();
            assert_eq!((removed.kind, removed.binding.state, removed.number), (EventKind::Removed, state, 1));
            assert_decided(&scene.see(&tcp(ACK)), Reason::Map, OWN);
        }
    }
}

#[test]
fn long_and_short_times_fit_the_clocks() {
    for start in [0, 5, 0x8000, 0xffff] {
        let mut scene = Scene::new();
        scene.rule(WEB, |r| (r.timeouts.half_open, r.timeouts.established) = (1, Timeouts::MAX));
        scene.wait(start, start);
        scene.see(&tcp(SYN));
        scene.see(&other_tcp(SYN));
        scene.see(&tcp(ACK));
        scene.wait(1, 0);
        assert_eq!((scene.count(Connection), scene.tcp()), (1, Some((Established, Timeouts::MAX))));
        scene.wait(0, Timeouts::MAX - 1);
        assert_eq!(scene.tcp(), Some((Established, 1)));
        scene.wait(0, 1);
        assert_eq!(scene.tcp(), None);
        // A long jump passes over no expiry.
        scene.see(&tcp(SYN));
        scene.see(&tcp(ACK));
        scene.wait(0, 0xffff);
        assert_eq!(scene.count(Connection), 0);
    }
}

#[test]
fn a_change_of_state_changes_the_clock() {
    let mut scene = Scene::new();
    scene.wait(5000, 60000);
    scene.see(&tcp(SYN));
    assert_eq!(scene.find(Connection, &tcp_key()).unwrap().expires, 5010);
    scene.see(&tcp(ACK));
    assert_eq!(scene.find(Connection, &tcp_key()).unwrap().expires, 60100);
    scene.wait(1000, 99);
    assert_eq!(scene.tcp(), Some((Established, 1)));
    scene.see(&tcp(RST));
    assert_eq!(scene.find(Connection, &tcp_key()).unwrap().expires, 6005);
}

#[test]
fn nothing_is_written_if_nothing_changes() {
    let mut scene = Scene::new();
    scene.see(&tcp(SYN));
    let effect = |scene: &Scene, flags| scene.ask(&tcp(flags)).lookups[0].unwrap().effect;
    // The second SYN within a tick takes only `fresh` away, the third nothing.
    assert!(matches!(effect(&scene, SYN), Effect::Update(Binding { fresh: false, expires: 10, .. })));
    scene.see(&tcp(SYN));
    assert_eq!(effect(&scene, SYN), Effect::Keep);
    assert!(matches!(effect(&scene, ACK), Effect::Update(_)));
    scene.wait(1, 0);
    assert!(matches!(effect(&scene, SYN), Effect::Update(Binding { expires: 11, .. })));
    scene.see(&tcp(ACK));
    scene.wait(5, 0);
    assert_eq!(effect(&scene, ACK), Effect::Keep, "the fast clock is not that of the state");
}

// ---- applying ------------------------------------------------------------------------------------------------------

#[test]
fn two_frames_back_to_back() {
    let mut scene = Scene::new();
    scene.owner(SECOND);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Map, SECOND);
    scene.owner(OTHER);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Binding, SECOND);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Map, OTHER);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Map, OTHER);
}

#[test]
fn receive_changes_nothing_and_effects_are_those_of_the_newest_decision() {
    let mut scene = Scene::new();
    let first = scene.ask(&tcp(SYN));
    let second = scene.ask(&tcp(SYN));
    assert_eq!((first, scene.count(Connection)), (second, 0));
    scene.nic.apply(&first, [false; 2]).unwrap();
    assert_eq!(scene.nic.apply(&second, [false; 2]), Err(ApplyError::Stale(Connection)));
    assert_eq!(scene.events(), [(EventKind::Created, Connection)]);
    // An expiry in between counts too.
    let late = scene.ask(&tcp(ACK));
    scene.wait(10, 0);
    assert_eq!(scene.nic.apply(&late, [false; 2]), Err(ApplyError::Stale(Connection)));
    // If one table cannot, the other is left alone.
    let mut scene = Scene::sticky();
    scene.rule(WEB, |r| r.track = Track::Always);
    let decision = scene.ask(&tcp(SYN));
    scene.insert(Affinity, client_key(0), Flow);
    assert_eq!(scene.nic.apply(&decision, [false; 2]), Err(ApplyError::Stale(Affinity)));
    assert_eq!(scene.count(Connection), 0);
}

#[test]
fn bindings_may_be_refused() {
    let mut scene = Scene::sticky();
    scene.rule(WEB, |r| r.track = Track::Always);
    let decision = scene.ask(&tcp(SYN));
    scene.nic.apply(&decision, [true, false]).unwrap();
    assert_decided(&decision, Reason::Map, OWN);
    assert_eq!((scene.count(Connection), scene.count(Affinity)), (0, 1));
    let bucket = decision.bucket.unwrap();
    assert_eq!(scene.nic.bindings().refused(), &[((Connection, WEB, bucket), 1)].into());
    let events = scene.nic.take_events();
    assert_eq!((events[0].kind, events[0].table, events[0].key), (EventKind::Refused, Connection, tcp_key()));
    assert_eq!((events[0].binding.target, events[1].kind), (OWN, EventKind::Created));
    let second = scene.ask(&tcp(SYN));
    assert_decided(&second, Reason::Affinity, OWN);
    scene.nic.apply(&second, [true, false]).unwrap();
    assert_eq!(scene.nic.bindings().refused()[&(Connection, WEB, bucket)], 2);

    // Only what needs room can be refused: not an update, not what is made again, not what is not made.
    assert_eq!(scene.nic.apply(&scene.ask(&tcp(SYN)), [false, true]), Err(ApplyError::NotRefusable(Affinity)));
    scene.insert(Connection, tcp_key(), Closing);
    assert_eq!(scene.nic.apply(&scene.ask(&tcp(SYN)), [true, false]), Err(ApplyError::NotRefusable(Connection)));
    assert_eq!(scene.nic.apply(&scene.ask(&other_tcp(ACK)), [true, false]), Err(ApplyError::NotRefusable(Connection)));
    let arp = scene.ask(&[&[0xff; 6][..], &[2; 6], &[8, 6], &[0; 46]].concat());
    assert_eq!(arp.reason, Reason::Control);
    assert_eq!(scene.nic.apply(&arp, [false, true]), Err(ApplyError::NotRefusable(Affinity)));
    assert_eq!(scene.nic.apply(&arp, [false; 2]), Ok(()));
    assert_eq!(scene.tcp(), Some((Closing, 3)));
}

#[test]
fn late_discards_take_back_what_they_made() {
    let mut scene = Scene::sticky();
    scene.rule(WEB, |r| r.track = Track::Always);
    let bad = scene.nic.receive(0, &tcp(SYN), true);
    assert_eq!((bad.reason, bad.early_reason), (Reason::FrameError, Reason::Map));
    scene.nic.apply(&bad, [false; 2]).unwrap();
    assert_eq!((scene.count(Connection), scene.count(Affinity)), (0, 0));
    use EventKind::{Created, Removed};
    let events = scene.events();
    assert_eq!(events, [(Created, Connection), (Created, Affinity), (Removed, Connection), (Removed, Affinity)]);
    assert_decided(&scene.see(&tcp(SYN)), Reason::Map, OWN);
    // What they update stays updated.
    let bad = scene.nic.receive(0, &tcp(FIN | ACK), true);
    scene.nic.apply(&bad, [false; 2]).unwrap();
    assert_eq!(scene.tcp(), Some((Closing, 20)));
    // What they made again is gone with what was there before.
    let bad = scene.nic.receive(0, &tcp(SYN), true);
    scene.nic.apply(&bad, [false; 2]).unwrap();
    assert_eq!((scene.tcp(), scene.count(Affinity)), (None, 1));
    // What was refused is counted, and nothing is taken back.
    let bad = scene.nic.receive(0, &tcp(SYN), true);
    scene.nic.apply(&bad, [true, false]).unwrap();
    assert_eq!(scene.nic.bindings().refused().len(), 1);
}

#[test]
fn what_another_frame_has_updated_is_not_taken_back() {
    // A frame in between: whether the binding stays.
    for (between, stays) in [
        (None, false),
        (Some(tcp(ACK)), true),
        (Some(tcp(SYN)), true),
        // It is found, but not updated.
        (Some(error(segment(80, CLIENT_PORT, ACK))), false),
        (Some(other_tcp(SYN)), false),
    ] {
        let mut scene = Scene::new();
        let bad = scene.nic.receive(0, &tcp(SYN), true);
        let made = scene.nic.begin(&bad, [false; 2]).unwrap();
        assert_eq!(scene.tcp(), Some((HalfOpen, 10)));
        if let Some(frame) = &between {
            scene.see(frame);
        }
        scene.nic.take_back(made);
        assert_eq!(scene.tcp().is_some(), stays, "{between:02x?}");
    }
    // A refused binding is not the frame's to take back.
    let mut scene = Scene::new();
    let bad = scene.nic.receive(0, &tcp(SYN), true);
    let made = scene.nic.begin(&bad, [true, false]).unwrap();
    scene.see(&tcp(SYN));
    scene.nic.take_back(made);
    assert_eq!(scene.tcp(), Some((HalfOpen, 10)));
}

// ---- the host ------------------------------------------------------------------------------------------------------

#[test]
fn bad_insertions_are_refused_and_change_nothing() {
    let mut scene = Scene::new();
    let good = NewBinding { state: Established, target: OWN, rule: WEB, bucket: 4095, ticks: Timeouts::MAX };
    let flow = NewBinding { state: Flow, ..good };
    let mixed = BindingKey { key: Key { source: CLIENT6.into(), ..tcp_key().key }, ..tcp_key() };
    for (table, key, new, error) in [
        (Connection, tcp_key(), NewBinding { target: 999, ..good }, InsertError::UnknownTarget(999)),
        (Connection, tcp_key(), NewBinding { rule: 8, ..good }, InsertError::UnknownRule(8)),
        (Connection, tcp_key(), NewBinding { bucket: 4096, ..good }, InsertError::Bucket(4096)),
        (Connection, tcp_key(), NewBinding { ticks: 0, ..good }, InsertError::Ticks(0)),
        (Connection, tcp_key(), NewBinding { ticks: 0x8000, ..good }, InsertError::Ticks(0x8000)),
        (Connection, tcp_key(), NewBinding { state: BindingState::Free, ..good }, InsertError::Free),
        (Connection, tcp_key(), flow, InsertError::State(Flow)),
        (Connection, key(17, 80), good, InsertError::State(Established)),
        (Affinity, client_key(6), good, InsertError::State(Established)),
        (Connection, mixed, good, InsertError::Versions),
    ] {
        assert_eq!(scene.nic.insert_binding(table, key, new), Err(error), "{error}");
        assert_eq!((scene.count(table), scene.events()), (0, vec![]));
    }
    assert_eq!(scene.nic.insert_binding(Connection, tcp_key(), good), Ok(()));
    assert_eq!(scene.nic.insert_binding(Affinity, client_key(6), flow), Ok(()));
    let again = NewBinding { target: SECOND, ..good };
    assert_eq!(scene.nic.insert_binding(Connection, tcp_key(), again), Err(InsertError::Duplicate));
    assert_eq!(scene.find(Connection, &tcp_key()).unwrap().target, OWN);
    assert_eq!(scene.events(), [(EventKind::Created, Connection), (EventKind::Created, Affinity)]);
}

#[test]
fn the_host_lists_and_removes() {
    let mut scene = Scene::new();
    for port in [443, 80, 100] {
        scene.insert(Connection, key(6, port), Established);
    }
    scene.insert(Affinity, client_key(1), Flow);
    let bucket = scene.see(&udp(81)).bucket.unwrap();
    let ports: Vec<u16> = scene.nic.bindings().iter(Connection).map(|(k, _)| k.key.destination_port).collect();
    assert_eq!(ports, [80, 81, 100, 443], "in order of the keys");
    let counts = [((Connection, WEB, 77), 3), ((Connection, WEB, bucket), 1), ((Affinity, WEB, 77), 1)];
    assert_eq!(scene.nic.bindings().live(), counts.into());

    scene.events();
    assert_eq!(scene.nic.remove_binding(Affinity, &tcp_key()), None);
    assert_eq!(scene.nic.remove_binding(Connection, &tcp_key()).map(|b| b.bucket), Some(77));
    assert_eq!(scene.nic.remove_binding(Connection, &tcp_key()), None);
    assert_eq!(scene.events(), [(EventKind::Removed, Connection)]);
    assert_eq!(scene.nic.bindings().live()[&(Connection, WEB, 77)], 2);
    assert_decided(&scene.see(&tcp(ACK)), Reason::Map, OWN);
    // An inserted binding is used like any other, and no frame takes it back.
    assert_decided(&scene.see(&ip4(segment(CLIENT_PORT, 100, ACK))), Reason::Binding, SECOND);
}

#[test]
fn events_are_numbered_and_tell_the_binding() {
    let mut scene = Scene::new();
    scene.see(&tcp(SYN));
    scene.see(&tcp(SYN));
    scene.see(&tcp(ACK));
    scene.see(&tcp(ACK));
    scene.see(&tcp(RST));
    scene.insert(Connection, key(6, 81), Closing);
    // Two end in one step of the clocks, in order of the keys.
    scene.wait(5, 3);
    let told: Vec<_> = scene
        .nic
        .take_events()
        .iter()
        .map(|e| (e.number, e.kind, e.key.key.destination_port, e.binding.state))
        .collect();
    use EventKind::{Changed, Created, Removed};
    let expected = [
        (0, Created, 80, HalfOpen),
        (1, Changed, 80, Established),
        (2, Changed, 80, Reset),
        (3, Created, 81, Closing),
        (4, Removed, 80, Reset),
        (5, Removed, 81, Closing),
    ];
    assert_eq!(told, expected);
    scene.see(&tcp(SYN));
    assert_eq!(scene.nic.take_events()[0].number, 6);
}

#[test]
fn a_commit_keeps_bindings() {
    let mut scene = Scene::new();
    scene.see(&tcp(SYN));
    scene.change(|t| t.targets.get_mut(&OWN).unwrap().queue = 3);
    let decision = scene.see(&tcp(ACK));
    assert_decided(&decision, Reason::Binding, OWN);
    assert_eq!(decision.queue, 3, "the entry is that of the active tables");
}
