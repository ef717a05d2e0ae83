// SPDX-License-Identifier: Apache-2.0
//! A driver's file descriptors: memory that is not what it seems, eventfds that are none or full, too many of both.

mod common;

use common::{DONE, FAILED, ID, RUNNING, Served, VECTOR, seed};
use hashgate_device::DmaMemory;
use hashgate_vfio_user::protocol::{self, Header, MAX_MAPPINGS, MSIX_IRQ, Payload, UNMAP_ALL, command, flag, irq};
use hashgate_vfio_user::{Channel, MAX_FDS, VfioUser};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// No answer takes that long.
const LONG: Duration = Duration::from_secs(20);
const PAGE: u64 = 4096;

/// A driver that can say what a good one cannot.
struct Driver {
    channel: Channel,
}

impl Driver {
    fn new(served: &Served) -> Driver {
        let mut driver = Driver { channel: Channel::new(UnixStream::connect(&served.path).unwrap()).unwrap() };
        driver.ask(command::VERSION, &protocol::version(0), &[]).unwrap();
        driver
    }

    fn post(&mut self, command: u16, payload: &[u8], fds: &[BorrowedFd<'_>]) {
        let header = Header { id: 1, command, flags: flag::NO_REPLY, ..Header::default() };
        self.channel.send(header, payload, fds, Instant::now() + LONG).unwrap();
    }

    /// The payload of the answer, or its errno.
    fn ask(&mut self, command: u16, payload: &[u8], fds: &[BorrowedFd<'_>]) -> Result<Vec<u8>, u32> {
        let deadline = Instant::now() + LONG;
        self.channel.send(Header { id: 9, command, ..Header::default() }, payload, fds, deadline).unwrap();
        loop {
            if let Some(message) = self.channel.receive().unwrap() {
                assert_eq!((message.header.id, message.header.command), (9, command));
                let failed = message.header.flags & flag::ERROR != 0;
                return if failed { Err(message.header.error) } else { Ok(message.payload) };
            }
            self.channel.wait(deadline).unwrap();
        }
    }

    fn write(&mut self, region: u32, offset: u64, value: u32) {
        let payload = Payload::new().long(offset).word(region).word(4).word(value).done();
        self.ask(command::REGION_WRITE, &payload, &[]).unwrap();
    }

    fn read(&mut self, offset: u64) -> u32 {
        let answer = self.ask(command::REGION_READ, &Payload::new().long(offset).word(0).word(4).done(), &[]).unwrap();
        u32::from_le_bytes(answer[16..].try_into().unwrap())
    }

    /// Copies `bytes` between pages; the state afterwards.
    fn copy(&mut self, source: u32, destination: u32, bytes: u32) -> u32 {
        // Memory accesses and bus mastering on.
        self.write(7, 4, 6);
        for (register, value) in [(0x08, source), (0x0c, destination), (0x10, bytes), (0x14, 1)] {
            self.write(0, register, value);
        }
        (0..10_000).map(|_| self.read(0x14)).find(|state| *state != RUNNING).expect("the copy does not end")
    }
}

fn map(offset: u64, address: u64, size: u64) -> Vec<u8> {
    Payload::new().word(32).word(3).long(offset).long(address).long(size).done()
}

fn unmap(flags: u32, address: u64, size: u64) -> Vec<u8> {
    Payload::new().word(24).word(flags).long(address).long(size).done()
}

fn irqs(flags: u32, first: u32, count: u32) -> Vec<u8> {
    Payload::new().word(20).word(flags).word(MSIX_IRQ).word(first).word(count).done()
}

const EVENTFD: u32 = irq::DATA_EVENTFD | irq::ACTION_TRIGGER;

#[test]
fn memory_is_what_can_be_relied_on() {
    let served = Served::new("memory-checks");
    let mut driver = Driver::new(&served);
    let sealed = DmaMemory::shared(4 * PAGE as usize).unwrap();
    let sealed = sealed.fd().unwrap();
    let unsealed = File::from(memfd_create("unsealed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap());
    unsealed.set_len(4 * PAGE).unwrap();
    let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    for (fd, offset, address, size, expected) in [
        (sealed, 0, 0x1000, PAGE, Ok(vec![])),
        (sealed, PAGE, 0x1000, PAGE, Err(protocol::EEXIST)),
        (sealed, 4 * PAGE, 0x2000, PAGE, Err(protocol::EINVAL)),
        (sealed, 3 * PAGE, 0x2000, 2 * PAGE, Err(protocol::EINVAL)),
        (sealed, 12, 0x2000, PAGE, Err(protocol::EINVAL)),
        (sealed, u64::MAX - 4095, 0x2000, PAGE, Err(protocol::EINVAL)),
        (sealed, 0, 0x2000, 0, Err(protocol::EINVAL)),
        (sealed, 0, 0x2000, u64::MAX, Err(protocol::EINVAL)),
        (sealed, 0, 0x2004, PAGE, Err(protocol::EINVAL)),
        (sealed, 0, u64::MAX - 4095, PAGE, Err(protocol::EINVAL)),
        (unsealed.as_fd(), 0, 0x2000, PAGE, Err(protocol::EPERM)),
        (event.as_fd(), 0, 0x2000, PAGE, Err(protocol::EPERM)),
        (sealed, PAGE, 0x2000, 3 * PAGE, Ok(vec![])),
    ] {
        let got = driver.ask(command::DMA_MAP, &map(offset, address, size), &[fd]);
        assert_eq!(got, expected, "{size:#x} bytes from {offset:#x} at {address:#x}");
    }
    // Across the end of a mapping nothing is unmapped.
    assert_eq!(driver.ask(command::DMA_UNMAP, &unmap(0, 0x1000, 2 * PAGE), &[]), Err(protocol::EINVAL));
    assert_eq!(driver.copy(1, 2, 3 * PAGE as u32), DONE);
    assert_eq!(driver.ask(command::DMA_UNMAP, &unmap(0, 0x1000, PAGE), &[]).unwrap()[16..], PAGE.to_le_bytes());
    assert_eq!(driver.copy(1, 2, 64), FAILED);
}

#[test]
fn mappings_have_a_limit() {
    let served = Served::new("memory-limit");
    let mut driver = Driver::new(&served);
    let memory = DmaMemory::shared(PAGE as usize).unwrap();
    let fd = memory.fd().unwrap();
    for n in 0..MAX_MAPPINGS as u64 {
        driver.post(command::DMA_MAP, &map(0, n * PAGE, PAGE), &[fd]);
    }
    let end = MAX_MAPPINGS as u64 * PAGE;
    assert_eq!(driver.ask(command::DMA_MAP, &map(0, end, PAGE), &[fd]), Err(protocol::ENOSPC));
    assert_eq!(served.device.host().mappings(), MAX_MAPPINGS);
    assert!(driver.ask(command::DMA_UNMAP, &unmap(0, 0, 2 * PAGE), &[]).is_ok());
    assert_eq!(driver.ask(command::DMA_MAP, &map(0, end, PAGE), &[fd]), Ok(vec![]));
    assert!(driver.ask(command::DMA_UNMAP, &unmap(UNMAP_ALL, 0, 0), &[]).is_ok());
    assert_eq!(served.device.host().mappings(), 0);
}

#[test]
fn a_full_eventfd_does_not_hold_the_device_up() {
    let served = Served::new("event-full");
    let mut driver = Driver::new(&served);
    let memory = DmaMemory::shared(2 * PAGE as usize).unwrap();
    driver.ask(command::DMA_MAP, &map(0, 0x1000, 2 * PAGE), &[memory.fd().unwrap()]).unwrap();
    let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let (vector, full) = (VECTOR.into(), u64::MAX - 1);
    driver.ask(command::SET_IRQS, &irqs(EVENTFD, vector, 1), &[event.as_fd()]).unwrap();
    rustix::io::write(&event, &full.to_ne_bytes()).unwrap();
    // The server has made it non-blocking; the driver may undo that.
    rustix::io::ioctl_fionbio(&event, false).unwrap();
    assert_eq!(driver.copy(1, 2, 64), DONE);
    let mut count = [0; 8];
    rustix::io::read(&event, &mut count).unwrap();
    assert_eq!(u64::from_ne_bytes(count), full);
    assert_eq!(driver.copy(1, 2, 64), DONE);
    rustix::io::read(&event, &mut count).unwrap();
    assert_eq!(u64::from_ne_bytes(count), 1);
}

#[test]
fn too_many_descriptors_end_their_driver() {
    let served = Served::new("too-many");
    let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    for count in [MAX_FDS, MAX_FDS + 1, 100, 253] {
        let mut driver = Driver::new(&served);
        let payload = irqs(EVENTFD, 0, 16);
        let header =
            Header { command: command::SET_IRQS, size: (protocol::HEADER + payload.len()) as u32, ..Header::default() };
        let bytes = [&header.to_bytes()[..], &payload].concat();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = vec![event.as_fd(); count];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        let sent = sendmsg(&driver.channel, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL).unwrap();
        assert_eq!(sent, bytes.len());
        driver.channel.wait(Instant::now() + LONG).unwrap();
        assert_eq!(driver.channel.receive().is_ok(), count <= MAX_FDS, "{count} file descriptors");
    }
    let device = VfioUser::connect(&served.path).unwrap();
    common::enable(&device);
    assert_eq!(hashgate_device::PciDevice::bar(&device, 0).unwrap().read32(0), ID);
    drop(device);
    let complaints = served.end();
    assert_eq!(complaints.len(), 3, "{complaints:?}");
    assert!(complaints.iter().all(|text| text.contains("file descriptors")), "{complaints:?}");
}

#[test]
fn descriptors_at_random_are_answered() {
    let served = Served::new("random-fds");
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let memory = DmaMemory::shared(16 * PAGE as usize).unwrap();
    let unsealed = memfd_create("unsealed", MemfdFlags::CLOEXEC).unwrap();
    let events = [EventfdFlags::empty(), EventfdFlags::SEMAPHORE].map(|flags| eventfd(0, flags).unwrap());
    let (socket, _peer) = UnixStream::pair().unwrap();
    let (read_end, write_end) = rustix::pipe::pipe().unwrap();
    let file = File::open("/dev/null").unwrap();
    let all: Vec<BorrowedFd<'_>> =
        [unsealed.as_fd(), events[0].as_fd(), events[1].as_fd(), socket.as_fd(), file.as_fd()]
            .into_iter()
            .chain([read_end.as_fd(), write_end.as_fd(), memory.fd().unwrap()])
            .collect();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..200 {
        let mut driver = Driver::new(&served);
        for _ in 0..random.random_range(1..40) {
            let mut long = |pages: u64| match random.random_range(0..8) {
                0 => [0, 1, PAGE - 1, 1 << 39, (1 << 39) - PAGE, 0xfee0_0000, 1 << 63, u64::MAX, u64::MAX - 4095]
                    [random.random_range(0..9)],
                _ => random.random_range(0..pages) * PAGE,
            };
            let (offset, address, size) = (long(8), long(32), long(8));
            let mut fd = || all[random.random_range(0..all.len())];
            let (one, other) = ([fd()], [fd(), fd()]);
            let shared = [memory.fd().unwrap()];
            let answer = match random.random_range(0..9) {
                0..3 => driver.ask(command::DMA_MAP, &map(offset, address, size), &shared),
                3 => driver.ask(command::DMA_MAP, &map(offset, address, size), &other),
                4 => driver.ask(command::DMA_UNMAP, &unmap(random.random_range(0..16) / 5, address, size), &one),
                5 => driver.ask(command::SET_IRQS, &irqs(EVENTFD, random.random_range(0..17), 1), &one),
                6 => {
                    let flags = [EVENTFD, 1 | 32, 2 | 32, 1 | 8, 1 | 16, 0, u32::MAX][random.random_range(0..7)];
                    let (first, count) = (random.random_range(0..18), random.random_range(0..4));
                    driver.ask(command::SET_IRQS, &irqs(flags, first, count), &other)
                }
                7 => driver.ask(command::SET_IRQS, &irqs(EVENTFD, random.random_range(0..17), u32::MAX), &[]),
                _ => {
                    let bytes = random.random_range(0..5 * PAGE as u32);
                    let state = driver.copy(random.random_range(0..32), random.random_range(0..32), bytes);
                    if state == DONE { Ok(vec![]) } else { Err(state) }
                }
            };
            if answer.is_ok() { good += 1 } else { bad += 1 }
        }
        driver.write(7, 4, 2);
        assert_eq!(driver.read(0), ID);
    }
    assert!(good > 200 && bad > 200, "{good} good, {bad} bad");
    assert_eq!(served.end(), Vec::<String>::new());
}
