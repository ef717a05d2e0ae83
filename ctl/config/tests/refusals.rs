// SPDX-License-Identifier: Apache-2.0
//! Every refusal: one line that names file, line, value and limit.

use hashgate_config::{Config, ConfigError};
use hashgate_tables::Timeouts;

/// A sound configuration of 19 lines; what a case adds starts at line 20.
const SOUND: &str = r#"[cluster]
primary_ip = "10.0.0.100"

[[vip]]
address = "10.0.0.101"
[[vip]]
address = "2001:db8::100"

[[host]]
name = "a"
priority = 1
dedicated_ip = "10.0.0.1"
station_mac = "02:00:00:00:00:01"
[[host]]
name = "b"
priority = 2
dedicated_ip = ["10.0.0.2", "2001:db8::2"]
station_mac = "02:00:00:00:00:02"

"#;

fn message(text: &str) -> String {
    let message = Config::parse(text, "c.toml").expect_err("must be refused").to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    message
}

/// Adds lines to the sound configuration.
fn added(lines: &str) -> String {
    message(&format!("{SOUND}{lines}"))
}

/// Replaces a piece of the sound configuration.
fn changed(from: &str, to: &str) -> String {
    assert!(SOUND.contains(from), "{from} is not in the text");
    message(&SOUND.replacen(from, to, 1))
}

#[test]
fn the_sound_one_is_accepted() {
    assert_eq!(Config::parse(SOUND, "c.toml").unwrap().hosts.len(), 2);
    assert_eq!(SOUND.lines().count(), 19);
}

#[test]
fn rules() {
    assert_eq!(
        added("[[rule]]\nname = \"web\"\nvip = \"10.0.0.9\""),
        "c.toml:22: rule \"web\": 10.0.0.9 is not a VIP (known: 10.0.0.101, 2001:db8::100, 10.0.0.100)"
    );
    assert_eq!(
        added("[[rule]]\nname = \"web\"\nmode = \"single\"\npriorities = { a = 3, b = 3 }"),
        "c.toml:23: rule \"web\": handling priority of \"b\" is 3, which \"a\" has: 1..32, unique in the rule"
    );
    assert_eq!(
        added("[[rule]]\nname = \"web\"\nweights = { a = 101 }"),
        "c.toml:22: rule \"web\": weight of \"a\" 101 is out of range: 0..100"
    );
    assert_eq!(
        added("[[rule]]\nname = \"web\"\nbinding = \"ssl\"\naffinity = \"none\""),
        "c.toml:23: rule \"web\": the bucket key of affinity none (all fields) is wider than the binding key of binding ssl \
         (source IP, VIP, port); every field of the bucket key must be in the binding key"
    );
    assert_eq!(
        added("[[rule]]\naffinity = { prefix4 = 33, prefix6 = 64 }"),
        "c.toml:21: rule \"rule-0\": prefix4 33 is out of range: 0..32"
    );
    assert_eq!(
        added(
            "[[rule]]\nname = \"x\"\nports = 80\n[[rule]]\nname = \"y\"\nports = [22, \"70-90\"]\nprotocol = \"tcp\""
        ),
        "c.toml:25: rule \"y\" overlaps rule \"x\" at ports 80-80: rules for the same VIP and protocol must not overlap"
    );
    assert_eq!(
        added("[[rule]]\nports = [80, \"79-81\"]"),
        "c.toml:21: rule \"rule-0\": ports \"79-81\" overlaps 80-80 of the same rule"
    );
    assert_eq!(
        added("[[rule]]\nports = 65536"),
        "c.toml:21: rule \"rule-0\": ports 65536 cannot be read: a port 0..65535, \"first-last\" or \"all\""
    );
    assert_eq!(
        added("[[rule]]\nports = \"90-80\""),
        "c.toml:21: rule \"rule-0\": ports \"90-80\" is empty: the first port is above the last"
    );
    assert_eq!(
        added("[[rule]]\nweights = { a = 0, b = 0 }"),
        "c.toml:21: rule \"rule-0\": every weight is 0, so nobody takes its traffic"
    );
    assert_eq!(
        added("[[rule]]\nweights = { c = 5 }"),
        "c.toml:21: rule \"rule-0\": there is no host or forward target \"c\" (known: a, b)"
    );
    assert_eq!(
        added("[[rule]]\nmode = \"single\"\nweights = \"equal\""),
        "c.toml:22: rule \"rule-0\" has weights: only mode = \"multiple\" uses them"
    );
    assert_eq!(
        added("[[rule]]\nname = \"x\"\nports = 1\n[[rule]]\nname = \"x\"\nports = 2"),
        "c.toml:24: rule name \"x\" is already taken"
    );
    assert_eq!(added("[[rule]]\nvip = [\"10.0.0.100\", \"all\"]"), "c.toml:21: rule \"rule-0\": \"all\" stands alone");
    assert_eq!(
        added("[[rule]]\ntimeouts = { half_open = 0 }"),
        "c.toml:21: rule \"rule-0\": time-out half_open in seconds 0 is out of range: 1..34"
    );
    assert_eq!(
        added("[[rule]]\ntimeouts = { established = 200000 }"),
        format!(
            "c.toml:21: rule \"rule-0\": time-out established in seconds 200000 is out of range: 1..{}",
            32767 * (1u64 << Timeouts::SLOW_TICK) / 1_000_000_000
        )
    );
    assert_eq!(
        added("[[rule]]\naffinity = \"none\"\ntimeouts = { affinity = 60 }"),
        "c.toml:22: rule \"rule-0\": a time-out of affinity needs an affinity other than none, or a binding other than tcp: \
         else there is no client to remember"
    );
    let many: String = (0..65).map(|n| format!("[[rule]]\nports = {n}\n")).collect();
    assert_eq!(added(&many), "c.toml:148: rule number 65: a NIC holds 64 rules");
    let slots = format!("[[rule]]\nports = [{}]", (0..65).map(|n| n.to_string()).collect::<Vec<_>>().join(", "));
    assert_eq!(
        added(&slots),
        "c.toml:20: rule \"rule-0\" needs match slot number 65 (VIPs x port ranges): a NIC holds 64"
    );
}

