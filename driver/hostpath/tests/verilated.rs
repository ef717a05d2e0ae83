// SPDX-License-Identifier: Apache-2.0
//! A program of a host behind the Verilated NIC, as `lbsim serve` shows it: rules, bindings and rewriting of the RTL are in the way here.
//!
//! `lbsim` is what `HASHGATE_LBSIM` says, else the one beside the host path's own program. Without one the test is skipped.

mod support;

use hashgate_device::PciDevice;
use hashgate_hostpath::{LENT_RINGS, Lent};
use hashgate_nic::{BindingTable, Nic};
use hashgate_regs::defs::{Mode, Track, VipKind};
use hashgate_rings::{HostInterface, MoverConfig};
use hashgate_tables::{BUCKETS, KeyMask, Mac, MatchSlot, Rule, Settings, Tables, Target, Timeouts, Vip};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use support::net::{Echo, HOST, Net, Server, TAP, WIRE, ask, connect, ip, ping, wait_open};
use support::process::{Process, control_if_asked, lent, start_controller};
use support::{Folder, wait_for};

const STATION: Mac = Mac([2, 0, 0, 0, 0, 0x51]);
/// To a group: the kernel would take no TCP from frames to it.
const CLUSTER: Mac = Mac([3, 0, 0, 0, 0, 0x51]);

/// The server, killed when this is dropped.
struct Lbsim(Child);

impl Drop for Lbsim {
    fn drop(&mut self) {
        // Whatever became of it, it has to be gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lbsim() -> Option<PathBuf> {
    let beside = || Some(PathBuf::from(env!("CARGO_BIN_EXE_hashgate-hostpath")).parent()?.join("lbsim"));
    std::env::var_os("HASHGATE_LBSIM").map(PathBuf::from).or_else(beside).filter(|path| path.exists())
}

/// A VIP, balanced over one host.
fn balanced() -> Tables {
    let rule = Rule {
        mode: Mode::Single,
        draining: false,
        affinity: false,
        timeouts: Timeouts::default(),
        track: Track::Always,
        map: 0,
        group: 0,
        bucket: KeyMask::ALL,
        binding: KeyMask::ALL,
    };
    let slot = MatchSlot { vip: Some(1), tcp: true, udp: true, ports: (1, 65535), fragment: false, rule: 0 };
    Tables {
        settings: Settings { station_mac: STATION, cluster_mac: CLUSTER, ..Settings::default() },
        zones: [((0, 0), 1)].into(),
        vips: vec![Vip { zone: 1, addr: HOST.parse().unwrap(), kind: VipKind::Vip, id: 1 }],
        slots: vec![Some(slot)],
        rules: [(0, rule)].into(),
        maps: [(0, vec![0; BUCKETS])].into(),
        targets: [(0, Target::deliver(0))].into(),
        ..Tables::default()
    }
}

/// Connections that the NIC knows, by their bindings made and ended.
fn bindings(device: &Lent) -> (u64, u64) {
    let mut nic = Nic::open(device).unwrap();
    let counters = nic.binding_counters(BindingTable::Connection);
    assert!(nic.bindings(BindingTable::Connection).unwrap().len() as u64 >= counters.created - counters.removed);
    (counters.created, counters.removed)
}

/// The process that [`start_controller`] starts; nothing as a test.
#[test]
fn controller() {
    control_if_asked();
}

#[test]
fn a_program_is_served_through_the_rtl() {
    let Some(lbsim) = lbsim() else {
        println!("skipped: there is no lbsim (cargo build --release -p lbsim, or HASHGATE_LBSIM)");
        return;
    };
    let Some(net) = Net::new() else { return };
    let folder = Folder::new();
    let (socket, control) = (folder.path("nic"), folder.path("control"));
    let _server = Lbsim(
        Command::new("ip")
            .args(["netns", "exec", &net.client])
            .arg(lbsim)
            .args(["serve", "--socket"])
            .arg(&socket)
            .args(["--port", &format!("tap:{WIRE}")])
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    wait_for("lbsim", || socket.exists().then_some(()));
    ip(&net.client, &format!("link set {WIRE} mtu 9000 up"));
    ip(&net.client, &format!("addr add 10.9.0.2/24 dev {WIRE}"));
    let (process, _) = Process::start(&net, &folder, &["--mtu", "9000", "--queues", "2"]);
    ip(&net.host, &format!("link set {TAP} address 02:00:00:00:00:51"));
    net.address();
    let server = Server::new(&net);

    // The tables come by the control socket, by DMA.
    let device = lent(&control);
    {
        let host = HostInterface::attach(device.clone() as Arc<dyn PciDevice>, LENT_RINGS).unwrap();
        let mut nic = Nic::open(&*device).unwrap();
        nic.set_bulk(Some(Box::new(host.table_mover(&MoverConfig::default()).unwrap())));
        nic.load(&balanced()).unwrap();
        nic.enable(true);
    }
    wait_open(&net, &server);
    ping(&net, 2, 56);
    ping(&net, 2, 8972);
    let mut stream = connect(&net, &server);
    ask(&mut stream, 100_000);
    let neighbours = Command::new("ip").args(["-n", &net.client, "neigh", "show", HOST]).output().unwrap();
    let neighbours = String::from_utf8(neighbours.stdout).unwrap();
    assert!(neighbours.contains("03:00:00:00:00:51"), "the client talks to the cluster's address: {neighbours}");
    let before = bindings(&device);
    assert!(before.0 > 0, "connections have bindings");
    drop(device);

    // A controller is killed, in the middle of reading tables by DMA and of traffic.
    let mut echo = Echo::new(&net, &server);
    for _ in 0..2 {
        let mut killed = start_controller(&control, None);
        echo.run(20);
        std::thread::scope(|scope| {
            let traffic = scope.spawn(|| echo.run(60));
            killed.kill().unwrap();
            killed.wait().unwrap();
            traffic.join().unwrap();
        });
    }
    ask(&mut stream, 20_000);
    let device = lent(&control);
    let now = bindings(&device);
    assert_eq!(now.1, before.1, "no binding has ended");
    let stats = device.stats().unwrap();
    assert_eq!(
        (stats.rx.tap_full, stats.nic, stats.rings),
        (0, Default::default(), Default::default()),
        "no frame was lost"
    );
    assert!(stats.rx.readdressed > 0);
    drop(device);

    // The host path is killed; its successor finds tables, bindings and the connection.
    process.kill();
    let (process, _) = Process::start(&net, &folder, &["--queues", "2"]);
    ask(&mut stream, 20_000);
    let device = lent(&control);
    assert_eq!(bindings(&device), now, "the bindings are those from before");
    assert_eq!(Nic::open(&*device).unwrap().read_active().unwrap().vips, balanced().vips);

    // A full reset takes the tables, and the rings come back; with the tables the same program is served again.
    let mut nic = Nic::open(&*device).unwrap();
    nic.full_reset().unwrap();
    wait_for("the reset is noticed", || (device.stats().unwrap().resets_seen == 1).then_some(()));
    nic.load(&balanced()).unwrap();
    nic.enable(true);
    wait_open(&net, &server);
    drop((nic, device));
    let stats = process.terminate();
    assert_eq!(stats.resets_seen, 1);
}
