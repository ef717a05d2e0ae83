// SPDX-License-Identifier: Apache-2.0
//! The parser ("Parse" of `docs/dataplane.md`): what a frame says about itself, without any table.

use crate::WINDOW;
use hashgate_regs::defs::Reason;
use hashgate_tables::Mac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// EtherType of the cluster's heartbeats.
pub const ETHERTYPE_HEARTBEAT: u16 = 0x886f;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv4.
pub const ETHERTYPE_IP4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IP6: u16 = 0x86dd;
/// EtherTypes of VLAN tags.
pub const ETHERTYPES_VLAN: [u16; 2] = [0x8100, 0x88a8];

/// IP protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;
/// IP protocol number of GRE.
pub const GRE: u8 = 47;
/// IP protocol number of ESP.
pub const ESP: u8 = 50;
/// IP protocol number of AH.
pub const AH: u8 = 51;
/// IP protocol number of ICMPv6.
pub const ICMP6: u8 = 58;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
/// Extension headers that are walked; one more is beyond the window.
const MAX_EXTENSIONS: usize = 8;

/// Whether port rules apply to a protocol.
pub fn is_balanced(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | GRE | ESP | AH)
}

/// The first 128 bytes of a frame; bytes beyond the frame or the window read as zero.
pub(crate) struct Window<'a>(pub &'a [u8]);

impl Window<'_> {
    pub fn u8(&self, at: usize) -> u8 {
        if at < WINDOW { self.0.get(at).copied().unwrap_or(0) } else { 0 }
    }
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.bytes(at))
    }
    pub fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|i| self.u8(at + i))
    }
    pub fn ip4(&self, at: usize) -> IpAddr {
        Ipv4Addr::from(self.bytes::<4>(at)).into()
    }
    pub fn ip6(&self, at: usize) -> IpAddr {
        Ipv6Addr::from(self.bytes::<16>(at)).into()
    }
}

/// The Ethernet header and its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer2 {
    /// Destination MAC.
    pub destination: Mac,
    /// Source MAC.
    pub source: Mac,
    /// VLAN tags, 0..=2; a third one is in `ethertype`.
    pub tags: usize,
    /// 12-bit id of the outer tag, 0 without tags.
    pub vlan: u16,
    /// EtherType after at most two tags.
    pub ethertype: u16,
    /// Where layer 3 begins, in bytes.
    pub l3: usize,
}

impl Layer2 {
    /// Whether there is a third tag.
    pub fn is_too_deep(&self) -> bool {
        ETHERTYPES_VLAN.contains(&self.ethertype)
    }
}

/// What the parser finds in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The Ethernet header.
    pub layer2: Layer2,
    /// Length in bytes that the IP header promises; a shorter frame is truncated. 0 if unknown.
    pub min_len: usize,
    /// What the frame carries.
    pub content: Content,
}

/// What a frame carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A header is malformed; the first defect in the order of the page.
    Malformed(Reason),
    /// Heartbeat, ARP or neighbour discovery.
    Control,
    /// Neither control nor IP.
    NotIp,
    /// IP.
    Ip(Ip),
}

/// An IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same version.
    pub destination: IpAddr,
    /// What it carries.
    pub upper: Upper,
}

/// What an IP packet carries, as far as balancing is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upper {
    /// TCP, UDP, GRE, ESP or AH.
    Balanced(Flow),
    /// Later fragment of a balanced protocol.
    LaterFragment {
        /// The protocol.
        protocol: u8,
    },
    /// ICMP or ICMPv6, with the flow that an error is about if that can be told.
    Icmp {
        /// ICMP or ICMPv6.
        protocol: u8,
        /// The embedded packet's flow, already reversed, and its endpoints.
        embedded: Option<Embedded>,
    },
    /// Headers reach beyond the window.
    BeyondWindow {
        /// The last next-header value read: that of the layer 4 that is beyond, or of the extension header.
        protocol: u8,
    },
    /// Anything else.
    Other,
}

/// Protocol and ports of a balanced packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// TCP, UDP, GRE, ESP or AH.
    pub protocol: u8,
    /// Source port, 0 but for TCP and UDP.
    pub source_port: u16,
    /// Destination port, 0 but for TCP and UDP.
    pub destination_port: u16,
    /// TCP with SYN and without ACK.
    pub opening: bool,
    /// TCP with FIN.
    pub fin: bool,
    /// TCP with RST.
    pub rst: bool,
}

impl Flow {
    /// A packet of this protocol without ports and flags.
    fn new(protocol: u8) -> Flow {
        Flow { protocol, source_port: 0, destination_port: 0, opening: false, fin: false, rst: false }
    }
}

/// The packet inside an ICMP error, reversed: as the peer that it was sent to would send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Source address: the embedded destination.
    pub source: IpAddr,
    /// Destination address: the embedded source.
    pub destination: IpAddr,
    /// Protocol and reversed ports, without any flag.
    pub flow: Flow,
}

