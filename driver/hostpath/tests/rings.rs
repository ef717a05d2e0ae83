// SPDX-License-Identifier: Apache-2.0
//! The host path with a NIC in plain Rust and a kernel's side of the test's own: no privileges are needed.

mod support;

use hashgate_device::{DeviceError, PciDevice, Width, config};
use hashgate_hostpath::{
    HOST_PATH_ADDRESSES, HostPath, Kernel, LENT_RINGS, Lent, LentError, Listener, MAX_LENT_BYTES, Options, PathError,
    Refused, Stats, dropped_before,
};
use hashgate_netdev::NetDevice;
use hashgate_nic::Nic;
use hashgate_regs::defs::Table;
use hashgate_regs::host::{CONTROL_RX, DATA_TX, EVENTS, HOST_RESET, MOVER, REASON_QUEUE, RING_FAULT, SPREAD, ring};
use hashgate_regs::registers::offset;
use hashgate_rings::{EventConfig, HostInterface, MoverConfig, RingError, Wake};
use hashgate_soft_nic::{Frame, SoftNic};
use hashgate_vfio_user::VfioUser;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Folder, PATIENCE, Served, tables, wait_for, wait_readable};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

/// What the kernel got, and what it is to send.
#[derive(Default)]
struct Other {
    got: Mutex<Vec<Vec<u8>>>,
    to_send: Mutex<VecDeque<Vec<u8>>>,
    full: AtomicBool,
    down: AtomicBool,
}

/// A kernel's side that is a test.
struct Fake {
    other: Arc<Other>,
    fd: UnixStream,
}

impl AsFd for Fake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl NetDevice for Fake {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(frame) = self.other.to_send.lock().unwrap().pop_front() else {
            let mut byte = [0; 64];
            // What woke us is taken; nothing there is no error.
            let _ = io::Read::read(&mut self.fd, &mut byte);
            return Ok(None);
        };
        let length = frame.len().min(buffer.len());
        buffer[..length].copy_from_slice(&frame[..length]);
        Ok(Some(length))
    }

    fn send(&mut self, frame: &[u8]) -> io::Result<bool> {
        if self.other.down.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(5));
        }
        if self.other.full.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.other.got.lock().unwrap().push(frame.to_vec());
        Ok(true)
    }
}

impl Kernel for Fake {
    fn mac(&self) -> io::Result<[u8; 6]> {
        Ok(MAC)
    }

    fn set_persistent(&self, _: bool) -> io::Result<()> {
        Ok(())
    }
}

/// A host path at work.
struct Work<'a> {
    served: &'a Served,
    other: &'a Other,
    control: &'a Path,
    wake: &'a UnixStream,
}

impl Work<'_> {
    fn connect(&self) -> Arc<Lent> {
        // The one before may not have been missed yet.
        wait_for("a connection", || match Lent::connect(self.control) {
            Ok(lent) => Some(Arc::new(lent)),
            Err(LentError::Busy { .. }) => None,
            Err(error) => panic!("{error}"),
        })
    }

    fn got(&self) -> usize {
        self.other.got.lock().unwrap().len()
    }

    fn send(&self, frames: impl IntoIterator<Item = Vec<u8>>) {
        self.other.to_send.lock().unwrap().extend(frames);
        let mut wake = self.wake;
        wake.write_all(b"w").unwrap();
    }
}

