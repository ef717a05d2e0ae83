// SPDX-License-Identifier: Apache-2.0
//! Constrained-random frames: mostly for the VIPs and port rules of given tables, in every shape that the dataplane
//! tells apart, and with every defect it names.

use crate::builder::{
    ACK, Arp, Built, CTAG, Extension, FIN, Frame, HEARTBEAT, Icmp, Ip4, Ip6, MIN_FRAME, Payload, RST, STAG, SYN, Tcp,
    Udp, Upper, fix_ip4_checksum,
};
use crate::tables::{ip4, ip6, multicast, unicast};
use hashgate_model::{Bindings, State, decide};
use hashgate_regs::defs::VipKind;
use hashgate_tables::{Limits, Mac, MatchSlot, Tables, Vip};
use rand::seq::{IndexedMutRandom, IndexedRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest frame in bytes without FCS.
pub const MAX_FRAME: usize = 9022;
/// Bytes that a NIC's parser sees.
const WINDOW: usize = 128;

/// What kind of packet a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, embedded in nothing.
    Tcp,
    /// UDP.
    Udp,
    /// GRE.
    Gre,
    /// ESP.
    Esp,
    /// AH.
    Ah,
    /// ICMP error about a balanced connection, complete enough to be keyed.
    IcmpError,
    /// Any other ICMP or ICMPv6 but neighbour discovery.
    Icmp,
    /// Neighbour discovery.
    Discovery,
    /// IP of a protocol that is not balanced.
    Other,
    /// ARP.
    Arp,
    /// Heartbeat.
    Heartbeat,
    /// Another EtherType.
    NotIp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 12] = [
        Protocol::Tcp,
        Protocol::Udp,
        Protocol::Gre,
        Protocol::Esp,
        Protocol::Ah,
        Protocol::IcmpError,
        Protocol::Icmp,
        Protocol::Discovery,
        Protocol::Other,
        Protocol::Arp,
        Protocol::Heartbeat,
        Protocol::NotIp,
    ];
}

/// IP version of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Not IP.
    None,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Defect {
    /// The MAC's error mark.
    FrameError,
    /// Shorter than 60 bytes.
    Runt,
    /// Longer than 9022 bytes.
    Oversize,
    /// Shorter than its IP header says.
    Truncated,
    /// A destination MAC that is probably not accepted.
    NotMyMac,
    /// Three or four VLAN tags.
    VlanTooDeep,
    /// IPv4 with another version.
    Ip4Version,
    /// IHL below 5.
    Ip4HeaderLength,
    /// Total length shorter than the header.
    Ip4TotalLength,
    /// Wrong header checksum.
    Ip4Checksum,
    /// IPv6 with another version.
    Ip6Version,
    /// An extension header longer than the payload.
    Ip6Extension,
    /// Payload shorter than the layer-4 header.
    L4Truncated,
    /// TCP data offset below 5 or beyond the payload.
    TcpDataOffset,
    /// SYN and FIN.
    TcpSynFin,
    /// SYN and RST.
    TcpSynRst,
    /// UDP length below 8 or beyond the payload.
    UdpLength,
}

impl Defect {
    /// All of them.
    pub const ALL: [Defect; 17] = [
        Defect::FrameError,
        Defect::Runt,
        Defect::Oversize,
        Defect::Truncated,
        Defect::NotMyMac,
        Defect::VlanTooDeep,
        Defect::Ip4Version,
        Defect::Ip4HeaderLength,
        Defect::Ip4TotalLength,
        Defect::Ip4Checksum,
        Defect::Ip6Version,
        Defect::Ip6Extension,
        Defect::L4Truncated,
        Defect::TcpDataOffset,
        Defect::TcpSynFin,
        Defect::TcpSynRst,
        Defect::UdpLength,
    ];

    /// Whether a packet of this kind can have it.
    pub fn applies(self, protocol: Protocol, version: Version) -> bool {
        match self {
            Defect::FrameError | Defect::Runt | Defect::Oversize | Defect::NotMyMac | Defect::VlanTooDeep => true,
            Defect::Truncated => version != Version::None,
            Defect::Ip4Version | Defect::Ip4HeaderLength | Defect::Ip4TotalLength | Defect::Ip4Checksum => {
                version == Version::V4
            }
            Defect::Ip6Version | Defect::Ip6Extension => version == Version::V6,
            Defect::L4Truncated => version != Version::None && protocol != Protocol::Other,
            Defect::TcpDataOffset | Defect::TcpSynFin | Defect::TcpSynRst => protocol == Protocol::Tcp,
            Defect::UdpLength => protocol == Protocol::Udp,
        }
    }

    /// Whether it is one of layer 3 or 4, which later fragments and long header chains would hide.
    fn needs_headers(self) -> bool {
        matches!(
            self,
            Defect::Ip6Extension
                | Defect::L4Truncated
                | Defect::TcpDataOffset
                | Defect::TcpSynFin
                | Defect::TcpSynRst
                | Defect::UdpLength
        )
    }
}

/// Most sessions that a generator keeps.
const SESSIONS: usize = 24;

/// What a random frame is, for coverage and for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What {
    /// Kind of packet.
    pub protocol: Protocol,
    /// IP version.
    pub version: Version,
    /// VLAN tags; 3 stands for more.
    pub tags: u8,
    /// What is wrong with it.
    pub defect: Option<Defect>,
}

