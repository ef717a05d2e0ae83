// SPDX-License-Identifier: Apache-2.0
//! Typed frames. Lengths, next-header fields and checksums are filled in; a test that wants them wrong patches the
//! bytes, whose places [`Built`] tells.

use hashgate_tables::Mac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Shortest frame in bytes without FCS; [`Frame::padded`] fills up to it.
pub const MIN_FRAME: usize = 60;

/// EtherType of heartbeats.
pub const HEARTBEAT: u16 = 0x886f;
/// Customer VLAN tag.
pub const CTAG: u16 = 0x8100;
/// Service VLAN tag.
pub const STAG: u16 = 0x88a8;

/// TCP flag FIN.
pub const FIN: u8 = 0x01;
/// TCP flag SYN.
pub const SYN: u8 = 0x02;
/// TCP flag RST.
pub const RST: u8 = 0x04;
/// TCP flag ACK.
pub const ACK: u8 = 0x10;

/// An Ethernet frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Destination MAC.
    pub destination: Mac,
    /// Source MAC.
    pub source: Mac,
    /// VLAN tags, outer first: EtherType ([`CTAG`], [`STAG`]) and tag control information.
    pub tags: Vec<(u16, u16)>,
    /// What it carries.
    pub payload: Payload,
}

/// What a frame carries.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Any EtherType.
    Raw(u16, Vec<u8>),
    /// ARP for Ethernet and IPv4.
    Arp(Arp),
    /// IPv4.
    Ip4(Ip4),
    /// IPv6.
    Ip6(Ip6),
}

/// An ARP message.
#[derive(Clone, Debug)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender hardware and protocol address.
    pub sender: (Mac, Ipv4Addr),
    /// Target hardware and protocol address.
    pub target: (Mac, Ipv4Addr),
}

/// An IPv4 packet.
#[derive(Clone, Debug)]
pub struct Ip4 {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Options; filled with zeros to a multiple of four bytes, at most 40.
    pub options: Vec<u8>,
    /// Fragment offset in units of eight bytes.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// What it carries.
    pub upper: Upper,
}

/// An IPv6 packet.
#[derive(Clone, Debug)]
pub struct Ip6 {
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// Hop limit.
    pub hop_limit: u8,
    /// Extension headers in order.
    pub extensions: Vec<Extension>,
    /// What it carries.
    pub upper: Upper,
}

/// An IPv6 extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Hop-by-hop options with `units` times eight bytes beyond the first eight.
    HopByHop(u8),
    /// Routing header.
    Routing(u8),
    /// Destination options.
    Destination(u8),
    /// Fragment header.
    Fragment {
        /// Offset in units of eight bytes.
        offset: u16,
        /// More fragments follow.
        more: bool,
    },
}

impl Extension {
    /// Its number as a next header.
    pub fn number(&self) -> u8 {
        match self {
            Extension::HopByHop(_) => 0,
            Extension::Routing(_) => 43,
            Extension::Fragment { .. } => 44,
            Extension::Destination(_) => 60,
        }
    }

    /// Its length in bytes.
    pub fn bytes_len(&self) -> usize {
        match self {
            Extension::HopByHop(units) | Extension::Routing(units) | Extension::Destination(units) => {
                8 + 8 * usize::from(*units)
            }
            Extension::Fragment { .. } => 8,
        }
    }

    fn bytes(&self, next: u8) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes_len()];
        bytes[0] = next;
        match *self {
            // One option of type "skip over" fills options headers.
            Extension::HopByHop(units) | Extension::Destination(units) => {
                let len = bytes.len();
                bytes[1] = units;
                bytes[2] = 1;
                bytes[3] = (len - 4).min(255) as u8;
            }
            Extension::Routing(units) => bytes[1..3].copy_from_slice(&[units, 4]),
            Extension::Fragment { offset, more } => {
                bytes[2..4].copy_from_slice(&(offset << 3 | u16::from(more)).to_be_bytes());
                bytes[4..8].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
            }
        }
        bytes
    }
}