/// Runs `test` while a host path is at work; gives what the host path ended with.
fn with_path(
    nic: SoftNic,
    options: Options,
    test: impl FnOnce(&Work<'_>),
) -> (Result<Stats, PathError>, Vec<String>, Arc<support::Seen>) {
    let folder = Folder::new();
    let (socket, control) = (folder.path("nic"), folder.path("control"));
    let served = Served::new(nic, &socket, None);
    let device: Arc<dyn PciDevice> = Arc::new(VfioUser::connect(&socket).unwrap());
    let other = Arc::new(Other::default());
    let (wake, fd) = UnixStream::pair().unwrap();
    fd.set_nonblocking(true).unwrap();
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let host_down = dropped_before(&*device).unwrap();
    let mut path = HostPath::start(
        device,
        Box::new(Fake { other: other.clone(), fd }),
        Listener::bind(&control).unwrap(),
        options,
        host_down,
        Arc::new({
            let log = log.clone();
            move |text: &str| log.lock().unwrap().push(text.into())
        }),
    )
    .unwrap();
    let (stop, stopped) = UnixStream::pair().unwrap();
    let stats = std::thread::scope(|scope| {
        let path = scope.spawn(move || {
            let ran = path.run(stopped.as_fd());
            let stats = path.stats_without_drops();
            ran.map_or_else(Err, |()| path.finish().map(|last| if last == Stats::default() { stats } else { last }))
        });
        // Moved in, so that the path ends even if the test panics.
        let stop = stop;
        let work = Work { served: &served, other: &other, control: &control, wake: &wake };
        test(&work);
        drop(stop);
        path.join().unwrap()
    });
    assert!(!control.exists(), "the socket is gone with the host path");
    let log = log.lock().unwrap().clone();
    (stats, log, served.seen.clone())
}

/// Frame `n`, of `length` bytes, of an EtherType.
fn frame(n: u32, kind: u16, length: usize) -> Vec<u8> {
    let mut frame = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &kind.to_be_bytes(), &n.to_be_bytes()].concat();
    frame.resize(length.max(60), n as u8);
    frame
}

fn plain(n: u32) -> Frame {
    Frame { bucket: Some(n as u16 & 0xfff), ..Frame::plain(frame(n, 0x0800, 60 + n as usize * 37 % 8900)) }
}