/// A random frame as it comes from the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Wire port.
    pub port: u8,
    /// The frame, without FCS.
    pub frame: Vec<u8>,
    /// The MAC's error mark.
    pub error: bool,
    /// What it is.
    pub what: What,
}

/// What a frame of the host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostKind {
    /// Anything but what follows.
    Data,
    /// ARP.
    Arp,
    /// Router solicitation, neighbour solicitation or advertisement.
    Discovery,
    /// Heartbeat.
    Heartbeat,
}

/// A random frame as the host sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromHost {
    /// On the control stream.
    pub control: bool,
    /// Wire port.
    pub port: u8,
    /// The frame, without FCS.
    pub frame: Vec<u8>,
    /// What it was before it was perhaps cut or stretched.
    pub kind: HostKind,
}

/// How frames are mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Wire ports.
    pub ports: u8,
    /// Share of frames with a defect.
    pub defects: f64,
    /// Share of frames longer than 1518 bytes, apart from oversize ones.
    pub jumbo: f64,
    /// Share of balanced packets and ICMP that belong to sessions that come back.
    pub sessions: f64,
}

impl Profile {
    /// Everything, with a third of the frames defective.
    pub fn mixed(ports: u8) -> Profile {
        Profile { ports, defects: 0.33, jumbo: 0.003, sessions: 0.9 }
    }
    /// Frames without defects.
    pub fn good(ports: u8) -> Profile {
        Profile { ports, defects: 0.0, jumbo: 0.003, sessions: 0.9 }
    }
}

/// Makes random frames. The same seed, tables and profile give the same frames.
#[derive(Clone, Debug)]
pub struct Generator {
    rng: ChaCha8Rng,
    tables: Tables,
    profile: Profile,
    sessions: Vec<Session>,
    aims: Vec<(Protocol, Version, u8)>,
}

/// A client's session with a VIP, for packets in any order: openings, data, ends, errors and fragments, again and again.
#[derive(Clone, Debug)]
struct Session {
    place: Place,
    peer: Peer,
}

/// The client's side of a session.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// A balanced one.
    protocol: Protocol,
    source: IpAddr,
    source_port: u16,
    destination_port: u16,
}

/// A port, VLAN and destination address that belong together.
#[derive(Clone, Debug)]
struct Place {
    port: u8,
    tags: Vec<(u16, u16)>,
    destination: IpAddr,
    /// VIP id, if it is one.
    vip: Option<u16>,
}

/// Layer 3 without addresses and payload.
struct Shape {
    first_fragment: bool,
    later_fragment: bool,
    options: usize,
    extensions: Vec<Extension>,
}

impl Session {
    fn version(&self) -> Version {
        if self.peer.source.is_ipv4() { Version::V4 } else { Version::V6 }
    }
}

impl Shape {
    fn plain() -> Shape {
        Shape { first_fragment: false, later_fragment: false, options: 0, extensions: Vec::new() }
    }
}

impl Generator {
    /// A generator of frames for `tables`.
    pub fn new(seed: u64, tables: &Tables, profile: Profile) -> Generator {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Generator { rng, tables: tables.clone(), profile, sessions: Vec::new(), aims: Vec::new() }
    }

    /// Goes on with other tables, and with the sessions whose VIPs they still have.
    pub fn set_tables(&mut self, tables: &Tables) {
        self.tables = tables.clone();
        let Generator { tables, sessions, .. } = self;
        sessions.retain(|Session { place, .. }| {
            let outer = place.tags.first().map_or(0, |tag| tag.1 & 0xfff);
            let zone = tables.zones.get(&(place.port, outer)).copied().unwrap_or(0);
            tables.vips.iter().any(|v| v.kind == VipKind::Vip && v.zone == zone && v.addr == place.destination)
        });
    }

    /// From now on three of five frames are of one of these kinds: protocol, IP version, VLAN tags. None: as the profile has it.
    pub fn aim(&mut self, kinds: Vec<(Protocol, Version, u8)>) {
        self.aims = kinds;
    }

    /// The generator's source of random numbers, for choices that belong to the same seed.
    pub fn rng(&mut self) -> &mut impl Rng {
        &mut self.rng
    }