/// What an IP packet carries.
#[derive(Clone, Debug)]
pub enum Upper {
    /// TCP.
    Tcp(Tcp),
    /// UDP.
    Udp(Udp),
    /// ICMP, or ICMPv6 inside IPv6.
    Icmp(Icmp),
    /// Any protocol number, any bytes.
    Raw(u8, Vec<u8>),
}

/// A TCP segment.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// [`SYN`], [`ACK`] ...
    pub flags: u8,
    /// Options; filled with zeros to a multiple of four bytes, at most 40.
    pub options: Vec<u8>,
    /// Payload.
    pub payload: Vec<u8>,
}

/// A UDP datagram.
#[derive(Clone, Debug)]
pub struct Udp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Payload.
    pub payload: Vec<u8>,
}

/// An ICMP or ICMPv6 message.
#[derive(Clone, Debug)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Bytes 4..8.
    pub rest: [u8; 4],
    /// From byte 8 on.
    pub payload: Vec<u8>,
}

impl Upper {
    /// GRE of version 1 (as in PPTP) with a payload.
    pub fn gre(payload: &[u8]) -> Upper {
        Upper::Raw(47, [&[0x30, 0x01, 0x88, 0x0b][..], payload].concat())
    }
    /// ESP: index, sequence number, payload.
    pub fn esp(index: u32, payload: &[u8]) -> Upper {
        Upper::Raw(50, [&index.to_be_bytes()[..], &[0, 0, 0, 1], payload].concat())
    }
    /// AH around `next`, with a check value of 12 bytes.
    pub fn ah(next: u8, index: u32, payload: &[u8]) -> Upper {
        let fixed = [next, 4, 0, 0];
        Upper::Raw(51, [&fixed[..], &index.to_be_bytes(), &[0, 0, 0, 1], &[0x5a; 12], payload].concat())
    }

    /// Protocol number.
    pub fn protocol(&self, v6: bool) -> u8 {
        match self {
            Upper::Tcp(_) => 6,
            Upper::Udp(_) => 17,
            Upper::Icmp(_) => {
                if v6 {
                    58
                } else {
                    1
                }
            }
            Upper::Raw(protocol, _) => *protocol,
        }
    }

    /// Its bytes with the checksum over the pseudo-header of these addresses.
    pub fn bytes(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let v6 = source.is_ipv6();
        let (mut bytes, checksum_at) = match self {
            Upper::Raw(_, bytes) => return bytes.clone(),
            Upper::Tcp(tcp) => {
                let options = fill4(&tcp.options);
                let mut bytes = Vec::with_capacity(20 + options.len() + tcp.payload.len());
                bytes.extend(tcp.source_port.to_be_bytes());
                bytes.extend(tcp.destination_port.to_be_bytes());
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 2]);
                bytes.extend([((5 + options.len() / 4) as u8) << 4, tcp.flags, 0xff, 0xff, 0, 0, 0, 0]);
                bytes.extend(options);
                bytes.extend(&tcp.payload);
                (bytes, 16)
            }
            Upper::Udp(udp) => {
                let mut bytes = Vec::with_capacity(8 + udp.payload.len());
                bytes.extend(udp.source_port.to_be_bytes());
                bytes.extend(udp.destination_port.to_be_bytes());
                bytes.extend(((8 + udp.payload.len()) as u16).to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(&udp.payload);
                (bytes, 6)
            }
            Upper::Icmp(icmp) => {
                let mut bytes = vec![icmp.kind, icmp.code, 0, 0];
                bytes.extend(icmp.rest);
                bytes.extend(&icmp.payload);
                (bytes, 2)
            }
        };
        let mut sum = checksum_add(0, &bytes);
        if v6 || !matches!(self, Upper::Icmp(_)) {
            for address in [source, destination] {
                sum = match address {
                    IpAddr::V4(a) => checksum_add(sum, &a.octets()),
                    IpAddr::V6(a) => checksum_add(sum, &a.octets()),
                };
            }
            sum += bytes.len() as u64 + u64::from(self.protocol(v6));
        }
        let mut checksum = checksum_finish(sum);
        if checksum == 0 && matches!(self, Upper::Udp(_)) {
            checksum = 0xffff;
        }
        bytes[checksum_at..checksum_at + 2].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }
}