/// Numbers of frames, in order of numbers.
fn numbers(frames: &[Vec<u8>]) -> Vec<u32> {
    let mut numbers: Vec<u32> =
        frames.iter().map(|frame| u32::from_be_bytes(*frame[14..].first_chunk().unwrap())).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn frames_pass_both_ways_with_no_register_read_for_any() {
    const FRAMES: u32 = 3000;
    let options = Options { queues: 4, ..Options::default() };
    let (stats, log, seen) = with_path(SoftNic::new(), options, |work| {
        for first in (0..FRAMES).step_by(100) {
            work.served.inject((first..first + 100).map(plain));
            work.send((first..first + 100).map(|n| frame(n, 0x0800, 60 + n as usize * 41 % 8900)));
            wait_for("frames to the kernel", || (work.got() as u32 >= first + 100).then_some(()));
            wait_for("frames to the wire", || {
                (work.served.seen.sent.lock().unwrap().len() as u32 >= first + 100).then_some(())
            });
        }
        let got = work.other.got.lock().unwrap();
        assert_eq!(numbers(&got), (0..FRAMES).collect::<Vec<_>>());
        for bytes in got.iter() {
            let n = u32::from_be_bytes(*bytes[14..].first_chunk().unwrap());
            let mut expected = plain(n).bytes;
            expected[..6].copy_from_slice(&MAC);
            assert_eq!(*bytes, expected, "frame {n}");
        }
    });
    let stats = stats.unwrap();
    let sent = seen.sent.lock().unwrap();
    let expected: Vec<Vec<u8>> = (0..FRAMES).map(|n| frame(n, 0x0800, 60 + n as usize * 41 % 8900)).collect();
    assert!(sent.iter().map(|sent| &sent.bytes).eq(&expected), "order is kept");
    assert!(sent.iter().all(|sent| sent.port == 0 && !sent.control));
    assert_eq!((stats.rx.frames, stats.tx.frames, stats.rx.readdressed), (3000, 3000, 3000));
    assert_eq!((stats.rx.tap_full, stats.nic), (0, Default::default()));
    // Set-up, a look each second and the counters at the end; nothing of it grows with the frames.
    assert!(stats.mmio_reads < 400, "{} register reads", stats.mmio_reads);
    assert!(
        stats.mmio_writes < u64::from(FRAMES),
        "{} register writes for {FRAMES} frames each way",
        stats.mmio_writes
    );
    assert_eq!(log, Vec::<String>::new());
}

#[test]
fn a_kernel_that_takes_nothing_stops_nothing() {
    let (stats, _, _) = with_path(SoftNic::new(), Options::default(), |work| {
        work.other.full.store(true, Ordering::Relaxed);
        // More than the ring has buffers: none may wait.
        let lent = work.connect();
        for first in (0..2000).step_by(100) {
            work.served.inject((first..first + 100).map(plain));
            wait_for("drops", || (lent.stats().unwrap().rx.tap_full == u64::from(first) + 100).then_some(()));
        }
        work.other.full.store(false, Ordering::Relaxed);
        work.other.down.store(true, Ordering::Relaxed);
        work.served.inject((0..50).map(plain));
        wait_for("drops of a TAP that is down", || (lent.stats().unwrap().rx.tap_down == 50).then_some(()));
        work.other.down.store(false, Ordering::Relaxed);
        work.served.inject([plain(7)]);
        wait_for("a frame", || (work.got() == 1).then_some(()));
    });
    let stats = stats.unwrap();
    assert_eq!((stats.rx.frames, stats.rx.tap_full, stats.rx.tap_down, stats.nic.full), (1, 2000, 50, 0));
}

#[test]
fn a_full_transmit_ring_only_stops_reading_the_kernel() {
    let (stats, _, seen) = with_path(SoftNic::new(), Options { size_log2: 4, ..Options::default() }, |work| {
        work.served.device.nic().hold_memory(true);
        work.send((0..100).map(|n| frame(n, 0x0800, 60)));
        wait_for("a ring that is full", || (work.other.to_send.lock().unwrap().len() <= 84).then_some(()));
        assert!(work.other.to_send.lock().unwrap().len() >= 84, "the rest waits in the kernel");
        work.served.device.nic().hold_memory(false);
        work.served.kick();
        wait_for("all frames", || (work.served.seen.sent.lock().unwrap().len() == 100).then_some(()));
    });
    let sent: Vec<Vec<u8>> = seen.sent.lock().unwrap().iter().map(|sent| sent.bytes.clone()).collect();
    assert_eq!(numbers(&sent), (0..100).collect::<Vec<_>>());
    assert!(stats.unwrap().tx.stalls > 0);
}

#[test]
fn frames_of_impossible_length_are_counted() {
    let (stats, _, seen) = with_path(SoftNic::new(), Options::default(), |work| {
        let mut long = frame(1, 0x0800, 60);
        long.resize(9023, 0);
        let mut longest = frame(2, 0x0800, 60);
        longest.resize(9022, 0);
        work.send([long, vec![0; 13], longest]);
        wait_for("the one that can be sent", || (work.served.seen.sent.lock().unwrap().len() == 1).then_some(()));
    });
    assert_eq!(seen.sent.lock().unwrap()[0].bytes.len(), 9022);
    assert_eq!(stats.unwrap().tx.bad_length, 2);
}

#[test]
fn heartbeats_go_to_the_controller_and_others_to_the_kernel() {
    let heartbeat = |n: u32| Frame { control: true, ..Frame::plain(frame(n, 0x886f, 100)) };
    let (stats, _, seen) = with_path(SoftNic::new(), Options::default(), |work| {
        work.served.inject([heartbeat(1)]);
        // Two frames one after the other: the reserved ring is looked at between them.
        for n in 0..2 {
            work.served.inject([plain(n)]);
            wait_for("a frame", || (work.got() == n as usize + 1).then_some(()));
        }
        let lent = work.connect();
        assert_eq!(lent.stats().unwrap().control.no_controller, 1);
        work.served.inject([heartbeat(2), Frame { control: true, ..Frame::plain(frame(3, 0x0806, 60)) }]);
        wait_readable("a heartbeat", lent.frames_fd());
        let got = lent.receive_frame().unwrap().unwrap();
        assert_eq!((got.port, got.bytes), (0, frame(2, 0x886f, 100)), "as it was, with its own destination");
        assert!(got.time_ns > 0);
        wait_for("ARP to the kernel", || (work.got() == 3).then_some(()));
        // Nobody reads: no frame waits for that, and all are counted.
        for first in (0..3000).step_by(100) {
            work.served.inject((first..first + 100).map(heartbeat));
            wait_for("all heartbeats are counted", || {
                let control = lent.stats().unwrap().control;
                (control.heard + control.controller_slow == u64::from(first) + 101).then_some(())
            });
        }
        let stats = lent.stats().unwrap();
        assert!(stats.control.controller_slow > 0 && stats.control.heard > 1, "{:?}", stats.control);
        let read = std::iter::from_fn(|| lent.receive_frame().unwrap()).count() as u64;
        assert_eq!(read + 1, stats.control.heard);
        // The other way.
        assert!(lent.send_frame(1, &frame(9, 0x886f, 80)).unwrap());
        for (port, bytes) in [(2, frame(9, 0x886f, 80)), (0, vec![1; 13]), (0, vec![1; 9023])] {
            assert!(lent.send_frame(port, &bytes).unwrap());
        }
        wait_for("what cannot be sent is counted", || (lent.stats().unwrap().control.bad_frame == 3).then_some(()));
        wait_for("the frame on the wire", || (work.served.seen.sent.lock().unwrap().len() == 1).then_some(()));
    });
    let sent = seen.sent.lock().unwrap();
    assert_eq!((&sent[0].bytes, sent[0].port, sent[0].control), (&frame(9, 0x886f, 80), 1, true));
    let control = stats.unwrap().control;
    assert_eq!((control.sent, control.bad_frame, control.no_controller), (1, 3, 1));
}

#[test]
fn a_controller_has_tables_mover_and_events() {
    let (stats, log, _) = with_path(SoftNic::new(), Options::default(), |work| {
        let lent = work.connect();
        let mut nic = Nic::open(&*lent).unwrap();
        let device: Arc<dyn PciDevice> = lent.clone();
        let host = HostInterface::attach(device, LENT_RINGS).unwrap();
        host.enable_interrupts().unwrap();
        nic.set_bulk(Some(Box::new(host.table_mover(&MoverConfig::default()).unwrap())));
        nic.load(&tables(7)).unwrap();
        nic.enable(true);
        assert_eq!(nic.read_active().unwrap().vips, tables(7).vips);
        let mut events = host.event_ring(&EventConfig::default()).unwrap();
        work.served.device.nic().event([0; 13]);
        work.served.kick();
        assert_eq!(events.wait(PATIENCE).unwrap(), Wake::Ready, "by the eventfd of the device");
        let error = host.rx_queue(0, &Default::default()).err().unwrap();
        assert!(matches!(error, RingError::RingInUse { ring: 0 }), "{error}");
        // Writes that nobody waits for are refused as well, and told when something is read.
        let bar = lent.bar(0).unwrap();
        (0..100).for_each(|_| bar.write32(ring(0) + ring::CONTROL, 0));
        assert_ne!(bar.read32(ring(0) + ring::CONTROL), 0, "the ring runs");
        let refused = lent.take_refusals();
        assert_eq!(refused, [Refused::HostPathRegister { offset: (ring(0) + ring::CONTROL) as u32 }; 64]);
        work.served.inject([plain(1)]);
        wait_for("a frame", || (work.got() == 1).then_some(()));
    });
    let stats = stats.unwrap();
    assert_eq!((stats.control.controllers, stats.control.complaints), (1, 0));
    assert!(stats.control.refused > 0);
    assert_eq!(stats.rings, Default::default());
    assert_eq!(log.first().map(String::as_str), Some("a controller has come"), "{log:?}");
}

#[test]
fn what_is_the_host_paths_is_refused_by_name() {
    let (stats, _, _) = with_path(SoftNic::new(), Options::default(), |work| {
        let lent = work.connect();
        for at in [
            HOST_RESET,
            REASON_QUEUE,
            SPREAD,
            ring(0) + ring::PRODUCER,
            ring(CONTROL_RX) + ring::CONTROL,
            ring(DATA_TX) + ring::PRODUCER,
            ring(3) + ring::BASE,
        ] {
            let error = lent.write_register(at as u32, 1).unwrap_err();
            assert!(
                matches!(error, LentError::Refused(Refused::HostPathRegister { offset }) if offset as usize == at),
                "{error}"
            );
            assert!(error.to_string().contains("belongs to the host path"), "{error}");
        }
        let error = lent.write_register(RING_FAULT as u32, 1 << MOVER | 1).unwrap_err();
        assert!(error.to_string().starts_with("RING_FAULT belongs"), "{error}");
        lent.write_register(RING_FAULT as u32, 1 << MOVER).unwrap();
        for at in [0x2000, 0x1001, u32::MAX] {
            assert!(matches!(lent.write_register(at, 1), Err(LentError::Refused(Refused::BadRequest))), "{at:#x}");
        }
        // A ring in memory of the host path.
        let own = lent.map_dma(0, 4096).unwrap();
        let places =
            [(MOVER, HOST_PATH_ADDRESSES), (EVENTS, HOST_PATH_ADDRESSES), (EVENTS, 3072), (MOVER, u64::MAX - 63)];
        for (number, base) in places {
            lent.write_register((ring(number) + ring::SIZE) as u32, 6).unwrap();
            for register in [ring::BASE, ring::ANSWERS] {
                lent.write_register((ring(number) + register) as u32, base as u32).unwrap();
                lent.write_register((ring(number) + register + 4) as u32, (base >> 32) as u32).unwrap();
            }
            let error = lent.write_register((ring(number) + ring::CONTROL) as u32, 1).unwrap_err();
            assert!(matches!(error, LentError::Refused(Refused::ForeignMemory { .. })), "{error}");
        }
        drop(own);
        assert!(lent.reset().is_err());
        assert!(lent.config_write(config::BAR0, Width::Dword, 0).is_err());
        lent.config_write(config::COMMAND, Width::Word, 0).unwrap();
        assert_ne!(lent.config_read(config::COMMAND, Width::Word).unwrap() & config::COMMAND_BUS_MASTER, 0, "still on");
        assert!(matches!(lent.bar(2), Err(DeviceError::NoBar { index: 2 })));
        // Memory: limits, addresses.
        for (iova, bytes) in
            [(HOST_PATH_ADDRESSES, 4096), (HOST_PATH_ADDRESSES - 4096, 8192), (4096, MAX_LENT_BYTES + 4096)]
        {
            let error = lent.map_dma(iova, bytes).err().unwrap();
            assert!(error.to_string().contains("borrowing memory"), "{error}");
        }
        let regions: Vec<_> = (1..=64).map(|n| lent.map_dma(n << 20, 4096).unwrap()).collect();
        assert!(lent.map_dma(65 << 20, 4096).err().unwrap().to_string().contains("64 pieces"), "one too many");
        drop(regions);
        let again = lent.map_dma(1 << 20, 4096).unwrap();
        again.write64(0, 7);
        assert!(lent.map_dma(1 << 20, 4096).is_err(), "mapped already");
        assert!(matches!(Lent::connect(work.control), Err(LentError::Busy { .. })), "one controller at a time");
        work.served.inject([plain(1)]);
        wait_for("a frame", || (work.got() == 1).then_some(()));
    });
    assert_eq!(stats.unwrap().rings, Default::default());
}

#[test]
fn a_controller_that_talks_nonsense_ends_itself_only() {
    use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType, connect, send, socket};
    let (stats, log, _) = with_path(SoftNic::new(), Options::default(), |work| {
        let messages: [&[u8]; 6] = [b"x", &[0; 8], &[1, 0, 0, 0, 0, 0, 0, 0], &[2; 64], &[3; 65], &[9; 60000]];
        for message in messages {
            let peer = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
            connect(&peer, &SocketAddrUnix::new(work.control).unwrap()).unwrap();
            send(&peer, message, SendFlags::NOSIGNAL).unwrap();
            wait_readable("the end of the connection", peer.as_fd());
        }
        // One that asks and never reads.
        let before = work.connect();
        drop(before);
        let peer = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        wait_for("its turn", || connect(&peer, &SocketAddrUnix::new(work.control).unwrap()).ok());
        let hello = [1u32, 0, 0x4847_4850, 1].map(u32::to_le_bytes).concat();
        let read = [2u32, 7, 0].map(u32::to_le_bytes).concat();
        let ended = send(&peer, &hello, SendFlags::NOSIGNAL).is_err()
            || (0..100_000).any(|_| send(&peer, &read, SendFlags::NOSIGNAL).is_err());
        assert!(ended, "it was served for ever");
        work.served.inject([plain(1)]);
        wait_for("a frame", || (work.got() == 1).then_some(()));
        drop(work.connect());
    });
    assert!(stats.unwrap().control.complaints >= 6, "{log:?}");
}