    /// The next frame from the wire.
    pub fn frame(&mut self) -> Generated {
        let aim = if self.rng.random_bool(0.6) { self.aims.choose(&mut self.rng).copied() } else { None };
        let protocol = aim.map_or_else(|| self.protocol(), |aim| aim.0);
        let fits = |session: &Session| {
            aim.is_none_or(|(_, version, tags)| {
                session.version() == version && session.place.tags.len() == usize::from(tags)
            })
        };
        let session = self.session(protocol).filter(fits);
        let version = match (aim, &session, protocol) {
            (Some((_, version, _)), _, _) => version,
            (_, Some(session), _) => session.version(),
            (_, None, Protocol::Arp | Protocol::Heartbeat | Protocol::NotIp) => Version::None,
            (_, None, Protocol::Discovery) => Version::V6,
            _ if self.rng.random() => Version::V4,
            _ => Version::V6,
        };
        let defect = self.rng.random_bool(self.profile.defects).then(|| {
            let possible: Vec<Defect> = Defect::ALL.into_iter().filter(|d| d.applies(protocol, version)).collect();
            let drawn = *possible.choose(&mut self.rng).expect("some defects apply to all frames");
            // Oversize frames take as long as a hundred others.
            if drawn == Defect::Oversize && self.rng.random() { Defect::FrameError } else { drawn }
        });
        let (place, peer) = match session {
            Some(Session { place, peer }) => (place, Some(peer)),
            None => (self.place_with(protocol, version, aim.map(|aim| aim.2.into())), None),
        };
        let (mut built, protocol) = self.packet(protocol, version, defect, &place, peer);
        if self.rng.random_bool(0.1) {
            // Bytes behind the packet, as from a link that pads.
            let trailer = self.rng.random_range(1..30);
            let padding = self.bytes(trailer);
            built.bytes.extend(padding);
        }
        let mut frame = built.bytes;
        frame.resize(frame.len().max(MIN_FRAME), 0);
        let mut tags = place.tags.len();
        let mut error = false;
        match defect {
            Some(Defect::FrameError) => error = true,
            Some(Defect::Runt) => frame.truncate(self.rng.random_range(0..MIN_FRAME)),
            Some(Defect::Oversize) => {
                let length = if self.rng.random_bool(0.3) { MAX_FRAME + 1 } else { self.rng.random_range(9023..9101) };
                frame.resize(length, 0xee);
            }
            Some(Defect::Truncated) => self.truncate(&mut frame, built.l3, version),
            Some(Defect::VlanTooDeep) => {
                for _ in 0..self.rng.random_range(3 - tags.min(2)..=4 - tags.min(2)) {
                    let tag = [self.tpid(), self.rng.random()].map(u16::to_be_bytes).concat();
                    frame.splice(12..12, tag);
                }
                tags = 3;
            }
            _ => {}
        }
        if defect != Some(Defect::Oversize) {
            frame.truncate(MAX_FRAME);
        }
        let what = What { protocol, version, tags: tags as u8, defect };
        Generated { port: place.port, frame, error, what }
    }

    /// The next frame from the host.
    pub fn host_frame(&mut self) -> FromHost {
        let kind = *[
            HostKind::Data,
            HostKind::Arp,
            HostKind::Discovery,
            HostKind::Discovery,
            HostKind::Discovery,
            HostKind::Heartbeat,
        ]
        .choose(&mut self.rng)
        .expect("not empty");
        let version = if kind == HostKind::Arp || self.rng.random() { Version::V4 } else { Version::V6 };
        let version = if kind == HostKind::Discovery { Version::V6 } else { version };
        let mut place = self.place(Protocol::Tcp, version);
        if self.rng.random_bool(0.1) {
            place.tags.push((CTAG, 5));
        }
        let settings = &self.tables.settings;
        let sources = [settings.station_mac, settings.cluster_mac, settings.mask_mac];
        let source = *sources.choose(&mut self.rng).expect("not empty");
        let payload = match kind {
            HostKind::Data => {
                let upper = self.upper(Protocol::Udp, version, &place, None);
                self.ip(place.destination, None, upper, &Shape::plain(), true)
            }
            HostKind::Arp => Payload::Arp(self.arp(Some(&place))),
            HostKind::Discovery => self.discovery(Some(place.destination)),
            HostKind::Heartbeat => {
                let length = self.rng.random_range(0..1500);
                Payload::Raw(HEARTBEAT, self.bytes(length))
            }
        };
        let frame = Frame { destination: unicast(&mut self.rng), source, tags: place.tags, payload };
        let mut bytes = frame.build().bytes;
        match self.rng.random_range(0..60) {
            0..2 => bytes.truncate(self.rng.random_range(1..14)),
            2..6 => bytes.truncate(self.rng.random_range(14..bytes.len().max(15))),
            6 => bytes.resize(self.rng.random_range(9023..9101), 0x77),
            7 => bytes.resize(self.rng.random_range(9000..=MAX_FRAME), 0x77),
            8..12 if bytes.len() > 40 => {
                let at = self.rng.random_range(12..bytes.len().min(WINDOW));
                bytes[at] ^= 1 << self.rng.random_range(0..8);
            }
            _ => {}
        }
        let control = if kind == HostKind::Data { self.rng.random_bool(0.1) } else { self.rng.random_bool(0.8) };
        FromHost { control, port: place.port, frame: bytes, kind }
    }

    fn protocol(&mut self) -> Protocol {
        use Protocol::*;
        let weighted = [
            (Tcp, 20),
            (Udp, 16),
            (Gre, 10),
            (Esp, 9),
            (Ah, 9),
            (IcmpError, 13),
            (Icmp, 9),
            (Discovery, 4),
            (Other, 6),
            (Arp, 2),
            (Heartbeat, 2),
            (NotIp, 2),
        ];
        weighted.choose_weighted(&mut self.rng, |w| w.1).expect("weights").0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.rng.fill(&mut bytes[..]);
        bytes
    }

    /// A payload: mostly short, sometimes up to what a standard or a jumbo frame holds.
    fn payload(&mut self) -> Vec<u8> {
        let length = if self.rng.random_bool(self.profile.jumbo) {
            self.rng.random_range(1400..8850)
        } else {
            match self.rng.random_range(0..100) {
                0..70 => self.rng.random_range(0..50),
                70..94 => self.rng.random_range(50..300),
                _ => self.rng.random_range(300..1400),
            }
        };
        self.bytes(length)
    }

    fn tpid(&mut self) -> u16 {
        if self.rng.random_bool(0.7) { CTAG } else { STAG }
    }