impl Ip4 {
    /// A packet without options that is no fragment.
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, upper: Upper) -> Ip4 {
        Ip4 { source, destination, ttl: 64, options: Vec::new(), offset: 0, more: false, upper }
    }

    /// The header's length in bytes.
    pub fn header_len(&self) -> usize {
        20 + self.options.len().next_multiple_of(4)
    }

    /// The whole packet.
    ///
    /// # Panics
    /// If the options are longer than 40 bytes or the packet longer than 65535.
    pub fn bytes(&self) -> Vec<u8> {
        let upper = self.upper.bytes(self.source.into(), self.destination.into());
        let header = self.header_len();
        assert!(header <= 60 && header + upper.len() <= 0xffff, "IPv4: header {header}, payload {}", upper.len());
        let mut bytes = vec![0x40 | (header / 4) as u8, 0];
        bytes.extend(((header + upper.len()) as u16).to_be_bytes());
        bytes.extend([0xab, 0xcd]);
        bytes.extend((self.offset | u16::from(self.more) << 13).to_be_bytes());
        bytes.extend([self.ttl, self.upper.protocol(false), 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(fill4(&self.options));
        fix_ip4_checksum(&mut bytes);
        bytes.extend(upper);
        bytes
    }
}

impl Ip6 {
    /// A packet without extension headers.
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, upper: Upper) -> Ip6 {
        Ip6 { source, destination, hop_limit: 64, extensions: Vec::new(), upper }
    }

    /// Length of all headers in bytes.
    pub fn header_len(&self) -> usize {
        40 + self.extensions.iter().map(Extension::bytes_len).sum::<usize>()
    }

    /// The whole packet.
    ///
    /// # Panics
    /// If the payload is longer than 65535 bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let upper = self.upper.bytes(self.source.into(), self.destination.into());
        let payload = self.header_len() - 40 + upper.len();
        let protocol = self.upper.protocol(true);
        let next = |n: usize| self.extensions.get(n).map_or(protocol, Extension::number);
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(u16::try_from(payload).expect("IPv6 payload fits 16 bits").to_be_bytes());
        bytes.extend([next(0), self.hop_limit]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        for (n, extension) in self.extensions.iter().enumerate() {
            bytes.extend(extension.bytes(next(n + 1)));
        }
        bytes.extend(upper);
        bytes
    }
}

/// A frame's bytes and where its layers begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The frame, without FCS and padding.
    pub bytes: Vec<u8>,
    /// Where layer 3 begins.
    pub l3: usize,
    /// Where layer 4 begins; the end of the frame without layer 4.
    pub l4: usize,
}

impl Frame {
    /// An untagged frame.
    pub fn new(destination: Mac, source: Mac, payload: Payload) -> Frame {
        Frame { destination, source, tags: Vec::new(), payload }
    }

    /// The frame's bytes and layers.
    pub fn build(&self) -> Built {
        let mut bytes = [self.destination.0, self.source.0].concat();
        for (tpid, tci) in &self.tags {
            bytes.extend(tpid.to_be_bytes());
            bytes.extend(tci.to_be_bytes());
        }
        let l3 = bytes.len() + 2;
        let (ethertype, header, payload) = match &self.payload {
            Payload::Raw(ethertype, payload) => (*ethertype, payload.len(), payload.clone()),
            Payload::Arp(arp) => (0x0806, 28, arp.bytes()),
            Payload::Ip4(ip) => (0x0800, ip.header_len(), ip.bytes()),
            Payload::Ip6(ip) => (0x86dd, ip.header_len(), ip.bytes()),
        };
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(payload);
        Built { bytes, l3, l4: l3 + header }
    }