#[test]
fn every_request_for_counters_is_answered_in_its_turn() {
    use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvFlags, SendFlags, SocketAddrUnix, SocketType};
    use rustix::net::{RecvAncillaryMessage, connect, recvmsg, send, socket};
    use std::{io::IoSliceMut, mem::MaybeUninit};
    const STATS: u32 = 8;
    const READ: u32 = 2;
    let (stats, log, _) = with_path(SoftNic::new(), Options::default(), |work| {
        let peer = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        connect(&peer, &SocketAddrUnix::new(work.control).unwrap()).unwrap();
        let ask = |words: &[u32]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            send(&peer, &bytes, SendFlags::NOSIGNAL).unwrap();
        };
        // All are there before the first is looked at.
        ask(&[1, 0, 0x4847_4850, 1]);
        (1..=9).for_each(|id| if id % 3 == 0 { ask(&[READ, id, 0]) } else { ask(&[STATS, id]) });
        let mut files = Vec::new();
        for id in 0..=9u32 {
            wait_readable("an answer", peer.as_fd());
            let (mut answer, mut space) = ([0; 16384], [MaybeUninit::uninit(); 128]);
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut answer)];
            recvmsg(&peer, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
            // Its ends of sockets are kept: whoever closes one has gone.
            files.extend(ancillary.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(files) => Some(files.collect::<Vec<_>>()),
                _ => None,
            }));
            assert_eq!(answer[4..8], id.to_le_bytes());
        }
    });
    assert_eq!(stats.unwrap().control.requests, 10, "{log:?}");
}