    /// The session that a packet of this kind belongs to, if it is to belong to one; now and then a new one.
    fn session(&mut self, protocol: Protocol) -> Option<Session> {
        use Protocol::*;
        let any = matches!(protocol, IcmpError | Icmp);
        if !any && !matches!(protocol, Tcp | Udp | Gre | Esp | Ah) || !self.rng.random_bool(self.profile.sessions) {
            return None;
        }
        let none = !self.sessions.iter().any(|s| s.peer.protocol == protocol);
        if !any && (none || self.rng.random_bool(0.04)) {
            let new = self.new_session(protocol)?;
            if self.sessions.len() < SESSIONS {
                self.sessions.push(new);
            } else {
                *self.sessions.choose_mut(&mut self.rng).expect("not empty") = new;
            }
        }
        let known: Vec<&Session> = self.sessions.iter().filter(|s| any || s.peer.protocol == protocol).collect();
        known.choose(&mut self.rng).map(|session| (*session).clone())
    }

    /// Whether a session gets a binding by the tables as they are.
    fn gets_binding(&self, session: &Session) -> bool {
        let Session { place, peer } = session;
        let Peer { protocol, source, source_port, destination_port } = *peer;
        let upper = match protocol {
            Protocol::Tcp => {
                Upper::Tcp(Tcp { source_port, destination_port, flags: SYN, options: Vec::new(), payload: Vec::new() })
            }
            Protocol::Udp => Upper::Udp(Udp { source_port, destination_port, payload: Vec::new() }),
            Protocol::Gre => Upper::gre(&[]),
            Protocol::Esp => Upper::esp(0, &[]),
            _ => Upper::ah(17, 0, &[]),
        };
        let payload = match (source, place.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Payload::Ip4(Ip4::new(source, destination, upper)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Payload::Ip6(Ip6::new(source, destination, upper)),
            _ => return false,
        };
        let tags = place.tags.clone();
        let frame = Frame { destination: self.tables.settings.station_mac, source: Mac::ZERO, tags, payload }.padded();
        let state = State { ready: true, enabled: true, lease_ok: true };
        let bindings = Bindings::default();
        let decision = decide(&self.tables, &Limits::default(), &state, &bindings, place.port, &frame, false);
        decision.needs_room().contains(&true)
    }

    /// A session, mostly one that gets bindings; `None` if no VIP was found for it.
    fn new_session(&mut self, protocol: Protocol) -> Option<Session> {
        let any = self.rng.random_bool(0.25);
        let mut made = None;
        for _ in 0..8 {
            made = self.any_session(protocol);
            if made.as_ref().is_some_and(|session| any || self.gets_binding(session)) {
                break;
            }
        }
        made
    }

    /// A session of a new client or of one that has another; `None` if no VIP was found for it.
    fn any_session(&mut self, protocol: Protocol) -> Option<Session> {
        let version = if self.rng.random() { Version::V4 } else { Version::V6 };
        let place = (0..8).map(|_| self.place(protocol, version)).find(|place| place.vip.is_some())?;
        let clients: Vec<IpAddr> =
            self.sessions.iter().filter(|s| s.version() == version).map(|s| s.peer.source).collect();
        let source = match clients.choose(&mut self.rng).copied() {
            Some(client) if self.rng.random_bool(0.85) => client,
            _ if version == Version::V4 => ip4(&mut self.rng).into(),
            _ => ip6(&mut self.rng).into(),
        };
        let destination_port = self.service(place.vip, protocol == Protocol::Tcp);
        Some(Session { place, peer: Peer { protocol, source, source_port: self.rng.random(), destination_port } })
    }

    fn zone(&self, port: u8, vlan: u16) -> u8 {
        self.tables.zones.get(&(port, vlan)).copied().unwrap_or(0)
    }

    fn place(&mut self, protocol: Protocol, version: Version) -> Place {
        self.place_with(protocol, version, None)
    }

    /// A place with that many VLAN tags, two at most, or any number.
    fn place_with(&mut self, protocol: Protocol, version: Version, tags: Option<usize>) -> Place {
        let port = self.rng.random_range(0..self.profile.ports);
        let count = tags.map_or_else(|| self.rng.random_range(0..3), |tags| tags.min(2));
        // An outer VLAN that has an entry, is none, or is any.
        let vlans: Vec<u16> = self.tables.zones.keys().filter(|z| z.0 == port).map(|z| z.1).collect();
        let vlan = match (count, self.rng.random_range(0..10)) {
            (0, _) => 0,
            (_, 0) => self.rng.random_range(0..4096),
            _ => vlans.choose(&mut self.rng).copied().unwrap_or(0),
        };
        let tags = (0..count)
            .map(|n| {
                let id = if n == 0 { vlan } else { self.rng.random_range(0..4096) };
                (self.tpid(), id | self.rng.random_range(0..16) << 12)
            })
            .collect();
        let zone = self.zone(port, vlan);
        let v6 = version == Version::V6;
        let known: Vec<Vip> = self.tables.vips.iter().filter(|v| v.addr.is_ipv6() == v6).copied().collect();
        let random = |rng: &mut ChaCha8Rng| if v6 { IpAddr::V6(ip6(rng)) } else { IpAddr::V4(ip4(rng)) };
        let choice = if protocol == Protocol::Discovery { 99 } else { self.rng.random_range(0..100) };
        let vip = match choice {
            0..64 => known.iter().filter(|v| v.zone == zone && v.kind == VipKind::Vip).collect::<Vec<_>>(),
            64..75 => known.iter().filter(|v| v.zone == zone && v.kind == VipKind::Dedicated).collect(),
            75..79 => known.iter().collect(),
            _ => Vec::new(),
        }
        .choose(&mut self.rng)
        .copied();
        let destination = match vip {
            Some(vip) => vip.addr,
            None if choice >= 94 => match (v6, self.rng.random_bool(0.3)) {
                (false, true) => Ipv4Addr::BROADCAST.into(),
                (false, false) => Ipv4Addr::from_bits(0xe000_0000 | self.rng.random::<u32>() >> 4).into(),
                (true, _) => Ipv6Addr::from_bits(0xff << 120 | self.rng.random::<u128>() >> 8).into(),
            },
            None => random(&mut self.rng),
        };
        let vip = vip.filter(|v| v.kind == VipKind::Vip).map(|v| v.id);
        Place { port, tags, destination, vip }
    }

    fn destination_mac(&mut self, defect: Option<Defect>) -> Mac {
        if defect == Some(Defect::NotMyMac) {
            return if self.rng.random() { unicast(&mut self.rng) } else { multicast(&mut self.rng) };
        }
        let settings = &self.tables.settings;
        let joined: Vec<Mac> = self.tables.multicast.iter().copied().collect();
        match self.rng.random_range(0..10) {
            0..4 => settings.station_mac,
            4..8 => settings.cluster_mac,
            8 => joined.choose(&mut self.rng).copied().unwrap_or(Mac::BROADCAST),
            _ => Mac::BROADCAST,
        }
    }

    /// A packet of the wanted kind in a frame; its kind may come out as plain ICMP.
    fn packet(
        &mut self,
        protocol: Protocol,
        version: Version,
        defect: Option<Defect>,
        place: &Place,
        peer: Option<Peer>,
    ) -> (Built, Protocol) {
        let mut label = protocol;
        let mut upper = None;
        let payload = match protocol {
            Protocol::Arp => Payload::Arp(self.arp(None)),
            Protocol::Heartbeat => Payload::Raw(HEARTBEAT, self.payload()),
            Protocol::NotIp => {
                let types = [0x88cc, 0x8847, 0x0800 - 1, 0x9100, 0x0100, 0x86de, 0x8870, 0x0807];
                Payload::Raw(*types.choose(&mut self.rng).expect("not empty"), self.payload())
            }
            Protocol::Discovery if defect != Some(Defect::L4Truncated) && defect != Some(Defect::Ip6Extension) => {
                self.discovery(None)
            }
            _ => {
                let mut shape = self.shape(protocol, version, defect, place.tags.len());
                let mut inside = self.upper(protocol, version, place, peer);
                if defect == Some(Defect::L4Truncated) {
                    inside = self.cut(inside, place.destination);
                }
                if shape.later_fragment {
                    let length = self.rng.random_range(1..80);
                    inside = Upper::Raw(inside.protocol(version == Version::V6), self.bytes(length));
                    if matches!(protocol, Protocol::IcmpError | Protocol::Icmp) {
                        label = Protocol::Icmp;
                    }
                }
                if protocol == Protocol::Discovery {
                    shape.first_fragment = false;
                }
                // Errors come from routers.
                let source = peer.filter(|_| protocol != Protocol::IcmpError).map(|peer| peer.source);
                let ip = self.ip(place.destination, source, inside.clone(), &shape, protocol == Protocol::Discovery);
                upper = Some(inside);
                ip
            }
        };
        let frame = Frame {
            destination: self.destination_mac(defect),
            source: unicast(&mut self.rng),
            tags: place.tags.clone(),
            payload,
        };
        let mut built = frame.build();
        if label == Protocol::IcmpError && !keyable(&built, upper.as_ref()) {
            label = Protocol::Icmp;
        }
        self.spoil(&mut built, defect);
        (built, label)
    }

    /// Fragments, options and extension headers.
    fn shape(&mut self, protocol: Protocol, version: Version, defect: Option<Defect>, tags: usize) -> Shape {
        let mut shape = Shape::plain();
        let headers_matter = defect.is_some_and(Defect::needs_headers) || protocol == Protocol::Discovery;
        let later = if matches!(protocol, Protocol::Tcp | Protocol::Udp) { 28 } else { 16 };
        match self.rng.random_range(0..100) {
            0..8 => shape.first_fragment = true,
            8.. if self.rng.random_range(0..100) < later && !headers_matter => shape.later_fragment = true,
            _ => {}
        }
        if version == Version::V4 {
            if self.rng.random_bool(0.15) {
                shape.options = self.rng.random_range(1..=40);
            }
            return shape;
        }
        let option = |rng: &mut ChaCha8Rng, units| match rng.random_range(0..3) {
            0 => Extension::HopByHop(units),
            1 => Extension::Routing(units),
            _ => Extension::Destination(units),
        };
        let beyond = !headers_matter && self.rng.random_bool(if protocol == Protocol::Other { 0.4 } else { 0.18 });
        if beyond {
            // Too many, or too long together.
            if self.rng.random() {
                let last = self.rng.random_range(8..11);
                shape.extensions = (0..last).map(|_| option(&mut self.rng, 0)).collect();
            } else {
                let before = self.rng.random_range(0..3);
                shape.extensions = (0..before).map(|_| option(&mut self.rng, 0)).collect();
                let units = self.rng.random_range(7..14);
                shape.extensions.push(option(&mut self.rng, units));
                for _ in 0..self.rng.random_range(0..3) {
                    shape.extensions.push(option(&mut self.rng, 0));
                }
            }
            shape.later_fragment = false;
        } else if self.rng.random_bool(0.25) {
            // Room for a TCP header within the window: 128 - 14 - 54 - tags, less the fragment header.
            let mut room = 52 - 4 * tags;
            for _ in 0..self.rng.random_range(1..=3) {
                let units = self.rng.random_range(0..3);
                let extension = option(&mut self.rng, units);
                if extension.bytes_len() <= room {
                    room -= extension.bytes_len();
                    shape.extensions.push(extension);
                }
            }
        }
        if defect == Some(Defect::Ip6Extension) && shape.extensions.is_empty() {
            shape.extensions.push(option(&mut self.rng, 0));
        }
        let fragment = match (shape.first_fragment, shape.later_fragment) {
            (true, _) => Some((0, true)),
            (_, true) => Some((self.rng.random_range(1..0x2000), self.rng.random())),
            _ if self.rng.random_bool(0.04) => Some((0, false)),
            _ => None,
        };
        if let Some((offset, more)) = fragment {
            let at = if beyond { self.rng.random_range(0..=shape.extensions.len()) } else { shape.extensions.len() };
            shape.extensions.insert(at, Extension::Fragment { offset, more });
        }
        shape
    }

    /// A packet from `source`, or from anyone.
    fn ip(
        &mut self,
        destination: IpAddr,
        source: Option<IpAddr>,
        upper: Upper,
        shape: &Shape,
        discovery: bool,
    ) -> Payload {
        let rng = &mut self.rng;
        let ttl = if discovery { 255 } else { *[1, 64, 128, 255].choose(rng).expect("not empty") };
        match destination {
            IpAddr::V4(destination) => Payload::Ip4(Ip4 {
                source: if let Some(IpAddr::V4(source)) = source { source } else { ip4(rng) },
                destination,
                ttl,
                options: vec![1; shape.options],
                offset: if shape.later_fragment { rng.random_range(1..0x2000) } else { 0 },
                more: shape.first_fragment || (shape.later_fragment && rng.random()),
                upper,
            }),
            IpAddr::V6(destination) => Payload::Ip6(Ip6 {
                source: if let Some(IpAddr::V6(source)) = source { source } else { ip6(rng) },
                destination,
                hop_limit: ttl,
                extensions: shape.extensions.clone(),
                upper,
            }),
        }
    }

    /// The slots that the VIP could match.
    fn slot(&mut self, vip: Option<u16>, accept: impl Fn(&MatchSlot) -> bool) -> Option<MatchSlot> {
        let slots = self.tables.slots.iter().flatten().filter(|s| accept(s));
        let (named, any): (Vec<&MatchSlot>, Vec<&MatchSlot>) =
            slots.filter(|s| s.vip.is_none() || s.vip == vip).partition(|s| s.vip.is_some());
        let from = if named.is_empty() || self.rng.random_bool(0.2) { any } else { named };
        from.choose(&mut self.rng).map(|slot| **slot)
    }

    /// A destination port that a slot of the VIP takes, or any.
    fn service(&mut self, vip: Option<u16>, tcp: bool) -> u16 {
        match self.slot(vip, |s| if tcp { s.tcp } else { s.udp }) {
            Some(slot) if self.rng.random_bool(0.7) => match self.rng.random_range(0..4) {
                0 => slot.ports.0,
                1 => slot.ports.1,
                _ => self.rng.random_range(slot.ports.0..=slot.ports.1),
            },
            _ => self.rng.random(),
        }
    }

    fn upper(&mut self, protocol: Protocol, version: Version, place: &Place, peer: Option<Peer>) -> Upper {
        let payload = self.payload();
        let peer_ports = peer.map(|peer| (peer.source_port, peer.destination_port));
        match protocol {
            Protocol::Tcp => {
                let flags = match self.rng.random_range(0..10) {
                    0..3 => SYN,
                    3..7 => ACK,
                    7 => SYN | ACK,
                    8 => *[FIN | ACK, RST, RST | ACK, FIN | RST, FIN].choose(&mut self.rng).expect("not empty"),
                    _ => self.rng.random::<u8>() & !SYN,
                };
                let options = if self.rng.random_bool(0.2) { self.rng.random_range(1..=40) } else { 0 };
                let ports = peer_ports.unwrap_or_else(|| (self.rng.random(), self.service(place.vip, true)));
                Upper::Tcp(Tcp {
                    source_port: ports.0,
                    destination_port: ports.1,
                    flags,
                    options: vec![1; options],
                    payload,
                })
            }
            Protocol::Udp => {
                let ports = peer_ports.unwrap_or_else(|| (self.rng.random(), self.service(place.vip, false)));
                Upper::Udp(Udp { source_port: ports.0, destination_port: ports.1, payload })
            }
            Protocol::Gre => Upper::gre(&payload),
            Protocol::Esp => Upper::esp(self.rng.random(), &payload),
            Protocol::Ah => Upper::ah(17, self.rng.random(), &payload),
            Protocol::IcmpError => self.icmp_error(version, place, peer),
            Protocol::Icmp | Protocol::Discovery => self.icmp(version, place),
            _ => {
                let numbers: &[u8] = if version == Version::V4 {
                    &[0, 2, 4, 41, 43, 44, 58, 59, 60, 89, 132, 255]
                } else {
                    &[1, 2, 4, 41, 59, 89, 132, 135, 255]
                };
                Upper::Raw(*numbers.choose(&mut self.rng).expect("not empty"), payload)
            }
        }
    }

    /// ICMP that cannot be keyed: other types, or errors about something else.
    fn icmp(&mut self, version: Version, place: &Place) -> Upper {
        if self.rng.random_bool(0.3) {
            // One defect makes a good error one that cannot be keyed.
            let Upper::Icmp(mut icmp) = self.icmp_error(version, place, None) else { unreachable!("makes ICMP") };
            let v6 = version == Version::V6;
            match self.rng.random_range(0..5) {
                0 => icmp.kind = if v6 { 5 } else { 13 },
                1 => icmp.payload[0] ^= 0x20,
                2 => icmp.payload[if v6 { 23 } else { 15 }] ^= 1,
                3 if v6 => icmp.payload[6] = 59,
                3 => icmp.payload[9] = 132,
                _ => icmp.payload.truncate(self.rng.random_range(0..if v6 { 44 } else { 24 })),
            }
            return Upper::Icmp(icmp);
        }
        // Not 133..=137: with hop limit 255 those are neighbour discovery.
        let kinds: &[u8] = if version == Version::V4 {
            &[0, 8, 4, 5, 9, 10, 13, 133, 135]
        } else {
            &[128, 129, 130, 131, 132, 138, 143, 0, 5]
        };
        let kind = *kinds.choose(&mut self.rng).expect("not empty");
        Upper::Icmp(Icmp { kind, code: 0, rest: self.rng.random(), payload: self.payload() })
    }

    /// An error about a packet that the VIP sent from one of its services, in a session or to anyone.
    fn icmp_error(&mut self, version: Version, place: &Place, peer: Option<Peer>) -> Upper {
        let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Gre, Protocol::Esp, Protocol::Ah];
        let drawn = *protocols.choose(&mut self.rng).expect("not empty");
        let protocol = peer.map_or(drawn, |peer| peer.protocol);
        let mut inside = self.upper(protocol, version, place, peer);
        match &mut inside {
            Upper::Tcp(tcp) => std::mem::swap(&mut tcp.source_port, &mut tcp.destination_port),
            Upper::Udp(udp) => std::mem::swap(&mut udp.source_port, &mut udp.destination_port),
            _ => {}
        }
        let (mut embedded, header) = match place.destination {
            IpAddr::V4(source) => {
                let anyone = ip4(&mut self.rng);
                let client = peer.and_then(|p| if let IpAddr::V4(a) = p.source { Some(a) } else { None });
                let mut ip = Ip4::new(source, client.unwrap_or(anyone), inside);
                if self.rng.random_bool(0.15) {
                    ip.options = vec![1; self.rng.random_range(1..=16)];
                }
                ip.more = self.rng.random_bool(0.1);
                (ip.bytes(), ip.header_len())
            }
            IpAddr::V6(source) => {
                let anyone = ip6(&mut self.rng);
                let client = peer.and_then(|p| if let IpAddr::V6(a) = p.source { Some(a) } else { None });
                let mut ip = Ip6::new(source, client.unwrap_or(anyone), inside);
                if self.rng.random_bool(0.15) {
                    ip.extensions = vec![Extension::Fragment { offset: 0, more: self.rng.random() }];
                }
                (ip.bytes(), ip.header_len())
            }
        };
        // Routers return as little as eight bytes of layer 4; four are enough here.
        embedded.truncate(header + if self.rng.random() { 4 } else { self.rng.random_range(4..200) });
        let kinds: &[u8] = if version == Version::V4 { &[3, 11, 12] } else { &[1, 2, 3, 4] };
        let kind = *kinds.choose(&mut self.rng).expect("not empty");
        Upper::Icmp(Icmp { kind, code: 4, rest: self.rng.random(), payload: embedded })
    }

