// SPDX-License-Identifier: Apache-2.0
//! Two network namespaces of the test's own: a client at the wire, and the host of the NIC.

use super::{PATIENCE, wait_for};
use hashgate_netdev::Tap;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Interface of the client, whose other end is the wire.
pub const WIRE: &str = "wire0";
/// TAP device of the host.
pub const TAP: &str = "hg0";
/// The host's address.
pub const HOST: &str = "10.9.0.1";
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The namespaces; gone when this is dropped.
pub struct Net {
    pub client: String,
    pub host: String,
}

fn ip_works(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}

impl Net {
    /// Makes them; says why if that is not possible.
    pub fn new() -> Option<Net> {
        if !std::path::Path::new("/dev/net/tun").exists() {
            println!("skipped: there is no /dev/net/tun");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |part: &str| format!("hg{}-{number}{part}", std::process::id());
        let net = Net { client: name("c"), host: name("h") };
        if ![&net.client, &net.host].into_iter().all(|name| ip_works(&["netns", "add", name])) {
            println!("skipped: network namespaces need the program ip and CAP_SYS_ADMIN");
            return None;
        }
        for name in [&net.client, &net.host] {
            // No frames that no test has asked for; a kernel without IPv6 sends none anyway.
            let _ = inside(name, || std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"));
        }
        Some(net)
    }

    /// The wire's end of the interface of the client.
    pub fn wire(&self, mtu: u16) -> Tap {
        let wire = inside(&self.client, || Tap::open(WIRE, false).unwrap());
        ip(&self.client, &format!("link set {WIRE} mtu {mtu} up"));
        ip(&self.client, &format!("addr add 10.9.0.2/24 dev {WIRE}"));
        wire
    }

    /// Gives the TAP device of the host its address.
    pub fn address(&self) {
        ip(&self.host, &format!("addr add {HOST}/24 dev {TAP}"));
        ip(&self.host, &format!("link set {TAP} up"));
    }

    /// The host has an interface of this name.
    pub fn has(&self, name: &str) -> bool {
        ip_works(&["-n", &self.host, "link", "show", name])
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in [&self.client, &self.host] {
            ip_works(&["netns", "del", name]);
        }
    }
}

/// Runs `ip` in a namespace.
pub fn ip(namespace: &str, arguments: &str) {
    let mut all = vec!["-n", namespace];
    all.extend(arguments.split(' '));
    assert!(ip_works(&all), "ip {all:?}");
}

/// Does something in a namespace, on a thread of its own. What is opened there stays there.
pub fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Echo requests of `bytes` bytes, one after the other; fails if one has no answer after three tries.
pub fn ping(net: &Net, count: u16, bytes: usize) {
    use rustix::net::{AddressFamily, SocketType, ipproto, socket};
    let socket = inside(&net.client, || {
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
        let fd: OwnedFd = socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP)).unwrap();
        UdpSocket::from(fd)
    });
    socket.connect((HOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    for number in 0..count {
        let mut request = [&[8, 0, 0, 0, 0, 0][..], &number.to_be_bytes()].concat();
        request.resize(8 + bytes, number as u8);
        let answered = (0..3).any(|_| {
            socket.send(&request).unwrap();
            let mut answer = vec![0; 10_000];
            let length = socket.recv(&mut answer).unwrap_or(0);
            length == request.len() && answer[0] == 0 && answer[6..length] == request[6..]
        });
        assert!(answered, "echo request {number} of {bytes} bytes has no answer");
    }
}

/// A program of the host: answers each line with as many bytes as it asks for.
pub struct Server {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What it says: byte `n` of an answer.
fn byte(n: usize) -> u8 {
    (n * 31 + n / 251) as u8
}

fn serve_client(mut client: TcpStream) {
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = Vec::new();
    let mut one = [0];
    while matches!(client.read(&mut one), Ok(1)) {
        line.push(one[0]);
        if one[0] == b'\n' {
            let Some(count) = std::str::from_utf8(&line).ok().and_then(|text| text.trim().parse::<usize>().ok()) else {
                return;
            };
            let answer: Vec<u8> = (0..count.min(16 << 20)).map(byte).collect();
            if client.write_all(&answer).is_err() {
                return;
            }
            line.clear();
        }
    }
}

impl Server {
    /// Answers by TCP, and by UDP with what it got.
    pub fn new(net: &Net) -> Server {
        let (listener, udp) = inside(&net.host, || {
            let listener = TcpListener::bind((HOST, 0)).unwrap();
            let udp = UdpSocket::bind(listener.local_addr().unwrap()).unwrap();
            (listener, udp)
        });
        let address = listener.local_addr().unwrap();
        let stop: Arc<AtomicBool> = Arc::default();
        listener.set_nonblocking(true).unwrap();
        udp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let tcp = {
            let stop = stop.clone();
            move || {
                while !stop.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((client, _)) => {
                            client.set_nonblocking(false).unwrap();
                            std::thread::spawn(move || serve_client(client));
                        }
                        Err(_) => std::thread::sleep(Duration::from_millis(5)),
                    }
                }
            }
        };
        let echo = {
            let stop = stop.clone();
            move || {
                let mut buffer = [0; 9000];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = udp.recv_from(&mut buffer) {
                        udp.send_to(&buffer[..length], from).unwrap();
                    }
                }
            }
        };
        Server { address, stop, threads: vec![std::thread::spawn(tcp), std::thread::spawn(echo)] }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A connection of the client to the server.
pub fn connect(net: &Net, server: &Server) -> TcpStream {
    let stream = inside(&net.client, || TcpStream::connect_timeout(&server.address, PATIENCE).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks for so many bytes, and gets them.
pub fn ask(stream: &mut TcpStream, bytes: usize) {
    stream.write_all(format!("{bytes}\n").as_bytes()).unwrap();
    let mut answer = vec![0; bytes];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.iter().enumerate().all(|(n, got)| *got == byte(n)), "the answer is what was sent");
}

/// Datagrams that come back; at most `WINDOW` on the way at any time.
pub struct Echo {
    socket: UdpSocket,
    next: u32,
    open: Vec<u32>,
}

const WINDOW: usize = 8;

impl Echo {
    pub fn new(net: &Net, server: &Server) -> Echo {
        let socket = inside(&net.client, || UdpSocket::bind("10.9.0.2:0").unwrap());
        socket.connect(server.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Echo { socket, next: 0, open: Vec::new() }
    }

    /// Sends `count` datagrams of different lengths and gets them back; fails if one is lost, changed or comes twice.
    pub fn run(&mut self, count: u32) {
        let end = self.next + count;
        let data = |n: u32| -> Vec<u8> {
            let mut data = n.to_be_bytes().to_vec();
            data.resize(4 + n as usize * 97 % 1400, n as u8);
            data
        };
        while self.next < end || !self.open.is_empty() {
            while self.next < end && self.open.len() < WINDOW {
                self.socket.send(&data(self.next)).unwrap();
                self.open.push(self.next);
                self.next += 1;
            }
            let mut buffer = [0; 9000];
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{:?} lost: {error}", self.open));
            let n = u32::from_be_bytes(*buffer.first_chunk().unwrap());
            assert_eq!(buffer[..length], data(n));
            let place = self.open.iter().position(|open| *open == n).unwrap_or_else(|| panic!("{n} came twice"));
            self.open.swap_remove(place);
        }
    }
}

/// Waits until the path from the client to the host is open.
pub fn wait_open(net: &Net, server: &Server) {
    let end = Instant::now() + PATIENCE;
    wait_for("the way to the host", || {
        let connected = inside(&net.client, || TcpStream::connect_timeout(&server.address, Duration::from_secs(2)));
        assert!(Instant::now() < end);
        connected.ok().map(|mut stream| ask(&mut stream, 10))
    });
}
