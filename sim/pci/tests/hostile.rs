// SPDX-License-Identifier: Apache-2.0
//! Peers that close in the middle, send nonsense, or do not answer: an error in bounded time, and the next one is served.

mod common;

use common::{Copier, ID, Served, enable, seed};
use hashgate_device::{DeviceError, PciDevice};
use hashgate_vfio_user::protocol::{self, Header, Payload, command, flag};
use hashgate_vfio_user::{Channel, VfioUser};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

fn message(id: u16, command: u16, flags: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header { id, command, flags, size: (protocol::HEADER + payload.len()) as u32, error: 0 };
    [&header.to_bytes()[..], payload].concat()
}

/// What a driver says in a short life: one message of each kind.
fn conversation() -> Vec<Vec<u8>> {
    let read = |region, offset, bytes| Payload::new().long(offset).word(region).word(bytes).done();
    let write = |region, offset, data: &[u8]| {
        Payload::new().long(offset).word(region).word(data.len() as u32).bytes(data).done()
    };
    vec![
        message(0, command::VERSION, 0, &protocol::version(0)),
        message(1, command::GET_INFO, 0, &Payload::new().word(16).word(0).word(0).word(0).done()),
        message(
            2,
            command::GET_REGION_INFO,
            0,
            &Payload::new().word(32).word(0).word(0).word(0).long(0).long(0).done(),
        ),
        message(3, command::GET_IRQ_INFO, 0, &Payload::new().word(16).word(0).word(2).word(0).done()),
        message(4, command::REGION_WRITE, 0, &write(7, 4, &[6, 0])),
        message(5, command::REGION_READ, 0, &read(0, 0, 4)),
        message(6, command::REGION_WRITE, flag::NO_REPLY, &write(0, 0x18, &[1, 2, 3, 4])),
        message(7, command::SET_IRQS, 0, &Payload::new().word(20).word(33).word(2).word(0).word(0).done()),
        message(8, command::DMA_MAP, 0, &Payload::new().word(32).word(3).long(0).long(0x1000).long(4096).done()),
        message(9, command::DMA_UNMAP, 0, &Payload::new().word(24).word(0).long(0x1000).long(4096).done()),
        message(10, command::REGION_READ, 0, &read(7, 0, 4096)),
        message(11, command::RESET, 0, &[]),
    ]
}

/// The server still serves.
fn is_served(served: &Served) {
    let device = VfioUser::connect(&served.path).expect("the next driver is served");
    enable(&device);
    assert_eq!(device.bar(0).unwrap().read32(0), ID);
}

/// Sends bytes, closes, and waits until the server has closed too.
fn say(served: &Served, bytes: &[u8]) {
    let mut socket = UnixStream::connect(&served.path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may have had enough before the end.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut answers = Vec::new();
    match socket.read_to_end(&mut answers) {
        Ok(_) => {}
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server neither answers nor closes")
        }
    }
}

#[test]
fn a_driver_may_close_at_any_byte() {
    let served = Served::new("cut");
    let mut before = Vec::new();
    for message in conversation() {
        for cut in 0..message.len() {
            // Long answers are not read by one who is gone.
            say(&served, &[&before[..], &message[..cut]].concat());
        }
        before.extend(message);
    }
    is_served(&served);
}

#[test]
fn whatever_a_driver_sends_the_next_one_is_served() {
    let served = Served::new("fuzz");
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let whole = conversation();
    for round in 0..3000 {
        let mut bytes = whole[0].clone();
        for _ in 0..random.random_range(0..6) {
            let mut message = whole[random.random_range(0..whole.len())].clone();
            match random.random_range(0..4) {
                0 => {
                    let at = random.random_range(0..message.len());
                    message[at] = random.random();
                }
                1 => {
                    // A field with an extreme value.
                    let at = random.random_range(0..message.len() / 4) * 4;
                    let value = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, u32::MAX - 15][random.random_range(0..6)];
                    message[at..at + 4].copy_from_slice(&value.to_le_bytes());
                }
                2 => message.truncate(random.random_range(0..message.len())),
                _ => message.iter_mut().skip(16).for_each(|byte| *byte = random.random()),
            }
            bytes.extend(message);
        }
        if random.random_range(0..8) == 0 {
            bytes = (0..random.random_range(0..200)).map(|_| random.random()).collect();
        }
        say(&served, &bytes);
        if round % 500 == 0 {
            is_served(&served);
        }
    }
    is_served(&served);
}