    /// A neighbour-discovery message; about `vip` (as source and target) if it is given, with options as a host
    /// sends them.
    fn discovery(&mut self, vip: Option<IpAddr>) -> Payload {
        let kind: u8 = if vip.is_some() {
            *[133, 135, 136, 135, 136, 134, 137].choose(&mut self.rng).expect("not empty")
        } else {
            self.rng.random_range(133..=137)
        };
        let Some(IpAddr::V6(about)) = vip.or(Some(IpAddr::V6(ip6(&mut self.rng)))) else { unreachable!("IPv6") };
        let mut body = Vec::new();
        match kind {
            133 => {}
            134 => body.extend([0; 8]),
            137 => body.extend([0; 32]),
            _ => body.extend(about.octets()),
        }
        let mut options = Vec::new();
        for _ in 0..self.rng.random_range(0..5) {
            let (kind, units) = match self.rng.random_range(0..20) {
                0..6 => (1, 1),
                6..12 => (2, 1),
                12 => (self.rng.random_range(1..3), 2),
                13 => (self.rng.random_range(0..4), 0),
                14 => (14, self.rng.random_range(2..5)),
                _ => (self.rng.random_range(3..40), 1),
            };
            let length = 8 * usize::from(units).max(1);
            let mut option = self.bytes(length);
            (option[0], option[1]) = (kind, units);
            options.extend(option);
        }
        body.extend(options);
        let upper = Upper::Icmp(Icmp { kind, code: 0, rest: self.rng.random(), payload: body });
        let destination = Ipv6Addr::from_bits(0xff02 << 112 | self.rng.random::<u128>() >> 40);
        let mut packet = Ip6::new(if kind == 136 { ip6(&mut self.rng) } else { about }, destination, upper);
        packet.hop_limit = 255;
        if vip.is_some() && self.rng.random_bool(0.1) {
            packet.extensions.push(Extension::HopByHop(0));
        }
        if vip.is_some() && self.rng.random_bool(0.1) {
            packet.hop_limit = 64;
        }
        Payload::Ip6(packet)
    }

