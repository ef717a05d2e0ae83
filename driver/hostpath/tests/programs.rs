// SPDX-License-Identifier: Apache-2.0
//! Programs of a host behind the NIC in plain Rust: the host path is the process that users run, in network namespaces of the test's own.

mod support;

use hashgate_device::PciDevice;
use hashgate_hostpath::{LENT_RINGS, LentError};
use hashgate_nic::Nic;
use hashgate_regs::host::RING_RUNNING;
use hashgate_soft_nic::SoftNic;
use support::net::{Echo, Net, Server, TAP, ask, connect, ip, ping, wait_open};
use support::process::{Process, command, control_if_asked, lent, names, start_controller};
use support::{Folder, Served, tables, wait_for};

/// The process that [`start_controller`] starts; nothing as a test.
#[test]
fn controller() {
    control_if_asked();
}

#[test]
fn programs_are_served_with_frames_of_all_lengths() {
    let Some(net) = Net::new() else { return };
    let folder = Folder::new();
    let served = Served::new(SoftNic::new(), &folder.path("nic"), Some(Box::new(net.wire(9000))));
    let (process, up) = Process::start(&net, &folder, &["--mtu", "9000", "--queues", "4"]);
    assert_eq!((up["host_down"].as_u64(), up["queues"].as_u64()), (Some(0), Some(4)));
    net.address();
    let server = Server::new(&net);
    wait_open(&net, &server);
    for bytes in [0, 56, 1472, 8972] {
        ping(&net, 5, bytes);
    }
    for bytes in [1, 1000, 3 << 20] {
        ask(&mut connect(&net, &server), bytes);
    }
    let longest = |length: &std::sync::atomic::AtomicU64| length.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((longest(&served.seen.longest_in), longest(&served.seen.longest_out)), (9014, 9014));
    assert!(net.has(TAP));
    let stats = process.terminate();
    assert!(stats.rx.frames > 50 && stats.tx.bytes > 3 << 20, "{stats:?}");
    assert_eq!((stats.rx.tap_full, stats.nic, stats.rings), (0, Default::default(), Default::default()));
    // A look each second, and what starting and ending takes.
    assert!(stats.mmio_reads < 500, "{} register reads", stats.mmio_reads);
    assert!(net.has(TAP), "it outlives the host path");
    assert!(!folder.path("control").exists());
    // With its address: taken again, and removed at last.
    let (process, _) = Process::start(&net, &folder, &["--remove-tap"]);
    ask(&mut connect(&net, &server), 1000);
    process.terminate();
    wait_for("the TAP device is removed", || (!net.has(TAP)).then_some(()));
}

#[test]
fn a_killed_controller_costs_no_frame_and_no_table() {
    let Some(net) = Net::new() else { return };
    let folder = Folder::new();
    let served = Served::new(SoftNic::new(), &folder.path("nic"), Some(Box::new(net.wire(1500))));
    let (process, _) = Process::start(&net, &folder, &[]);
    net.address();
    let bar = served.device.bar(0).unwrap();
    let (rings, memory) = (bar.read32(RING_RUNNING), served.device.host().mappings());
    let (server, control) = (Server::new(&net), folder.path("control"));
    wait_open(&net, &server);
    let mut echo = Echo::new(&net, &server);
    let mut stream = connect(&net, &server);
    for _ in 0..5 {
        let mut controller = start_controller(&control, Some(9));
        assert_eq!(bar.read32(RING_RUNNING), rings | LENT_RINGS);
        assert!(served.device.host().mappings() > memory);
        echo.run(100);
        std::thread::scope(|scope| {
            let traffic = scope.spawn(|| echo.run(500));
            controller.kill().unwrap();
            controller.wait().unwrap();
            ask(&mut stream, 100_000);
            traffic.join().unwrap();
        });
        // Nobody has come since: the host path has taken back what it had.
        wait_for("rings and memory taken back", || {
            (bar.read32(RING_RUNNING) == rings && served.device.host().mappings() == memory).then_some(())
        });
    }
    // The next one finds what they have left, and its own memory free.
    let last = lent(&control);
    assert_eq!(names(&last), [9]);
    let stats = last.stats().unwrap();
    assert_eq!((stats.control.controllers, stats.control.complaints), (6, 0), "five and this one");
    drop(last);
    let stats = process.terminate();
    assert_eq!((stats.rx.tap_full, stats.nic, stats.rings), (0, Default::default(), Default::default()));
    assert!(stats.control.sent > 0);
}

