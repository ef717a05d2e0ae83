// SPDX-License-Identifier: Apache-2.0
//! The tables that a configuration gives to its NICs.

use hashgate_config::{Build, Config, State};
use hashgate_tables::{Action, BUCKETS, KeyMask, Mac, MatchSlot, Mode, NOBODY, OtherIp, Timeouts, Track, VipKind};

const TEXT: &str = r#"
[cluster]
primary_ip = "10.1.2.3"
mode = "unicast"
icmp = "owner"
other_ip = "discard"
[nic]
build = 64
clock_hz = 200_000_000
[[zone]]
port = 1
vlan = 7
zone = 3
[[vip]]
address = "2001:db8::12:3456"
[[vip]]
address = "10.1.2.4"
zone = 3
[[vip]]
address = "10.1.2.4"
[[host]]
name = "a"
priority = 7
dedicated_ip = ["10.1.2.11", "2001:db8::aa:bbcc"]
station_mac = "02:00:00:00:00:01"
weight = 50
[[host]]
name = "b"
priority = 4
station_mac = "02:00:00:00:00:02"
[[forward]]
name = "up"
port = 1
host = "b"
[[rule]]
name = "web"
vip = ["10.1.2.4", "2001:db8::12:3456"]
ports = [80, "8000-8080"]
protocol = "tcp"
affinity = "none"
track = "buckets"
weights = { a = 20, up = 30 }
timeouts = { half_open = 2, established = 86400 }
[[rule]]
name = "mail"
ports = 25
mode = "single"
priorities = { a = 2, b = 9 }
affinity = "class-c"
binding = "sticky"
timeouts = { affinity = 600 }
[[rule]]
name = "blocked"
vip = "10.1.2.3"
ports = "all"
mode = "disabled"
[[step]]
after = 5
down = ["b"]
[[step]]
after = 9
up = ["b"]
rule = "web"
weights = { b = 60 }
"#;

fn config() -> Config {
    Config::parse(TEXT, "c.toml").unwrap()
}

#[test]
fn tables_of_each_host() {
    let config = config();
    let state = State::new(&config);
    assert_eq!((config.build, config.clock_hz), (Build::B64, 200_000_000));
    for host in &config.hosts {
        let tables = state.tables(host);
        tables.validate(&config.limits()).unwrap();
        assert_eq!(tables.settings.cluster_mac, Mac([2, 0xbf, 10, 1, 2, 3]));
        assert_eq!(tables.settings.mask_mac, Mac([2, host.priority, 10, 1, 2, 3]));
        assert!(tables.settings.mask_source && tables.settings.icmp_owner);
        assert_eq!(tables.settings.other_ip, OtherIp::Discard);
        assert_eq!(tables.zones, [((1, 7), 3)].into());
        for other in &config.hosts {
            let delivers = tables.targets[&other.target()].action == Action::Deliver;
            assert_eq!(delivers, other.name == host.name);
        }
        let forwards = tables.targets[&64].action == Action::Forward;
        assert_eq!(forwards, host.name == "b");
    }
    let (a, b) = (state.tables(&config.hosts[0]), state.tables(&config.hosts[1]));
    assert_eq!((&a.maps, &a.rules, &a.slots), (&b.maps, &b.rules, &b.slots), "members must agree");
    let multicast = |text: &str| text.parse::<Mac>().unwrap();
    assert!(a.multicast.contains(&multicast("33:33:ff:12:34:56")));
    assert!(a.multicast.contains(&multicast("33:33:ff:aa:bb:cc")));
    assert!(!b.multicast.contains(&multicast("33:33:ff:aa:bb:cc")), "another host's dedicated address");
    assert!(
        b.multicast.contains(&multicast("33:33:00:00:00:01")) && b.multicast.contains(&multicast("01:00:5e:00:00:01"))
    );
    // Three entries of [[vip]], two of them one address; the primary IP; the dedicated addresses of a.
    assert_eq!((a.vips.len(), b.vips.len()), (6, 4));
    assert_eq!(a.vips.iter().filter(|v| v.kind == VipKind::Dedicated).count(), 2);
    assert_eq!(a.vips[1].id, a.vips[2].id);
    assert!(a.vips.iter().any(|v| v.addr == config.primary_ip && v.kind == VipKind::Vip && v.zone == 0));
}

