// SPDX-License-Identifier: Apache-2.0
//! The host path as a process.

use super::net::{Net, TAP};
use super::{Folder, PATIENCE, tables, wait_for};
use hashgate_device::PciDevice;
use hashgate_hostpath::{LENT_RINGS, Lent, LentError, Stats};
use hashgate_nic::Nic;
use hashgate_rings::{EventConfig, HostInterface, MoverConfig};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// A host path at work, killed when this is dropped.
pub struct Process {
    child: Child,
    lines: Receiver<Value>,
}

/// The program in the namespace of the host.
pub fn command(net: &Net, arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &net.host, env!("CARGO_BIN_EXE_hashgate-hostpath")]).args(arguments);
    command
}

impl Process {
    /// Starts it and waits until it is up; gives what it says then.
    pub fn start(net: &Net, folder: &Folder, more: &[&str]) -> (Process, Value) {
        let device = format!("vfio-user:{}", folder.path("nic").display());
        let control = folder.path("control").display().to_string();
        let arguments = [&["--device", &device, "--tap", TAP, "--control", &control, "--json"], more].concat();
        let mut child = command(net, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                println!("host path: {line}");
                // Whoever listened may be gone.
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let mut process = Process { child, lines };
        let up = process.event("up");
        (process, up)
    }

    /// The next line of a kind.
    pub fn event(&mut self, kind: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no event {kind}: {error}"));
            if line["event"] == kind {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; gives the exit code, the counters and the error.
    pub fn end(&mut self) -> (Option<i32>, Option<Stats>, String) {
        let last = self.event("end");
        let code = self.child.wait().unwrap().code();
        let error = last["error"].as_str().unwrap_or_default().to_owned();
        (code, serde_json::from_value(last["stats"].clone()).unwrap(), error)
    }

    /// SIGTERM, after which it has to end well.
    pub fn terminate(mut self) -> Stats {
        self.signal(Signal::TERM);
        let (code, stats, error) = self.end();
        assert_eq!((code, error.as_str()), (Some(0), ""));
        stats.unwrap()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, mostly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The device that the host path at `control` lends; the controller before may not have been missed yet.
pub fn lent(control: &Path) -> Arc<Lent> {
    wait_for("the host path's attention", || match Lent::connect(control) {
        Ok(lent) => Some(Arc::new(lent)),
        Err(LentError::Busy { .. }) => None,
        Err(error) => panic!("{error}"),
    })
}

/// Identifiers of the VIPs that the NIC has.
pub fn names(device: &Lent) -> Vec<u8> {
    let tables = Nic::open(device).unwrap().read_active().unwrap();
    tables.vips.iter().map(|vip| vip.id as u8).collect()
}

/// Path of the control socket, and which tables to load, for the process that [`start_controller`] starts.
const CONTROL: &str = "HASHGATE_TEST_CONTROL";
const LOAD: &str = "HASHGATE_TEST_LOAD";

/// What a controller does all the time, if this process is to be one.
pub fn control_if_asked() {
    let Some(control) = std::env::var_os(CONTROL) else { return };
    let lent = lent(Path::new(&control));
    let host = HostInterface::attach(lent.clone() as Arc<dyn PciDevice>, LENT_RINGS).unwrap();
    host.enable_interrupts().unwrap();
    let mut events = host.event_ring(&EventConfig::default()).unwrap();
    let mut nic = Nic::open(&*lent).unwrap();
    nic.set_bulk(Some(Box::new(host.table_mover(&MoverConfig::default()).unwrap())));
    if let Ok(variant) = std::env::var(LOAD) {
        nic.load(&tables(variant.parse().unwrap())).unwrap();
        nic.enable(true);
    }
    lent.send_frame(0, &heartbeat()).unwrap();
    println!("\nworking");
    // Until it is killed; not for ever.
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        lent.send_frame(0, &heartbeat()).unwrap();
        nic.read_active().unwrap();
        events.poll(16, |_| ()).unwrap();
    }
}

/// A heartbeat to everybody.
fn heartbeat() -> Vec<u8> {
    let mut frame = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 7, 0x88, 0x6f]].concat();
    frame.resize(60, 0);
    frame
}

/// Starts the test `controller` of this program, which calls [`control_if_asked`], as a process, and waits until it works.
pub fn start_controller(control: &Path, load: Option<u16>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["controller", "--exact", "--nocapture"]).env(CONTROL, control).stdout(Stdio::piped());
    if let Some(variant) = load {
        command.env(LOAD, variant.to_string());
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "working"), "the controller ended before it worked");
    child
}