#[test]
fn keys_and_types() {
    let unknown = added("[[rule]]\nwieght = 3");
    assert!(unknown.starts_with("c.toml:21: unknown field `wieght`, expected one of `name`, `vip`"), "{unknown}");
    let unknown = added("[[rules]]");
    assert!(unknown.starts_with("c.toml:20: unknown field `rules`, expected one of `cluster`"), "{unknown}");
    let missing = added("[[host]]\nname = \"c\"\nstation_mac = \"02:00:00:00:00:03\"");
    assert!(missing.starts_with("c.toml:20: missing field `priority`"), "{missing}");
    let wrong = added("[[rule]]\nweights = \"heavy\"");
    assert!(wrong.starts_with("c.toml:21: invalid value: string \"heavy\", expected \"equal\" or a table"), "{wrong}");
    let wrong = added("[[rule]]\nmode = \"multipel\"");
    assert!(wrong.starts_with("c.toml:21: unknown variant `multipel`, expected one of `multiple`"), "{wrong}");
    let syntax = added("[[rule]\n");
    assert!(syntax.starts_with("c.toml:20: "), "{syntax}");
    assert_eq!(message(""), "c.toml:1: missing field `cluster`");
}

#[test]
fn cluster_nic_and_zones() {
    assert_eq!(added("[nic]\nclock_hz = 0"), "c.toml:21: clock_hz 0 is out of range: 4000000..1000000000");
    assert_eq!(added("[nic]\nclock_hz = -5"), "c.toml:21: clock_hz -5 is out of range: 4000000..1000000000");
    assert_eq!(added("[nic]\nbuild = 256"), "c.toml:21: build 256 does not exist: 512 or 64 (bits in a beat)");
    assert_eq!(
        changed("primary_ip = \"10.0.0.100\"", "primary_ip = \"10.0.0\""),
        "c.toml:2: primary_ip \"10.0.0\" cannot be read: write it as in \"10.0.0.100\""
    );
    assert_eq!(
        changed("primary_ip = \"10.0.0.100\"", "primary_ip = \"224.0.0.1\""),
        "c.toml:2: primary_ip 224.0.0.1 is not a unicast address of a network"
    );
    assert_eq!(
        changed("\n\n[[vip]]", "\nhash_key = \"6d5a\"\n[[vip]]"),
        "c.toml:3: hash_key has 4 hexadecimal digits: it needs 80 (40 bytes) or 104 (52 bytes)"
    );
    assert_eq!(
        changed("\n\n[[vip]]", "\nhash_key = \"6g\"\n[[vip]]"),
        "c.toml:3: hash_key has \"g\", which is not a hexadecimal digit"
    );
    assert_eq!(added("[[zone]]\nvlan = 4096\nzone = 1"), "c.toml:21: vlan 4096 is out of range: 0..4095");
    assert_eq!(added("[[zone]]\nvlan = 1\nport = 1\nzone = 1"), "c.toml:22: port 1 is out of range: 0..0");
    assert_eq!(
        added("[[zone]]\nvlan = 1\nzone = 1\n[[zone]]\nvlan = 1\nzone = 2"),
        "c.toml:24: vlan 1 of port 0 is already in zone 1: one zone for each"
    );
}