#[test]
fn rules_and_slots() {
    let config = config();
    let tables = State::new(&config).tables(&config.hosts[0]);
    let slot = |vip, tcp, udp, ports, fragment, rule| Some(MatchSlot { vip, tcp, udp, ports, fragment, rule });
    assert_eq!(
        tables.slots,
        [
            slot(Some(0), true, false, (80, 80), false, 0),
            slot(Some(0), true, false, (8000, 8080), false, 0),
            slot(Some(1), true, false, (80, 80), false, 0),
            slot(Some(1), true, false, (8000, 8080), false, 0),
            slot(None, true, true, (25, 25), false, 1),
            slot(Some(2), true, true, (0, 65535), true, 2),
        ]
    );
    assert_eq!(tables.rules[&0].bucket, KeyMask::ALL);
    assert_eq!((tables.rules[&1].mode, tables.rules[&1].bucket), (Mode::Single, KeyMask::CLASS_C));
    assert_eq!(tables.rules[&1].binding, KeyMask { dst: true, ..KeyMask::SOURCE });
    assert_eq!(tables.rules[&2].mode, Mode::Disabled);
    let tracks: Vec<Track> = (0..3).map(|rule| tables.rules[&rule].track).collect();
    assert_eq!(tracks, [Track::Flagged, Track::Always, Track::Always]);
    let sticky: Vec<bool> = (0..3).map(|rule| tables.rules[&rule].affinity).collect();
    assert_eq!(sticky, [false, true, false]);
    // At least as long as was asked for, and less than a tick longer.
    let (web, mail) = (&tables.rules[&0].timeouts, &tables.rules[&1].timeouts);
    for (ticks, tick, seconds) in [
        (web.half_open, Timeouts::FAST_TICK, 2),
        (web.established, Timeouts::SLOW_TICK, 86_400),
        (mail.affinity, Timeouts::SLOW_TICK, 600),
    ] {
        let (ns, wanted) = (u64::from(ticks) << tick, seconds * 1_000_000_000);
        assert!((wanted..wanted + (1 << tick)).contains(&ns), "{seconds} s are {ticks} ticks of 2^{tick} ns");
    }
    assert_eq!(web.closing, Timeouts::default().closing);
    assert_eq!(tables.rules[&64].map, 64);
}

#[test]
fn maps_follow_weights_priorities_and_steps() {
    let config = config();
    let mut state = State::new(&config);
    let count = |state: &State, rule, target| state.map(rule).unwrap().count(target);
    // Weights 20 : 100 : 30 of a, b, up.
    let near = |count: usize, weight: f64, sum: f64| (count as f64 - BUCKETS as f64 * weight / sum).abs() < 1.0;
    assert!(near(count(&state, 0, 7), 20.0, 150.0) && near(count(&state, 0, 4), 100.0, 150.0));
    assert!(near(count(&state, 0, 64), 30.0, 150.0));
    assert_eq!((count(&state, 1, 7), count(&state, 2, NOBODY)), (BUCKETS, BUCKETS));
    assert_eq!((count(&state, 64, 4), state.default_host().unwrap().name.as_str()), (BUCKETS, "b"));

    // b leaves, and with it the target that its NIC forwards to.
    let before = state.map(0).unwrap().clone();
    state.apply(&config.steps[0]);
    assert_eq!(count(&state, 0, 7), BUCKETS);
    assert_eq!(before.moved(state.map(0).unwrap()), before.count(4) + before.count(64));
    assert_eq!(count(&state, 64, 7), BUCKETS);
    assert!(!state.is_live(&config.hosts[1]));

    // b comes back with another weight: 20 : 60 : 30.
    state.apply(&config.steps[1]);
    assert!(near(count(&state, 0, 4), 60.0, 110.0) && near(count(&state, 0, 64), 30.0, 110.0));
    assert_eq!(state.weights(0), [(4, 60), (7, 20), (64, 30)].into());
    for host in &config.hosts {
        state.tables(host).validate(&config.limits()).unwrap();
    }
}

#[test]
fn without_rules_all_ports_are_shared_by_client() {
    let text = "[cluster]\nprimary_ip = \"10.0.0.9\"\nmode = \"igmp\"\n[[host]]\nname = \"a\"\npriority = 1\n\
                station_mac = \"02:00:00:00:00:01\"\nweight = 3\n";
    let config = Config::parse(text, "c.toml").unwrap();
    let tables = State::new(&config).tables(&config.hosts[0]);
    tables.validate(&config.limits()).unwrap();
    let all = MatchSlot { vip: None, tcp: true, udp: true, ports: (0, 65535), fragment: true, rule: 0 };
    assert_eq!(tables.slots, [Some(all)]);
    assert_eq!((tables.rules[&0].mode, tables.rules[&0].bucket), (Mode::Multiple, KeyMask::SOURCE));
    assert_eq!(tables.settings.cluster_mac, Mac([0x01, 0x00, 0x5e, 0x7f, 0, 9]));
    assert_eq!(tables.settings.mask_mac, Mac([2, 0, 0, 0, 0, 1]), "multicast modes keep the station address");
}

#[test]
fn longest_configuration_fits() {
    // 32 hosts and 64 rules, the most that is allowed.
    let mut text = "[cluster]\nprimary_ip = \"10.0.0.9\"\n".to_owned();
    for n in 1..=32 {
        text += &format!("[[host]]\nname = \"h{n}\"\npriority = {n}\nstation_mac = \"02:00:00:00:00:{n:02x}\"\n");
    }
    for n in 0..64 {
        text += &format!("[[rule]]\nports = {n}\naffinity = {{ prefix4 = {}, prefix6 = 128 }}\n", n / 2);
    }
    let config = Config::parse(&text, "c.toml").unwrap();
    State::new(&config).tables(&config.hosts[31]).validate(&config.limits()).unwrap();
}
