// SPDX-License-Identifier: Apache-2.0
//! The driver's side against a server whose answers are spoilt on their way: an error in bounded time, and no panic.

mod common;

use common::{ID, Served, enable, seed};
use hashgate_device::{PciDevice, Width, config};
use hashgate_vfio_user::{Channel, Message, VfioUser, protocol};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nothing of a test takes that long.
const LONG: Duration = Duration::from_secs(20);

/// What is done to one answer.
#[derive(Clone, Debug)]
enum Mischief {
    Nothing,
    /// It ends there, and the connection with it.
    Cut(usize),
    /// Its bytes are others from there on.
    Bytes(usize, Vec<u8>),
    /// It does not come.
    Silence,
    /// It comes twice.
    Twice,
    /// Something else comes first.
    Before(Vec<u8>),
    /// A file descriptor that nobody asked for comes with it.
    Descriptors(usize),
}

/// What is done to which answer of a connection.
type Plan = (usize, Mischief);

/// Stands between a driver and the server.
struct Middle {
    plans: Option<mpsc::Sender<Plan>>,
    /// Lengths of the answers of a connection, when it has ended.
    lengths: mpsc::Receiver<Vec<usize>>,
    thread: Option<JoinHandle<()>>,
    path: std::path::PathBuf,
}

impl Middle {
    fn new(served: &Served) -> Middle {
        let path = served.path.with_file_name("middle.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (server, (plans, todo), (done, lengths)) = (served.path.clone(), mpsc::channel(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            for plan in todo {
                let driver = listener.accept().unwrap().0;
                done.send(relay(driver, &server, plan)).unwrap();
            }
        });
        Middle { plans: Some(plans), lengths, thread: Some(thread), path }
    }

    /// A driver's life with an answer spoilt: how many of its calls failed, and the lengths of the answers.
    fn drive(&self, plan: Plan, limit: Duration) -> (usize, Vec<usize>) {
        let start = Instant::now();
        self.plans.as_ref().unwrap().send(plan.clone()).unwrap();
        let failed = drive(&self.path, limit);
        let lengths = self
            .lengths
            .recv_timeout(LONG)
            .unwrap_or_else(|error| panic!("{plan:?}: the connection does not end with its driver: {error}"));
        assert!(start.elapsed() < LONG, "{plan:?}");
        (failed, lengths)
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        drop(self.plans.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// The next message, unless the peer has closed.
fn next(channel: &mut Channel) -> Option<Message> {
    let deadline = Instant::now() + LONG;
    loop {
        match channel.receive() {
            Ok(Some(message)) => return Some(message),
            Ok(None) => channel.wait(deadline).expect("nobody waits that long"),
            Err(_) => return None,
        }
    }
}

/// Carries messages between a driver and the server until one of them closes.
fn relay(driver: UnixStream, server: &Path, (spoilt, mischief): Plan) -> Vec<usize> {
    let mut raw = driver.try_clone().unwrap();
    let mut driver = Channel::new(driver).unwrap();
    let mut server = Channel::new(UnixStream::connect(server).unwrap()).unwrap();
    let mut lengths = Vec::new();
    while let Some(message) = next(&mut driver) {
        if message.header.is_reply() {
            // The driver's no to a question that is not the server's.
            continue;
        }
        let fds: Vec<_> = message.fds.iter().map(AsFd::as_fd).collect();
        server.send(message.header, &message.payload, &fds, Instant::now() + LONG).unwrap();
        if message.header.flags & protocol::flag::NO_REPLY != 0 {
            continue;
        }
        let answer = next(&mut server).expect("the server answers");
        let mut bytes = [&answer.header.to_bytes()[..], &answer.payload].concat();
        let length = bytes.len();
        // The driver may be gone already: then there is nobody to be told.
        if lengths.len() == spoilt {
            match &mischief {
                Mischief::Cut(at) => {
                    let _ = raw.write_all(&bytes[..*at]);
                    lengths.push(length);
                    break;
                }
                Mischief::Silence => bytes.clear(),
                Mischief::Nothing => {}
                Mischief::Twice => bytes.extend(bytes.clone()),
                Mischief::Before(noise) => bytes = [noise, &bytes[..]].concat(),
                Mischief::Bytes(at, new) => bytes.iter_mut().skip(*at).zip(new).for_each(|(byte, new)| *byte = *new),
                Mischief::Descriptors(count) => {
                    let fds = vec![raw.as_fd(); *count];
                    let _ = driver.send(answer.header, &answer.payload, &fds, Instant::now() + LONG);
                    bytes.clear();
                }
            }
        }
        let _ = raw.write_all(&bytes);
        lengths.push(length);
    }
    lengths
}

/// One call of each kind; gives how many failed.
fn drive(path: &Path, limit: Duration) -> usize {
    let Ok(device) = VfioUser::connect_within(path, limit) else { return 1 };
    let bits = config::COMMAND_MEMORY | config::COMMAND_BUS_MASTER;
    let mut failed = usize::from(device.config_write(config::COMMAND, Width::Word, bits).is_err());
    failed += usize::from(device.config_read(config::VENDOR, Width::Dword).is_err());
    let bar = device.bar(0);
    match &bar {
        // What the BAR is believed to be is up to the peer.
        Ok(bar) if bar.size() >= 0x1c => {
            bar.write32(0x18, 7);
            failed += usize::from(bar.read32(0) != ID) + usize::from(bar.read32(0x18) != 7);
        }
        _ => failed += 1,
    }
    let memory = device.map_dma(0x10_0000, 8192);
    failed += usize::from(memory.is_err());
    match device.enable_interrupts(2) {
        Ok(interrupts) => failed += usize::from(interrupts[1].wait(Duration::ZERO) != 0),
        Err(_) => failed += 1,
    }
    failed += usize::from(device.reset().is_err());
    drop(memory);
    failed + usize::from(device.config_read(config::DEVICE, Width::Word).is_err())
}

#[test]
fn the_server_may_close_at_any_byte_of_any_answer() {
    let served = Served::new("answers-cut");
    let middle = Middle::new(&served);
    let (failed, lengths) = middle.drive((0, Mischief::Nothing), LONG);
    assert_eq!(failed, 0);
    assert!(lengths.len() > 12, "{lengths:?}");
    for (answer, length) in lengths.iter().enumerate() {
        for cut in 0..*length {
            let start = Instant::now();
            let (failed, _) = middle.drive((answer, Mischief::Cut(cut)), LONG);
            assert!(failed > 0, "answer {answer} of {length} bytes, cut at {cut}");
            assert!(
                start.elapsed() < LONG / 2,
                "answer {answer} of {length} bytes, cut at {cut}: the driver waits for what cannot come"
            );
        }
    }
}

#[test]
fn whatever_the_server_answers_the_driver_goes_on_or_gives_up() {
    let served = Served::new("answers-fuzz");
    let middle = Middle::new(&served);
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let (_, lengths) = middle.drive((0, Mischief::Nothing), LONG);
    let mut spoilt = 0;
    for round in 0..1500 {
        let answer = random.random_range(0..lengths.len());
        let length = lengths[answer];
        let mischief = match random.random_range(0..16) {
            0..4 => Mischief::Bytes(random.random_range(0..length), vec![random.random()]),
            4..8 => {
                // A field with an extreme value.
                let values = [0, 1, 15, 16, 17, 0x7fff_ffff, 0x8000_0000, u32::MAX, u32::MAX - 15];
                let value: u32 = values[random.random_range(0..values.len())];
                Mischief::Bytes(random.random_range(0..length / 4) * 4, value.to_le_bytes().to_vec())
            }
            8..11 => {
                let noise = (0..length).map(|_| random.random()).collect();
                Mischief::Bytes(if random.random() { 0 } else { 16.min(length - 1) }, noise)
            }
            11 => Mischief::Twice,
            12 => {
                // Another answer, or a question, or none of them.
                let header = protocol::Header {
                    id: random.random_range(0..20),
                    command: random.random_range(0..16),
                    size: 16,
                    flags: [0, 1, 0x10, 0x21, 2, 0xf][random.random_range(0..6)],
                    error: random.random_range(0..3),
                };
                Mischief::Before(header.to_bytes().repeat(random.random_range(1..80)))
            }
            13 => Mischief::Before((0..random.random_range(1..100)).map(|_| random.random()).collect()),
            14 => Mischief::Descriptors(random.random_range(1..=hashgate_vfio_user::MAX_FDS)),
            _ if random.random_range(0..4) == 0 => Mischief::Silence,
            _ => Mischief::Cut(random.random_range(0..length)),
        };
        let (failed, _) = middle.drive((answer, mischief), Duration::from_millis(10));
        spoilt += usize::from(failed > 0);
        if round % 500 == 0 {
            assert_eq!(middle.drive((0, Mischief::Nothing), LONG).0, 0, "round {round}");
        }
    }
    assert!(spoilt > 200, "{spoilt} drivers noticed something");
}

#[test]
fn a_server_that_does_not_accept_is_not_waited_for() {
    let path = std::env::temp_dir().join(format!("hashgate-backlog-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let start = Instant::now();
    // Who has a place waits for the version, who has none not even for that.
    let first = UnixStream::connect(&path).unwrap();
    let error = VfioUser::connect(&path).err().unwrap().to_string();
    assert!(error.contains("does not accept connections"), "{error}");
    drop(first);
    assert!(start.elapsed() < LONG);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn the_driver_and_the_one_between_see_the_same_device() {
    let served = Served::new("answers-same");
    let middle = Middle::new(&served);
    middle.plans.as_ref().unwrap().send((0, Mischief::Nothing)).unwrap();
    let device = VfioUser::connect(&middle.path).unwrap();
    enable(&device);
    assert_eq!(device.bar(0).unwrap().read32(0), ID);
    drop(device);
    assert!(!middle.lengths.recv_timeout(LONG).unwrap().is_empty());
}