    /// The frame's bytes, filled with zeros to 60.
    pub fn padded(&self) -> Vec<u8> {
        let mut bytes = self.build().bytes;
        bytes.resize(bytes.len().max(MIN_FRAME), 0);
        bytes
    }
}

impl Arp {
    /// The 28 bytes of the message.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4];
        bytes.extend(self.operation.to_be_bytes());
        for (mac, ip) in [self.sender, self.target] {
            bytes.extend(mac.0);
            bytes.extend(ip.octets());
        }
        bytes
    }
}

/// Computes the header checksum of an IPv4 packet anew, over as many bytes as its IHL says and there are.
pub fn fix_ip4_checksum(packet: &mut [u8]) {
    let header = (4 * usize::from(packet[0] & 0xf)).min(packet.len());
    packet[10..12].fill(0);
    let checksum = checksum_finish(checksum_add(0, &packet[..header]));
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn fill4(options: &[u8]) -> Vec<u8> {
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    options
}

fn checksum_add(sum: u64, bytes: &[u8]) -> u64 {
    bytes.chunks(2).fold(sum, |sum, w| sum + (u64::from(w[0]) << 8 | u64::from(w.get(1).copied().unwrap_or(0))))
}

fn checksum_finish(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    #[test]
    fn a_udp_frame_byte_for_byte() {
        let udp = Upper::Udp(Udp { source_port: 0x1234, destination_port: 53, payload: b"abc".to_vec() });
        let ip = Ip4::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), udp);
        let mut frame = Frame::new(mac(1), mac(2), Payload::Ip4(ip));
        frame.tags.push((CTAG, 0x0064));
        // The one's-complement sums without the checksums: header 0xb502, UDP with pseudo-header 0x5af7.
        let expected = [
            &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 0x64, 8, 0][..],
            &[0x45, 0, 0, 31, 0xab, 0xcd, 0, 0, 64, 17, 0x4a, 0xfd, 192, 0, 2, 1, 192, 0, 2, 2],
            &[0x12, 0x34, 0, 53, 0, 11, 0xa5, 0x08, b'a', b'b', b'c'],
        ]
        .concat();
        let built = frame.build();
        assert_eq!((built.l3, built.l4), (18, 38));
        assert_eq!(built.bytes, expected);
        assert_eq!(frame.padded()[..], [&expected[..], &[0; 11]].concat());
    }

    #[test]
    fn checksums_sum_to_all_ones() {
        let pseudo_sum = |packet: &[u8], protocol: u8| {
            let sum = checksum_add(packet.len() as u64 - 40 + u64::from(protocol), &packet[8..]);
            checksum_finish(sum)
        };
        let (a, b) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let tcp = Tcp {
            source_port: 1,
            destination_port: 2,
            flags: SYN,
            options: vec![2, 4, 5, 180, 1],
            payload: vec![9; 5],
        };
        assert_eq!(pseudo_sum(&Ip6::new(a, b, Upper::Tcp(tcp)).bytes(), 6), 0);
        let icmp = Icmp { kind: 128, code: 0, rest: [1, 2, 3, 4], payload: vec![7; 9] };
        assert_eq!(pseudo_sum(&Ip6::new(a, b, Upper::Icmp(icmp)).bytes(), 58), 0);
    }

    #[test]
    fn extension_headers_are_chained() {
        let (a, b) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let mut ip = Ip6::new(a, b, Upper::esp(7, &[]));
        ip.extensions = vec![
            Extension::HopByHop(1),
            Extension::Fragment { offset: 3, more: true },
            Extension::Destination(0),
            Extension::Routing(0),
        ];
        let bytes = ip.bytes();
        assert_eq!(bytes[4..6], [0, 48]);
        assert_eq!(ip.header_len(), 80);
        assert_eq!([bytes[6], bytes[40], bytes[56], bytes[64], bytes[72]], [0, 44, 60, 43, 50]);
        assert_eq!([bytes[41], bytes[58], bytes[59], bytes[65]], [1, 0, 25, 0]);
    }
}