#[test]
fn addresses_and_hosts() {
    assert_eq!(
        added("[[vip]]\naddress = \"2001:db8:0::100\""),
        "c.toml:21: VIP 2001:db8::100 is already in zone 0 (line 7)"
    );
    assert_eq!(
        changed("\"10.0.0.101\"", "\"10.0.0.300\""),
        "c.toml:5: VIP address \"10.0.0.300\" cannot be read: write it as in \"10.0.0.100\" or \"2001:db8::100\""
    );
    assert_eq!(
        changed("priority = 2", "priority = 1"),
        "c.toml:16: host \"b\" has priority 1, which host \"a\" has: 1..32, unique"
    );
    assert_eq!(changed("priority = 2", "priority = 33"), "c.toml:16: host priority 33 is out of range: 1..32");
    assert_eq!(changed("name = \"b\"", "name = \"a\""), "c.toml:15: host name \"a\" is already taken (line 10)");
    assert_eq!(
        changed("name = \"b\"", "name = \"../b\""),
        "c.toml:15: host name \"../b\": 1..32 letters, digits, - _ . and no leading dot"
    );
    assert_eq!(
        changed("02:00:00:00:00:02", "02:00:00:00:02"),
        "c.toml:18: station_mac \"02:00:00:00:02\" cannot be read: write it as in \"02:00:00:00:00:01\""
    );
    assert_eq!(
        changed("02:00:00:00:00:02", "02:00:00:00:00:01"),
        "c.toml:18: host \"b\" has station_mac 02:00:00:00:00:01, which host \"a\" has"
    );
    assert_eq!(
        changed("02:00:00:00:00:02", "03:00:00:00:00:02"),
        "c.toml:18: station_mac 03:00:00:00:00:02 is not a unicast MAC address"
    );
    assert_eq!(
        changed("[\"10.0.0.2\",", "[\"10.0.0.101\","),
        "c.toml:17: dedicated_ip 10.0.0.101 is a VIP: a dedicated address is never balanced"
    );
    assert_eq!(
        changed("[\"10.0.0.2\",", "[\"10.0.0.1\","),
        "c.toml:17: dedicated_ip 10.0.0.1 is already taken (line 12)"
    );
    let hosts = (3..=33).map(|n| {
        format!("[[host]]\nname = \"h{n}\"\npriority = {}\nstation_mac = \"02:00:00:00:01:{n:02x}\"\n", n.min(32))
    });
    assert_eq!(added(&hosts.collect::<String>()), "c.toml:141: host \"h33\" is number 33: a cluster has at most 32");
    let vips: String = (0..512).map(|n| format!("[[vip]]\naddress = \"10.1.{}.{}\"\n", n / 256, n % 256)).collect();
    assert_eq!(added(&vips), "c.toml:10: 515 VIPs and 1 dedicated addresses of host \"a\": a NIC holds 512");
    assert_eq!(
        message("host = []\n[cluster]\nprimary_ip = \"10.0.0.100\""),
        "c.toml:1: a cluster needs at least one [[host]]"
    );
    assert_eq!(
        added("[[forward]]\nname = \"up\"\nport = 0\nhost = \"z\""),
        "c.toml:23: forward target: there is no host \"z\" (known: a, b)"
    );
}

#[test]
fn steps() {
    assert_eq!(added("[[step]]\nafter = 10"), "c.toml:20: step changes nothing: give it down, up or weights");
    assert_eq!(added("[[step]]\nafter = 10\ndown = [\"c\"]"), "c.toml:22: step: there is no host \"c\" (known: a, b)");
    assert_eq!(added("[[step]]\nafter = 1\nup = [\"a\"]"), "c.toml:22: step: host \"a\" is up already");
    assert_eq!(
        added("[[step]]\nafter = 1\ndown = [\"a\", \"b\"]"),
        "c.toml:20: step: no host is left; a cluster needs one"
    );
    assert_eq!(
        added("[[step]]\nafter = 5\ndown = [\"a\"]\n[[step]]\nafter = 4\nup = [\"a\"]"),
        "c.toml:24: after 4 comes behind a step after 5: steps stand in order"
    );
    assert_eq!(
        added("[[step]]\nafter = -1\ndown = [\"a\"]"),
        "c.toml:21: after -1: the number of packets before the step is 0 or more"
    );
    assert_eq!(
        added("[[rule]]\nname = \"x\"\nmode = \"single\"\n[[step]]\nafter = 0\nrule = \"x\"\nweights = { a = 1 }"),
        "c.toml:25: step: rule \"x\" has no weights: its mode is not multiple"
    );
}

#[test]
fn unreadable_file() {
    let error = Config::load(std::path::Path::new("/does/not/exist.toml")).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
    assert!(error.to_string().starts_with("/does/not/exist.toml: cannot be read: "), "{error}");
}