#[test]
fn a_full_reset_is_noticed_and_rings_come_back() {
    for by_controller in [true, false] {
        let (stats, log, _) = with_path(SoftNic::new(), Options { queues: 2, ..Options::default() }, |work| {
            work.served.inject((0..10).map(plain));
            wait_for("frames before", || (work.got() == 10).then_some(()));
            let lent = work.connect();
            let host = HostInterface::attach(lent.clone() as Arc<dyn PciDevice>, LENT_RINGS).unwrap();
            host.enable_interrupts().unwrap();
            let mut mover = host.table_mover(&MoverConfig::default()).unwrap();
            mover.load(Table::Map, 0, &[5; 100]).unwrap();
            if by_controller {
                Nic::open(&*lent).unwrap().full_reset().unwrap();
            } else {
                work.served.device.bar(0).unwrap().write32(offset::FULL_RESET, 1);
                work.served.kick();
            }
            wait_for("the reset is noticed", || (lent.stats().unwrap().resets_seen == 1).then_some(()));
            // The mover shows as halted, and starts again as after any fault.
            assert!(host.fault_interrupt().unwrap().wait(PATIENCE) > 0);
            let error = mover.load(Table::Map, 0, &[6; 100]).unwrap_err();
            assert!(matches!(error, RingError::Fault { ring: MOVER, .. }), "{error}");
            mover.load(Table::Map, 0, &[6; 100]).unwrap();
            work.served.inject((10..20).map(plain));
            work.send([frame(1, 0x0800, 60)]);
            wait_for("frames after", || (work.got() == 20).then_some(()));
            wait_for("a frame to the wire", || (work.served.seen.sent.lock().unwrap().len() == 1).then_some(()));
        });
        let stats = stats.unwrap();
        assert_eq!((stats.resets_seen, stats.rings.restarts), (1, 5), "{log:?}");
        assert_eq!(log.iter().filter(|line| line.contains("the NIC was reset")).count(), 1, "{log:?}");
    }
}