    fn arp(&mut self, about: Option<&Place>) -> Arp {
        let mac = unicast(&mut self.rng);
        let sender = match about.map(|p| p.destination) {
            Some(IpAddr::V4(address)) => address,
            _ => ip4(&mut self.rng),
        };
        Arp {
            operation: *[1, 1, 2, 2, 3].choose(&mut self.rng).expect("not empty"),
            sender: (mac, sender),
            target: (Mac::ZERO, ip4(&mut self.rng)),
        }
    }

    /// The same packet with less than its header.
    fn cut(&mut self, upper: Upper, destination: IpAddr) -> Upper {
        let protocol = upper.protocol(destination.is_ipv6());
        let header = match protocol {
            6 => 20,
            47 => 4,
            51 => 12,
            _ => 8,
        };
        let mut bytes = upper.bytes(destination, destination);
        bytes.truncate(self.rng.random_range(0..header));
        Upper::Raw(protocol, bytes)
    }

    fn truncate(&mut self, frame: &mut Vec<u8>, l3: usize, version: Version) {
        let at = if version == Version::V4 { l3 + 2 } else { l3 + 4 };
        let length = usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
        let end = if version == Version::V4 { l3 + length } else { l3 + 40 + length };
        if end > MIN_FRAME && end <= frame.len() && self.rng.random_bool(0.7) {
            let cut = if self.rng.random_bool(0.3) { end - 1 } else { self.rng.random_range(MIN_FRAME..end) };
            frame.truncate(cut);
        } else {
            // Too short to cut: promise more.
            let promised = length + (frame.len() - end.min(frame.len())) + self.rng.random_range(1..500);
            frame[at..at + 2].copy_from_slice(&(promised.min(0xffff) as u16).to_be_bytes());
            if version == Version::V4 {
                fix_ip4_checksum(&mut frame[l3..]);
            }
        }
    }

