// SPDX-License-Identifier: Apache-2.0
//! What a package installs: units and the example of a configuration.
#![forbid(unsafe_code)]

use hashgate_config::Config;
use hashgate_config::daemon::{AuthFiles, Device};
use hashgate_watch::monitor::{Check, MonitorConfig};
use std::path::{Path, PathBuf};
use std::process::Command;

fn ctl() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Keys that come later: add them to the example, and a line here.
#[test]
fn example_configuration() {
    let config = Config::load(&ctl().join("examples/cluster.toml")).expect("the example is right");
    let daemon = &config.daemon;
    assert_eq!(config.hosts.len(), 3);
    assert!(config.hosts.iter().all(|host| host.device.is_some()), "a daemon needs a device");
    assert_eq!(config.hosts[2].device, Some(Device::Soft("eth1".into())));
    assert!(matches!(&daemon.auth, Some(AuthFiles::Keys { sign: 1, files }) if files.len() == 1));
    assert_eq!(daemon.quorum.map(|quorum| quorum.expected_hosts), Some(3));
    assert_eq!(daemon.metrics, Some("127.0.0.1:9504".parse().unwrap()));
    assert_eq!(daemon.prefix(config.hosts[0].dedicated[0]), 24);
    let monitors: Vec<MonitorConfig> =
        daemon.monitors.iter().map(|it| MonitorConfig::new(it, config.hosts[1].dedicated.first().copied())).collect();
    assert_eq!(monitors.len(), 2);
    assert_eq!(monitors[0].check.to_string(), "http 10.9.0.2:80/ 200");
    assert!(matches!(&monitors[1].check, Check::Command { argv } if argv.len() == 5));
}

fn unit(name: &str) -> String {
    std::fs::read_to_string(ctl().join("systemd").join(name)).unwrap()
}

/// Values of a key, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn units_say_what_the_daemon_relies_on() {
    let lbd = unit("lbd.service");
    for (key, value) in [
        ("Type", "notify"),
        ("ExecStart", "/usr/bin/lbd --config /etc/hashgate/cluster.toml"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "2"),
        ("KillMode", "process"),
    ] {
        assert_eq!(values(&lbd, key), [value], "{key}");
    }
    assert!(values(&lbd, "WatchdogSec")[0].parse::<u32>().unwrap() >= 5);
    let path = unit("hashgate-hostpath.service");
    assert_eq!(values(&path, "ExecStart"), ["/usr/bin/lbd --exec-host-path --config /etc/hashgate/cluster.toml"]);
    assert_eq!(values(&path, "KillMode"), [""; 0], "alone in its group");
    // A folder is shared by both and outlives them; what a successor of one may do the other may as well.
    for key in [
        "RuntimeDirectory",
        "RuntimeDirectoryMode",
        "RuntimeDirectoryPreserve",
        "Group",
        "CapabilityBoundingSet",
        "DeviceAllow",
        "DevicePolicy",
        "ProtectSystem",
        "NoNewPrivileges",
        "SystemCallFilter",
        "RestrictAddressFamilies",
        "LimitMEMLOCK",
    ] {
        let of = values(&lbd, key);
        assert!(!of.is_empty(), "{key}");
        assert_eq!(of, values(&path, key), "{key}");
    }
    assert_eq!(values(&lbd, "CapabilityBoundingSet"), ["CAP_NET_ADMIN CAP_NET_RAW"]);
    assert_eq!(values(&lbd, "RuntimeDirectoryPreserve"), ["yes"]);
}

/// `systemd-analyze verify` on copies whose programs are there: the daemon's own need not be installed.
#[test]
fn units_verify() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: there is no systemd-analyze");
        return;
    }
    let folder = std::env::temp_dir().join(format!("hashgate-units-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let mut paths = Vec::new();
    for name in ["lbd.service", "hashgate-hostpath.service"] {
        let text = unit(name);
        assert!(text.contains("/usr/bin/lbd "));
        let path = folder.join(name);
        std::fs::write(&path, text.replace("/usr/bin/lbd ", "/bin/true ")).unwrap();
        paths.push(path);
    }
    // It must see what is wrong, or its silence says nothing.
    let broken = folder.join("broken.service");
    std::fs::write(
        &broken,
        unit("lbd.service").replace("/usr/bin/lbd ", "/bin/true ").replace("KillMode=process", "KillMode=proces"),
    )
    .unwrap();
    let verify = |paths: &[PathBuf]| {
        let output = Command::new("systemd-analyze").args(["--man=no", "verify"]).args(paths).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (good, bad) = (verify(&paths), verify(&[broken]));
    std::fs::remove_dir_all(&folder).unwrap();
    let about = |text: &str| {
        text.lines()
            .filter(|line| line.contains("hashgate") || line.contains("lbd") || line.contains("broken"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    if !bad.1.contains("kill mode") {
        println!("skipped: systemd-analyze does not work here: {}", bad.1.trim());
        return;
    }
    assert_eq!(about(&good.1), "", "systemd-analyze: {}", good.1);
    assert!(good.0, "{}", good.1);
}