#[test]
fn a_ring_with_impossible_answers_is_started_again() {
    let (stats, log, _) = with_path(SoftNic::new(), Options { queues: 2, ..Options::default() }, |work| {
        let mut left = 3;
        work.served.device.nic().spoil_answers(Some(Box::new(move |ring, words| {
            if ring == 0 && left > 0 {
                left -= 1;
                // A length of more than a buffer.
                words[2] |= 0xffff;
            }
        })));
        let (mut n, mut before) = (0, 0);
        wait_for("frames of the ring again", || {
            work.served.inject([Frame { bucket: Some(0), ..plain(n) }]);
            n += 1;
            std::mem::replace(&mut before, work.got()).ge(&5).then_some(())
        });
    });
    let stats = stats.unwrap();
    // Two spoilt answers may be there when the first is looked at; a restart forgets both.
    let rings = stats.rings;
    assert!((1..=3).contains(&rings.violations) && rings.restarts == rings.violations, "{rings:?} {log:?}");
    assert!(log[0].contains("ring 0") && log[0].contains("65535"), "{log:?}");
    for (n, line) in log.iter().take(rings.violations as usize).enumerate() {
        assert!(line.contains(&format!("{} ms (failure {} of 8)", 10 << n, n + 1)), "{log:?}");
    }
}

