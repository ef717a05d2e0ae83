// SPDX-License-Identifier: Apache-2.0
//! Generated traffic: frames of a size, and flows of clients.

use hashgate_packets::builder::{ACK, Frame, Ip4, Ip6, Payload, SYN, Tcp, Udp, Upper};
use hashgate_tables::Mac;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::net::IpAddr;

/// Bytes of the FCS; sizes on the wire count it, frames here do not have it.
pub const FCS: usize = 4;
/// Simple IMIX: sizes on the wire with their parts (7 : 4 : 1).
pub const IMIX: [(usize, u32); 3] = [(64, 7), (594, 4), (1518, 1)];

/// Layer-4 protocol of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A client's flow to a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Client.
    pub source: (IpAddr, u16),
    /// VIP and port.
    pub destination: (IpAddr, u16),
    /// Protocol.
    pub protocol: Protocol,
}

impl Flow {
    /// A flow of a random client to `destination`; clients of IPv4 are in 10.0.0.0/8, of IPv6 in fd00::/16.
    pub fn random(rng: &mut ChaCha8Rng, destination: (IpAddr, u16), protocol: Protocol) -> Flow {
        let source = match destination.0 {
            IpAddr::V4(_) => IpAddr::from([10, rng.random_range(1..=255), rng.random(), rng.random_range(1..=254)]),
            IpAddr::V6(_) => {
                IpAddr::from([0xfd00, rng.random_range(1..=0xffff), 0, 0, rng.random(), rng.random(), 0, 1])
            }
        };
        Flow { source: (source, rng.random_range(1024..=65535)), destination, protocol }
    }

    fn headers(&self) -> usize {
        let l3 = if self.destination.0.is_ipv4() { 20 } else { 40 };
        14 + l3 + if self.protocol == Protocol::Tcp { 20 } else { 8 }
    }

    /// Size on the wire of its smallest frame, without regard to the minimum of Ethernet.
    pub fn min_size(&self) -> usize {
        self.headers() + FCS
    }

    /// A frame of `size` bytes on the wire (with FCS), or of its smallest size; random payload. TCP has these flags.
    pub fn frame(&self, rng: &mut ChaCha8Rng, destination: Mac, flags: u8, size: usize) -> Vec<u8> {
        let mut payload = vec![0; size.saturating_sub(self.min_size())];
        rng.fill(&mut payload[..]);
        let (source_port, destination_port) = (self.source.1, self.destination.1);
        let upper = match self.protocol {
            Protocol::Tcp => Upper::Tcp(Tcp { source_port, destination_port, flags, options: Vec::new(), payload }),
            Protocol::Udp => Upper::Udp(Udp { source_port, destination_port, payload }),
        };
        let payload = match (self.source.0, self.destination.0) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Payload::Ip4(Ip4::new(source, destination, upper)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Payload::Ip6(Ip6::new(source, destination, upper)),
            _ => unreachable!("the client of a flow has the IP version of its VIP"),
        };
        let client = Mac([2, 0xc1, 0, 0, (source_port >> 8) as u8, source_port as u8]);
        Frame::new(destination, client, payload).padded()
    }
}

/// Frames of one size (or of [`IMIX`]) for random clients of the VIPs, both IP versions and protocols as far as they fit.
pub fn frames(
    rng: &mut ChaCha8Rng,
    size: Option<usize>,
    count: usize,
    destination: Mac,
    vips: &[IpAddr],
) -> Vec<Vec<u8>> {
    let frames = (0..count).map(|_| {
        let size = size.unwrap_or_else(|| imix(rng));
        // A TCP or IPv6 header may be longer than the frame.
        let flow = loop {
            let protocol = if rng.random() { Protocol::Tcp } else { Protocol::Udp };
            let vip = *vips.choose(rng).expect("there is a VIP");
            let port = rng.random();
            let flow = Flow::random(rng, (vip, port), protocol);
            if flow.min_size() <= size {
                break flow;
            }
        };
        flow.frame(rng, destination, ACK, size)
    });
    frames.collect()
}

/// A size of [`IMIX`].
pub fn imix(rng: &mut ChaCha8Rng) -> usize {
    IMIX.choose_weighted(rng, |(_, parts)| *parts).expect("parts are above 0").0
}

/// `rounds` packets of each flow, in random order within a round; (number of the flow, frame). The first is a TCP opening.
pub fn rounds(rng: &mut ChaCha8Rng, flows: &[Flow], rounds: usize, destination: Mac) -> Vec<(usize, Vec<u8>)> {
    let mut packets = Vec::with_capacity(flows.len() * rounds);
    let mut order: Vec<usize> = (0..flows.len()).collect();
    for round in 0..rounds {
        order.shuffle(rng);
        for &flow in &order {
            let (size, flags) = (imix(rng), if round == 0 { SYN } else { ACK });
            packets.push((flow, flows[flow].frame(rng, destination, flags, size)));
        }
    }
    packets
}