    fn spoil(&mut self, built: &mut Built, defect: Option<Defect>) {
        let Built { bytes, l3, l4 } = built;
        let (l3, l4) = (*l3, *l4);
        match defect {
            Some(Defect::Ip4Version | Defect::Ip6Version) => {
                let nibble = bytes[l3] >> 4 ^ self.rng.random_range(1..16);
                bytes[l3] = nibble << 4 | bytes[l3] & 0xf;
            }
            Some(Defect::Ip4HeaderLength) => {
                bytes[l3] = 0x40 | self.rng.random_range(0..5);
            }
            Some(Defect::Ip4TotalLength) => {
                let header = 4 * u16::from(bytes[l3] & 0xf);
                let total = self.rng.random_range(0..header);
                bytes[l3 + 2..l3 + 4].copy_from_slice(&total.to_be_bytes());
                fix_ip4_checksum(&mut bytes[l3..]);
            }
            Some(Defect::Ip4Checksum) => {
                let header = 4 * usize::from(bytes[l3] & 0xf);
                // Any bit of the header but those that are checked before.
                let at = *[1, 6, 8, 9, 10, 11, 12, 15, 16, 19, header - 1].choose(&mut self.rng).expect("not empty");
                bytes[l3 + at] ^= 1 << self.rng.random_range(0..8);
            }
            Some(Defect::Ip6Extension) => {
                let payload = bytes.len() - l3 - 40;
                let first = bytes[l3 + 6];
                if first != 44 && payload < 1500 && self.rng.random() {
                    bytes[l3 + 41] = self.rng.random_range(200..=255);
                } else {
                    let left = self.rng.random_range(0..8u16);
                    bytes[l3 + 4..l3 + 6].copy_from_slice(&left.to_be_bytes());
                }
            }
            Some(Defect::TcpDataOffset) => {
                let payload = bytes.len() - l4;
                let too_long = payload / 4 + 1;
                let offset =
                    if too_long <= 15 && self.rng.random() { too_long as u8 } else { self.rng.random_range(0..5) };
                bytes[l4 + 12] = offset << 4 | bytes[l4 + 12] & 0xf;
            }
            Some(Defect::TcpSynFin) => bytes[l4 + 13] |= SYN | FIN,
            Some(Defect::TcpSynRst) => bytes[l4 + 13] = bytes[l4 + 13] & !FIN | SYN | RST,
            Some(Defect::UdpLength) => {
                // Below eight bytes always counts; beyond the payload not in a first fragment.
                let first = bytes.len() - l4;
                let length = if self.rng.random() { self.rng.random_range(0..8) } else { first as u16 + 1 };
                bytes[l4 + 4..l4 + 6].copy_from_slice(&length.to_be_bytes());
            }
            _ => {}
        }
    }
}

/// Whether the ports inside an ICMP error lie within the window. The rest makes every error of `icmp_error` one that
/// can be keyed.
fn keyable(built: &Built, upper: Option<&Upper>) -> bool {
    let Some(Upper::Icmp(icmp)) = upper else { return false };
    let header = match icmp.payload[0] >> 4 {
        4 => 4 * usize::from(icmp.payload[0] & 0xf),
        _ if icmp.payload[6] == 44 => 48,
        _ => 40,
    };
    built.l4 + 8 + header + 4 <= WINDOW
}