/// Reads the Ethernet header and up to two tags.
pub fn parse_layer2(frame: &[u8]) -> Layer2 {
    let window = Window(frame);
    let mut tags = 0;
    while tags < 2 && ETHERTYPES_VLAN.contains(&window.u16(12 + 4 * tags)) {
        tags += 1;
    }
    Layer2 {
        destination: Mac(window.bytes(0)),
        source: Mac(window.bytes(6)),
        tags,
        vlan: if tags > 0 { window.u16(14) & 0xfff } else { 0 },
        ethertype: window.u16(12 + 4 * tags),
        l3: 14 + 4 * tags,
    }
}

/// Parses a frame (without FCS).
pub fn parse(frame: &[u8]) -> Packet {
    let window = Window(frame);
    let layer2 = parse_layer2(frame);
    let mut min_len = 0;
    let content = match layer2.ethertype {
        _ if layer2.is_too_deep() => Content::Malformed(Reason::VlanTooDeep),
        ETHERTYPE_HEARTBEAT | ETHERTYPE_ARP => Content::Control,
        ETHERTYPE_IP4 => ip4(&window, layer2.l3, &mut min_len).unwrap_or_else(Content::Malformed),
        ETHERTYPE_IP6 => ip6(&window, layer2.l3, &mut min_len).unwrap_or_else(Content::Malformed),
        _ => Content::NotIp,
    };
    Packet { layer2, min_len, content }
}

fn ip4(window: &Window, l3: usize, min_len: &mut usize) -> Result<Content, Reason> {
    if window.u8(l3) >> 4 != 4 {
        return Err(Reason::Ip4Version);
    }
    let header = 4 * usize::from(window.u8(l3) & 0xf);
    if header < 20 {
        return Err(Reason::Ip4HeaderLength);
    }
    let total = usize::from(window.u16(l3 + 2));
    if total < header {
        return Err(Reason::Ip4TotalLength);
    }
    *min_len = l3 + total;
    // A correct header, checksum included, sums to a multiple of 0xffff (never to 0: the version is not 0).
    let sum: u32 = (0..header).step_by(2).map(|i| u32::from(window.u16(l3 + i))).sum();
    if !sum.is_multiple_of(0xffff) {
        return Err(Reason::Ip4Checksum);
    }
    let fragment = Fragment::of_ip4(window.u16(l3 + 6));
    let (source, destination) = (window.ip4(l3 + 12), window.ip4(l3 + 16));
    let protocol = window.u8(l3 + 9);
    let upper = match fragment {
        Fragment::Later => later_fragment(protocol, ICMP),
        _ => {
            let layer4 = Layer4 { window, at: l3 + header, len: total - header, fragment, outer: destination };
            layer4.parse(protocol, ICMP)?
        }
    };
    Ok(Content::Ip(Ip { source, destination, upper }))
}

fn ip6(window: &Window, l3: usize, min_len: &mut usize) -> Result<Content, Reason> {
    if window.u8(l3) >> 4 != 6 {
        return Err(Reason::Ip6Version);
    }
    let payload = usize::from(window.u16(l3 + 4));
    *min_len = l3 + 40 + payload;
    let (source, destination) = (window.ip6(l3 + 8), window.ip6(l3 + 24));
    let ip = |upper| Ok(Content::Ip(Ip { source, destination, upper }));

    let mut protocol = window.u8(l3 + 6);
    let (mut pos, mut rem) = (l3 + 40, payload);
    let mut fragment = Fragment::No;
    let mut walked = 0;
    while matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS) {
        if walked == MAX_EXTENSIONS {
            return ip(Upper::BeyondWindow { protocol });
        }
        if rem < 8 {
            return Err(Reason::Ip6Extension);
        }
        if pos + 8 > WINDOW {
            return ip(Upper::BeyondWindow { protocol });
        }
        let len = if protocol == FRAGMENT { 8 } else { 8 * (1 + usize::from(window.u8(pos + 1))) };
        if len > rem {
            return Err(Reason::Ip6Extension);
        }
        let next = window.u8(pos);
        if protocol == FRAGMENT {
            match Fragment::of_ip6(window.u16(pos + 2)) {
                Fragment::Later => return ip(later_fragment(next, ICMP6)),
                Fragment::First => fragment = Fragment::First,
                Fragment::No => {}
            }
        }
        protocol = next;
        pos += len;
        rem -= len;
        walked += 1;
    }

    let layer4 = Layer4 { window, at: pos, len: rem, fragment, outer: destination };
    let upper = layer4.parse(protocol, ICMP6)?;
    let discovery = protocol == ICMP6
        && !matches!(upper, Upper::BeyondWindow { .. })
        && (133..=137).contains(&window.u8(pos))
        && window.u8(l3 + 7) == 255
        && fragment == Fragment::No;
    if discovery { Ok(Content::Control) } else { ip(upper) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fragment {
    No,
    First,
    Later,
}

impl Fragment {
    fn of_ip4(field: u16) -> Fragment {
        Self::of(field & 0x1fff, field & 0x2000 != 0)
    }
    fn of_ip6(field: u16) -> Fragment {
        Self::of(field >> 3, field & 1 != 0)
    }
    fn of(offset: u16, more: bool) -> Fragment {
        match (offset, more) {
            (0, false) => Fragment::No,
            (0, true) => Fragment::First,
            _ => Fragment::Later,
        }
    }
}

fn later_fragment(protocol: u8, icmp: u8) -> Upper {
    match protocol {
        p if p == icmp => Upper::Icmp { protocol, embedded: None },
        p if is_balanced(p) => Upper::LaterFragment { protocol },
        _ => Upper::Other,
    }
}

struct Layer4<'a> {
    window: &'a Window<'a>,
    /// Where it begins and how many bytes it has by the IP header.
    at: usize,
    len: usize,
    fragment: Fragment,
    /// Destination address of the IP header.
    outer: IpAddr,
}