#[test]
fn every_command_checks_what_it_gets() {
    let served = Served::new("refuse");
    let mut channel = Channel::new(UnixStream::connect(&served.path).unwrap()).unwrap();
    let mut ask = |command: u16, payload: &[u8]| {
        let deadline = Instant::now() + Duration::from_secs(10);
        channel.send(Header { id: 9, command, ..Header::default() }, payload, &[], deadline).unwrap();
        loop {
            if let Some(message) = channel.receive().unwrap() {
                assert_eq!((message.header.id, message.header.command), (9, command));
                return if message.header.flags & flag::ERROR == 0 {
                    Ok(message.payload)
                } else {
                    Err(message.header.error)
                };
            }
            channel.wait(deadline).unwrap();
        }
    };
    let (invalid, unknown) = (Err(protocol::EINVAL), Err(protocol::ENOTSUP));
    assert_eq!(ask(command::VERSION, &Payload::new().half(1).half(0).done()), unknown);
    assert!(ask(command::VERSION, &protocol::version(7)).is_ok());
    assert_eq!(ask(command::VERSION, &protocol::version(0)), unknown, "once is enough");
    for number in [0, 6, 11, 12, 14, 15, 999] {
        assert_eq!(ask(number, &[]), unknown, "command {number}");
    }
    for number in [2, 3, 4, 5, 7, 8, 9, 10] {
        assert_eq!(ask(number, &[1, 2]), invalid, "command {number} with too little");
    }
    let read = |region, offset, bytes| Payload::new().long(offset).word(region).word(bytes).done();
    for (region, offset, bytes) in
        [(0, 4096, 1), (0, 4093, 4), (0, u64::MAX, 4), (1, 0, 4), (8, 0, 1), (99, 0, 0), (7, 0, 4097), (0, 0, u32::MAX)]
    {
        assert_eq!(
            ask(command::REGION_READ, &read(region, offset, bytes)),
            invalid,
            "region {region} at {offset:#x}, {bytes} bytes"
        );
    }
    assert_eq!(ask(command::REGION_WRITE, &Payload::new().long(0).word(0).word(4).bytes(&[1, 2, 3]).done()), invalid);
    let map = |address, size| Payload::new().word(32).word(3).long(0).long(address).long(size).done();
    assert_eq!(ask(command::DMA_MAP, &map(0x1000, 4096)), unknown, "memory that is not shared");
    let unmap = |address, size| Payload::new().word(24).word(0).long(address).long(size).done();
    assert_eq!(ask(command::DMA_UNMAP, &unmap(0x1000, 4096)), Ok(unmap(0x1000, 0)), "nothing is mapped");
    assert_eq!(ask(command::DMA_UNMAP, &unmap(u64::MAX, u64::MAX)), invalid);
    let irqs =
        |flags, index, start, count| Payload::new().word(20).word(flags).word(index).word(start).word(count).done();
    assert_eq!(ask(command::SET_IRQS, &irqs(36, 2, 10, 7)), invalid, "beyond the last vector");
    assert_eq!(ask(command::SET_IRQS, &irqs(36, 2, u32::MAX, u32::MAX)), invalid);
    assert_eq!(ask(command::SET_IRQS, &irqs(36, 9, 0, 1)), invalid, "no such interrupt");
    assert_eq!(ask(command::SET_IRQS, &irqs(9, 2, 0, 1)), unknown, "masking by message");
    // It is none the worse for it.
    assert_eq!(ask(command::REGION_READ, &read(7, 0, 4)).unwrap()[16..], [0x34, 0x12, 0x47, 0x48]);
}