#[test]
fn a_killed_host_path_leaves_a_nic_that_the_next_one_adopts() {
    let Some(net) = Net::new() else { return };
    let folder = Folder::new();
    let served = Served::new(SoftNic::new(), &folder.path("nic"), Some(Box::new(net.wire(1500))));
    let (process, _) = Process::start(&net, &folder, &[]);
    net.address();
    let server = Server::new(&net);
    wait_open(&net, &server);
    let mut stream = connect(&net, &server);
    ask(&mut stream, 1000);
    let device = lent(&folder.path("control"));
    let mut nic = Nic::open(&*device).unwrap();
    nic.load(&tables(5)).unwrap();
    nic.enable(true);
    let generation = nic.registers().generation();
    process.kill();
    assert!(matches!(device.stats(), Err(LentError::Io { .. })), "the controller is told");
    drop((nic, device));
    assert!(net.has(TAP), "with its address and the connections over it");
    // Somebody calls meanwhile.
    let down = 20;
    served.inject((0..down).map(|n| support::classify(vec![n as u8 + 1; 60])));
    wait_for("frames are dropped", || (served.device.nic().waiting() == 0).then_some(()));
    let (process, up) = Process::start(&net, &folder, &[]);
    assert!(up["host_down"].as_u64().unwrap() >= down, "{up}");
    let device = lent(&folder.path("control"));
    let nic = Nic::open(&*device).unwrap();
    assert_eq!((nic.registers().generation(), nic.is_enabled(), names(&device)), (generation, true, vec![5]));
    // The same connection goes on.
    ask(&mut stream, 100_000);
    drop((nic, device));
    let stats = process.terminate();
    assert!(stats.nic.host_down >= down);
}

#[test]
fn a_server_that_is_killed_ends_the_host_path_with_its_own_code() {
    let Some(net) = Net::new() else { return };
    let folder = Folder::new();
    let mut served = Served::new(SoftNic::new(), &folder.path("nic"), Some(Box::new(net.wire(1500))));
    let (mut process, _) = Process::start(&net, &folder, &[]);
    served.end();
    let (code, stats, error) = process.end();
    assert_eq!(code, Some(3));
    assert!(error.contains("the NIC is gone"), "{error}");
    assert!(stats.is_some() && net.has(TAP));
    // The next one, whose TAP device is taken away.
    let _served = Served::new(SoftNic::new(), &folder.path("nic"), None);
    let (mut process, _) = Process::start(&net, &folder, &[]);
    ip(&net.host, &format!("link del {TAP}"));
    let (code, _, error) = process.end();
    assert_eq!(code, Some(1));
    assert!(error.contains("TAP device was removed"), "{error}");
}

#[test]
fn what_cannot_start_says_why_and_leaves_nothing() {
    let Some(net) = Net::new() else { return };
    let folder = Folder::new();
    let (nic, control) = (folder.path("nic"), folder.path("control").display().to_string());
    let device = format!("vfio-user:{}", nic.display());
    let refused = |arguments: &[&str], texts: &[&str]| {
        let output = command(&net, arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(texts.iter().all(|text| error.contains(text)), "{arguments:?}: {error}");
    };
    let start = |device: &str, tap: &str, control: &str, texts: &[&str]| {
        refused(&["--device", device, "--tap", tap, "--control", control], texts);
    };
    start(&device, TAP, &control, &["vfio-user socket", "nic", "No such file"]);
    start("vfio:ffff:ff:1f.7", TAP, &control, &["ffff:ff:1f.7"]);
    start("pci:0", TAP, &control, &["vfio:ADDRESS", "vfio-user:PATH"]);
    let served = Served::new(SoftNic::new(), &nic, None);
    start(&device, "a234567890123456", &control, &["a234567890123456", "1 to 15 bytes"]);
    start(&device, "hg%d", &control, &["hg%d", "1 to 15 bytes"]);
    start(&device, "lo", &control, &["lo", "no TAP device has this name"]);
    start(&device, TAP, "/nowhere/control", &["/nowhere/control", "No such file"]);
    start(&device, TAP, &format!("/tmp/{}", "x".repeat(120)), &["107 bytes"]);
    for (option, value) in
        [("--port", "2"), ("--queues", "0"), ("--queues", "9"), ("--mtu", "9001"), ("--ring-log2", "3")]
    {
        refused(
            &["--device", &device, "--tap", TAP, "--control", &control, option, value],
            &[option, value, "is not in"],
        );
    }
    assert!(!net.has(TAP) && !folder.path("control").exists(), "nothing was left");
    // A NIC that is something else.
    served.device.nic().set_identity(0x1234_5678, 0);
    start(&device, TAP, &control, &["HOST_ID", "0x12345678"]);
    served.device.nic().set_identity(hashgate_regs::host::ID, hashgate_regs::host::BUILD);
    assert!(!net.has(TAP), "a TAP device that was made for nothing is gone again");
    // What another host path has.
    let (process, _) = Process::start(&net, &folder, &[]);
    start(&device, "hg1", &control, &["control socket", "in use"]);
    start(&device, "hg1", &folder.path("other").display().to_string(), &["in use by another driver"]);
    let other = folder.path("nic2");
    let _served = Served::new(SoftNic::new(), &other, None);
    start(
        &format!("vfio-user:{}", other.display()),
        TAP,
        &folder.path("other").display().to_string(),
        &[TAP, "another process has it"],
    );
    assert!(!net.has("hg1") && net.has(TAP));
    process.terminate();
}