impl Layer4<'_> {
    /// `icmp` is the number of this IP version's ICMP.
    fn parse(&self, protocol: u8, icmp: u8) -> Result<Upper, Reason> {
        match protocol {
            TCP => self.tcp(),
            UDP => self.udp(),
            GRE => self.portless(protocol, 4),
            ESP => self.portless(protocol, 8),
            AH => self.portless(protocol, 12),
            p if p == icmp => self.icmp(protocol),
            _ => Ok(Upper::Other),
        }
    }

    fn at_least(&self, bytes: usize) -> Result<(), Reason> {
        if self.len < bytes { Err(Reason::L4Truncated) } else { Ok(()) }
    }

    fn flow(&self, protocol: u8) -> Flow {
        let (source_port, destination_port) = (self.window.u16(self.at), self.window.u16(self.at + 2));
        Flow { source_port, destination_port, ..Flow::new(protocol) }
    }

    fn tcp(&self) -> Result<Upper, Reason> {
        self.at_least(20)?;
        if self.at + 14 > WINDOW {
            return Ok(Upper::BeyondWindow { protocol: TCP });
        }
        let offset = usize::from(self.window.u8(self.at + 12) >> 4);
        if offset < 5 || 4 * offset > self.len {
            return Err(Reason::TcpDataOffset);
        }
        let flags = self.window.u8(self.at + 13);
        let [fin, syn, rst, ack] = [0x01, 0x02, 0x04, 0x10].map(|bit| flags & bit != 0);
        if syn && fin {
            return Err(Reason::TcpSynFin);
        }
        if syn && rst {
            return Err(Reason::TcpSynRst);
        }
        Ok(Upper::Balanced(Flow { opening: syn && !ack, fin, rst, ..self.flow(TCP) }))
    }

    fn udp(&self) -> Result<Upper, Reason> {
        self.at_least(8)?;
        if self.at + 8 > WINDOW {
            return Ok(Upper::BeyondWindow { protocol: UDP });
        }
        let length = usize::from(self.window.u16(self.at + 4));
        if length < 8 || (self.fragment != Fragment::First && length > self.len) {
            return Err(Reason::UdpLength);
        }
        Ok(Upper::Balanced(self.flow(UDP)))
    }

    fn portless(&self, protocol: u8, header: usize) -> Result<Upper, Reason> {
        self.at_least(header)?;
        Ok(Upper::Balanced(Flow::new(protocol)))
    }

    fn icmp(&self, protocol: u8) -> Result<Upper, Reason> {
        self.at_least(8)?;
        if self.at + 8 > WINDOW {
            return Ok(Upper::BeyondWindow { protocol });
        }
        Ok(Upper::Icmp { protocol, embedded: self.embedded() })
    }

    fn embedded(&self) -> Option<Embedded> {
        let Layer4 { window, at, len, outer, .. } = *self;
        let e = at + 8;
        let (errors, version): (&[u8], u8) = if outer.is_ipv4() { (&[3, 11, 12], 4) } else { (&[1, 2, 3, 4], 6) };
        if !errors.contains(&window.u8(at)) || window.u8(e) >> 4 != version {
            return None;
        }
        let (source, destination, protocol, ports, offset);
        if version == 4 {
            let ihl = usize::from(window.u8(e) & 0xf);
            if ihl < 5 {
                return None;
            }
            offset = window.u16(e + 6) & 0x1fff;
            protocol = window.u8(e + 9);
            (source, destination) = (window.ip4(e + 12), window.ip4(e + 16));
            ports = e + 4 * ihl;
        } else {
            (source, destination) = (window.ip6(e + 8), window.ip6(e + 24));
            if window.u8(e + 6) == FRAGMENT {
                offset = window.u16(e + 42) >> 3;
                protocol = window.u8(e + 40);
                ports = e + 48;
            } else {
                offset = 0;
                protocol = window.u8(e + 6);
                ports = e + 40;
            }
        }
        let keyed =
            offset == 0 && is_balanced(protocol) && ports + 4 <= WINDOW && ports + 4 <= at + len && source == outer;
        let port = |at| if matches!(protocol, TCP | UDP) { window.u16(at) } else { 0 };
        keyed.then(|| Embedded {
            source: destination,
            destination: source,
            flow: Flow { source_port: port(ports + 2), destination_port: port(ports), ..Flow::new(protocol) },
        })
    }
}