/// A peer that answers the version and the questions of a new driver rightly, then as `answer` says.
fn bad_peer(
    name: &str,
    answer: impl Fn(&Header, &mut UnixStream) + Send + 'static,
) -> (VfioUser, std::thread::JoinHandle<()>) {
    let path = std::env::temp_dir().join(format!("hashgate-peer-{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut head = [0; protocol::HEADER];
        while socket.read_exact(&mut head).is_ok() {
            let header = Header::from_bytes(&head);
            let mut payload = vec![0; header.size as usize - protocol::HEADER];
            socket.read_exact(&mut payload).unwrap();
            let good = match header.command {
                command::VERSION => protocol::version(0),
                command::GET_INFO => Payload::new().word(16).word(3).word(9).word(5).done(),
                command::GET_IRQ_INFO => Payload::new().word(16).word(9).word(2).word(16).done(),
                command::GET_REGION_INFO => Payload::new().word(32).word(3).word(0).word(0).long(4096).long(0).done(),
                _ => {
                    answer(&header, &mut socket);
                    continue;
                }
            };
            socket.write_all(&message(header.id, header.command, flag::REPLY, &good)).unwrap();
        }
    });
    let device = VfioUser::connect_within(&path, Duration::from_millis(300)).unwrap();
    std::fs::remove_file(&path).unwrap();
    (device, thread)
}

#[test]
fn a_driver_gives_up_a_peer_that_is_silent_or_mad() {
    type Answer = fn(&Header, &mut UnixStream);
    // The driver may have gone before it is told.
    fn tell(socket: &mut UnixStream, bytes: &[u8]) {
        let _ = socket.write_all(bytes);
    }
    let answers: [(&str, Answer); 7] = [
        ("silent", |_, _| ()),
        ("closing", |_, socket| {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }),
        ("half", |header, socket| tell(socket, &message(header.id, header.command, flag::REPLY, &[0; 20])[..18])),
        ("short", |header, socket| tell(socket, &message(header.id, header.command, flag::REPLY, &[0; 17]))),
        ("huge", |header, socket| tell(socket, &Header { size: u32::MAX, flags: flag::REPLY, ..*header }.to_bytes())),
        ("chatty", |_, socket| (100..300).for_each(|id| tell(socket, &message(id, 9, flag::REPLY, &[])))),
        ("tiny", |header, socket| tell(socket, &Header { size: 3, flags: flag::REPLY, ..*header }.to_bytes())),
    ];
    for (name, answer) in answers {
        let (device, thread) = bad_peer(name, answer);
        let bar = device.bar(0).unwrap();
        assert_eq!(bar.read32(0), u32::MAX, "{name}");
        bar.write32(0, 1);
        if name != "short" {
            let error = device.config_read(0, hashgate_device::Width::Dword).unwrap_err();
            assert!(matches!(error, DeviceError::Io { .. }), "{name}: {error}");
            assert!(device.map_dma(0, 4096).is_err() && device.reset().is_err(), "{name}");
        }
        drop((device, bar));
        thread.join().unwrap();
    }
}

#[test]
fn an_error_of_the_peer_has_its_name() {
    let (device, thread) = bad_peer("errors", |header, socket| {
        let reply = Header { flags: flag::REPLY | flag::ERROR, error: 12, size: 16, ..*header };
        if header.flags & flag::NO_REPLY == 0 {
            socket.write_all(&reply.to_bytes()).unwrap();
        }
    });
    let error = device.map_dma(0x1000, 4096).err().unwrap().to_string();
    assert!(error.contains("sharing memory with the device") && error.contains("os error 12"), "{error}");
    assert_eq!(device.bar(0).unwrap().read32(0), u32::MAX);
    drop(device);
    thread.join().unwrap();
}

/// The function that the tests serve does what they rely on.
#[test]
fn the_function_of_the_tests_counts_resets() {
    let device = hashgate_pci_sim::InProcess::new(Copier::default());
    device.reset().unwrap();
    assert_eq!(device.nic().resets, 1);
}