#[test]
fn a_ring_that_always_fails_ends_the_host_path() {
    let (ended, log, _) = with_path(SoftNic::new(), Options::default(), |work| {
        work.served.device.nic().spoil_answers(Some(Box::new(|ring, words| {
            if ring == 0 {
                words[4] ^= 1 << 20;
            }
        })));
        let mut n = 0;
        wait_for("the end", || {
            work.served.inject([Frame { bucket: Some(0), ..plain(n) }]);
            n += 1;
            (!work.control.exists()).then_some(())
        });
    });
    let error = ended.unwrap_err();
    assert!(matches!(error, PathError::Hopeless { ring: 0, times: 9, .. }), "{error}");
    assert_eq!(log.len(), 8, "{log:?}");
}

#[test]
fn a_failed_transfer_halts_one_ring_for_a_moment() {
    let (stats, log, _) = with_path(SoftNic::new(), Options::default(), |work| {
        // A doorbell from nowhere, which the NIC takes for impossible.
        let bar = work.served.device.bar(0).unwrap();
        bar.write32(ring(0) + ring::PRODUCER, 0x8000);
        work.served.kick();
        let mut n = 0;
        wait_for("frames again", || {
            work.served.inject([plain(n)]);
            n += 1;
            (work.got() > 0).then_some(())
        });
    });
    let stats = stats.unwrap();
    assert_eq!((stats.rings.faults, stats.rings.restarts), (1, 1), "{log:?}");
}

#[test]
fn a_device_that_goes_ends_the_host_path() {
    let (ended, _, _) = with_path(SoftNic::new(), Options::default(), |work| {
        work.served.inject([plain(1)]);
        wait_for("a frame", || (work.got() == 1).then_some(()));
        work.served.device.nic().set_gone(true);
        wait_for("the end", || (!work.control.exists()).then_some(()));
    });
    assert!(matches!(ended, Err(PathError::Gone)), "{ended:?}");
}

#[test]
fn lost_interrupts_cost_a_second_no_more() {
    let (stats, _, _) = with_path(SoftNic::new(), Options::default(), |work| {
        // Once it sleeps.
        let lent = work.connect();
        wait_for("sleep", || (lent.stats().unwrap().sleeps > 0).then_some(()));
        drop(lent);
        work.served.device.nic().lose_interrupts(true);
        let start = std::time::Instant::now();
        work.served.inject([plain(1)]);
        wait_for("a frame", || (work.got() == 1).then_some(()));
        assert!(start.elapsed() < Duration::from_secs(20));
        work.served.device.nic().lose_interrupts(false);
    });
    assert_eq!(stats.unwrap().rx.frames, 1);
}

#[test]
fn a_socket_in_use_or_no_socket_is_refused() {
    let folder = Folder::new();
    let path = folder.path("control");
    let first = Listener::bind(&path).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let error = Listener::bind(&path).err().unwrap().to_string();
    assert!(error.contains("control") && error.contains("in use"), "{error}");
    drop(first);
    std::fs::write(&path, "a file").unwrap();
    assert!(Listener::bind(&path).err().unwrap().to_string().contains("in use"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file", "it was left alone");
    let long = folder.path(&"x".repeat(108));
    assert!(Listener::bind(&long).err().unwrap().to_string().contains("107 bytes"));
    // Left by a process that was killed.
    let left = folder.path("left");
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    bind(&socket, &SocketAddrUnix::new(&left).unwrap()).unwrap();
    drop(socket);
    drop(Listener::bind(&left).unwrap());
    assert!(!left.exists());
}
