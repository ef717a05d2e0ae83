// SPDX-License-Identifier: Apache-2.0
//! The NIC in plain Rust behind a vfio-user socket, served by a thread.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod net;
pub mod process;

use hashgate_netdev::{MAX_FRAME, NetDevice};
use hashgate_pci_sim::{InProcess, VfioUserServer};
use hashgate_regs::defs::{Mode, Reason, Track, VipKind};
use hashgate_soft_nic::{Frame, Sent, SoftNic};
use hashgate_tables::{BUCKETS, KeyMask, Mac, MatchSlot, Rule, Settings, Tables, Target, Timeouts, Vip};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for anything. What is waited for takes milliseconds; the machine may be slow.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Steps of the NIC between two looks at sockets.
const STEPS: u64 = 4096;
/// Frames that may wait inside of the NIC.
const WAITING: usize = 128;
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A folder of the test's own, gone at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hg-hostpath-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Tries until `done` gives something; fails after [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < end, "{what}: not in {PATIENCE:?}");
        // Between two looks at something that another process does.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until `fd` can be read; fails after [`PATIENCE`].
pub fn wait_readable(what: &str, fd: BorrowedFd<'_>) {
    let limit = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&limit)).unwrap();
    assert!(ready > 0, "{what}: not in {PATIENCE:?}");
}

/// What went over the wire.
#[derive(Default)]
pub struct Seen {
    pub in_frames: AtomicU64,
    pub out_frames: AtomicU64,
    pub longest_in: AtomicU64,
    pub longest_out: AtomicU64,
    /// Frames for the wire that its other end did not take.
    pub not_taken: AtomicU64,
    /// Without a device at the wire: what was sent.
    pub sent: Mutex<Vec<Sent>>,
}

/// A NIC that is served.
pub struct Served {
    pub device: InProcess<SoftNic>,
    pub seen: Arc<Seen>,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// A frame of the wire as the NIC gives it to the host.
pub fn classify(bytes: Vec<u8>) -> Frame {
    let kind = bytes.get(12..14).map_or(0, |kind| u16::from_be_bytes([kind[0], kind[1]]));
    let control = matches!(kind, 0x886f | 0x0806);
    // By the last byte of the source address and the ports: more than one queue gets something.
    let bucket = bytes.get(29..38).map(|part| part.iter().map(|byte| u16::from(*byte)).sum());
    let reason = if control { Reason::Control } else { Reason::Map };
    let ip = kind == 0x0800;
    Frame { control, reason, bucket: bucket.filter(|_| ip), rule: ip.then_some(0), ..Frame::plain(bytes) }
}

impl Served {
    /// Serves `nic` at `path`; the wire of port 0 ends in `wire`, if there is one.
    pub fn new(nic: SoftNic, path: &Path, wire: Option<Box<dyn NetDevice>>) -> Served {
        let device = InProcess::new(nic);
        let server = VfioUserServer::new(device.clone(), path).unwrap();
        let seen = Arc::new(Seen::default());
        let (stop, stopped) = UnixStream::pair().unwrap();
        stopped.set_nonblocking(true).unwrap();
        let thread = std::thread::spawn({
            let (device, seen) = (device.clone(), seen.clone());
            move || serve(server, &device, wire, &seen, stopped)
        });
        Served { device, seen, stop: Some(stop), thread: Some(thread) }
    }

    /// Frames for the host, as if from the wire.
    pub fn inject(&self, frames: impl IntoIterator<Item = Frame>) {
        let mut nic = self.device.nic();
        frames.into_iter().for_each(|frame| nic.inject(frame));
        drop(nic);
        self.kick();
    }

    /// Something was done to the NIC from outside: it has to look.
    pub fn kick(&self) {
        self.stop.as_ref().unwrap().write_all(b"k").unwrap();
    }

    /// The server ends, as if it was killed.
    pub fn end(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

fn serve(
    mut server: VfioUserServer<SoftNic>,
    device: &InProcess<SoftNic>,
    mut wire: Option<Box<dyn NetDevice>>,
    seen: &Seen,
    mut stop: UnixStream,
) {
    let mut buffer = vec![0; MAX_FRAME + 1];
    let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    loop {
        server.work().unwrap();
        if let Some(complaint) = server.take_complaint() {
            println!("the server let a driver go: {complaint}");
        }
        let mut idle = device.run_until_idle(STEPS);
        let mut nic = device.nic();
        while let Some(sent) = nic.take_sent() {
            add(&seen.out_frames);
            seen.longest_out.fetch_max(sent.bytes.len() as u64, Ordering::Relaxed);
            match &mut wire {
                Some(wire) => {
                    if !wire.send(&sent.bytes).unwrap_or(false) {
                        add(&seen.not_taken);
                    }
                }
                None => seen.sent.lock().unwrap().push(sent),
            }
        }
        while nic.waiting() < WAITING {
            let Some(length) = wire.as_mut().and_then(|wire| wire.receive(&mut buffer).unwrap()) else { break };
            idle = false;
            add(&seen.in_frames);
            seen.longest_in.fetch_max(length as u64, Ordering::Relaxed);
            nic.inject(classify(buffer[..length].to_vec()));
        }
        drop(nic);
        let mut fds: Vec<PollFd<'_>> = server.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        fds.extend(wire.as_ref().map(|wire| PollFd::from_borrowed_fd(wire.as_fd(), PollFlags::IN)));
        fds.push(PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN));
        poll(&mut fds, (!idle).then_some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        drop(fds);
        let mut bytes = [0; 64];
        // Nothing to read is no end.
        if matches!(stop.read(&mut bytes), Ok(0)) {
            return;
        }
    }
}

/// Some tables; which ones `variant` (1..=255) says.
pub fn tables(variant: u16) -> Tables {
    let mac = |first| Mac([first, 0, 0, 0, 0, variant as u8]);
    let rule = Rule {
        mode: Mode::Single,
        draining: false,
        affinity: false,
        timeouts: Timeouts::default(),
        track: Track::Always,
        map: 0,
        group: 0,
        bucket: KeyMask::CLASS_C,
        binding: KeyMask { src4: 32, src6: 128, dst: true, sport: true, dport: true },
    };
    let slot = MatchSlot { vip: Some(variant), tcp: true, udp: false, ports: (80, 443), fragment: false, rule: 0 };
    Tables {
        settings: Settings { station_mac: mac(2), cluster_mac: mac(2), promiscuous: true, ..Settings::default() },
        zones: [((0, variant), 1)].into(),
        vips: vec![Vip { zone: 1, addr: [10, 9, 0, variant as u8].into(), kind: VipKind::Vip, id: variant }],
        slots: vec![Some(slot)],
        rules: [(0, rule)].into(),
        maps: [(0, (0..BUCKETS as u16).map(|bucket| (bucket + variant) % 2).collect())].into(),
        targets: (0..2).map(|target| (target, Target::forward(target as u8))).collect(),
        ..Tables::default()
    }
}
