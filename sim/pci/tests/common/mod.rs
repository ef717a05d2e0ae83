// SPDX-License-Identifier: Apache-2.0
//! A small function for the tests: it copies memory and tells when it is done.
#![allow(dead_code, reason = "not every test file has use for all of it")]

use hashgate_device::{PciDevice, Width, config};
use hashgate_pci_sim::{Bus, Function, InProcess, VfioUserServer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Registers: 0x00 reads 0x434f5059; 0x08, 0x0c, 0x10 source, destination (pages of 4 KiB), bytes; 0x14 starts and, read, gives the state; 0x18
/// survives resets of the host side.
#[derive(Default)]
pub struct Copier {
    source: u32,
    destination: u32,
    bytes: u32,
    pub scratch: u32,
    state: u32,
    /// Steps until the copy under way is done.
    left: u32,
    pub resets: u32,
}

pub const ID: u32 = 0x434f_5059;
pub const RUNNING: u32 = 1;
pub const DONE: u32 = 2;
pub const FAILED: u32 = 3;
/// Vector of a copy that is done.
pub const VECTOR: u16 = 3;

impl Function for Copier {
    fn bar0_bytes(&self) -> usize {
        4096
    }

    fn read_register(&mut self, offset: usize, bus: &dyn Bus) -> u32 {
        self.step(bus);
        match offset {
            0x00 => ID,
            0x08 => self.source,
            0x0c => self.destination,
            0x10 => self.bytes,
            0x14 => self.state,
            0x18 => self.scratch,
            _ => 0,
        }
    }

    fn write_register(&mut self, offset: usize, value: u32, _: &dyn Bus) {
        match offset {
            0x08 => self.source = value,
            0x0c => self.destination = value,
            0x10 => self.bytes = value,
            0x14 => (self.state, self.left) = (RUNNING, 100),
            0x18 => self.scratch = value,
            _ => {}
        }
    }

    fn step(&mut self, bus: &dyn Bus) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        if self.left == 0 {
            let mut bytes = vec![0; self.bytes as usize];
            let read = bus.read(u64::from(self.source) << 12, &mut bytes);
            let copied = read.and_then(|()| bus.write(u64::from(self.destination) << 12, &bytes));
            self.state = if copied.is_ok() { DONE } else { FAILED };
            bus.interrupt(VECTOR);
        }
    }

    fn is_idle(&self) -> bool {
        self.left == 0
    }

    fn reset_host_side(&mut self, _: &dyn Bus) {
        let (scratch, resets) = (self.scratch, self.resets + 1);
        *self = Copier { scratch, resets, ..Copier::default() };
    }
}

/// Turns memory accesses and bus mastering on.
pub fn enable(device: &dyn PciDevice) {
    let bits = config::COMMAND_MEMORY | config::COMMAND_BUS_MASTER;
    device.config_write(config::COMMAND, Width::Word, bits).unwrap();
}

/// A server in a thread of its own, until the guard is dropped.
pub struct Served {
    pub device: InProcess<Copier>,
    pub path: PathBuf,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<Vec<String>>>,
    folder: PathBuf,
}

impl Served {
    pub fn new(name: &str) -> Served {
        let folder = std::env::temp_dir().join(format!("hashgate-pci-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("nic.sock");
        let device = InProcess::new(Copier::default());
        let server = VfioUserServer::new(device.clone(), &path).unwrap();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn({
            let device = device.clone();
            move || serve(server, &device, &stopped)
        });
        Served { device, path, stop: Some(stop), thread: Some(thread), folder }
    }

    /// Ends the server; gives what it had to say about its clients.
    pub fn end(mut self) -> Vec<String> {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn serve(mut server: VfioUserServer<Copier>, device: &InProcess<Copier>, stop: &UnixStream) -> Vec<String> {
    let mut complaints = Vec::new();
    loop {
        server.work().unwrap();
        complaints.extend(server.take_complaint());
        let idle = device.run_until_idle(1000);
        let mut fds: Vec<PollFd<'_>> = server.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        fds.push(PollFd::new(stop, PollFlags::IN));
        let limit = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, (!idle).then_some(&limit)).unwrap();
        if !fds.last().unwrap().revents().is_empty() {
            return complaints;
        }
    }
}

/// A path that nobody serves.
pub fn nowhere() -> &'static Path {
    Path::new("/nonexistent/hashgate.sock")
}

/// `HASHGATE_SEED`, or one of the clock; printed, so that a failure can be had again.
pub fn seed() -> u64 {
    let given = std::env::var("HASHGATE_SEED").ok().map(|text| text.parse().expect("HASHGATE_SEED is a number"));
    let clock =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 & 0xffff_ffff;
    let seed = given.unwrap_or_else(clock);
    println!("HASHGATE_SEED={seed} repeats this test");
    seed
}
