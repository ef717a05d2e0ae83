// SPDX-License-Identifier: Apache-2.0
//! The key of a packet, its mask and the Toeplitz hash ("Keys and hash" of `docs/dataplane.md`).

use hashgate_tables::{BUCKETS, KeyMask};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The fields that a bucket hash is computed over and that bindings are found by. Both addresses are of one IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port, 0 if unknown or absent.
    pub source_port: u16,
    /// Destination port, 0 if unknown or absent.
    pub destination_port: u16,
}

impl Key {
    /// Keeps what the mask names and zeroes the rest.
    pub fn masked(&self, mask: &KeyMask) -> Key {
        let port = |keep: bool, port: u16| if keep { port } else { 0 };
        let source = match self.source {
            IpAddr::V4(a) => Ipv4Addr::from_bits(prefix(a.to_bits().into(), 32, mask.src4) as u32).into(),
            IpAddr::V6(a) => Ipv6Addr::from_bits(prefix(a.to_bits(), 128, mask.src6)).into(),
        };
        let destination = match (mask.dst, self.destination) {
            (true, address) => address,
            (false, IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (false, IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Key {
            source,
            destination,
            source_port: port(mask.sport, self.source_port),
            destination_port: port(mask.dport, self.destination_port),
        }
    }

    /// The hashed bytes in order: addresses, then ports, big-endian; 12 for IPv4, 36 for IPv6.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(36);
        for address in [self.source, self.destination] {
            match address {
                IpAddr::V4(a) => bytes.extend(a.octets()),
                IpAddr::V6(a) => bytes.extend(a.octets()),
            }
        }
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.destination_port.to_be_bytes());
        bytes
    }

    /// The bucket of this key, already masked, 0..4096.
    pub fn bucket(&self, hash_key: &[u8]) -> u16 {
        (toeplitz(hash_key, &self.bytes()) as usize % BUCKETS) as u16
    }
}

/// The leading `keep` bits of a number of `width` bits.
fn prefix(value: u128, width: u32, keep: u8) -> u128 {
    (0..width).filter(|bit| *bit < keep.into()).map(|bit| value & 1 << (width - 1 - bit)).sum()
}

/// The Toeplitz hash: for every set bit of the input, counted from the most significant bit of the first byte, the 32
/// bits of the key that start at the same position, all XORed.
///
/// # Panics
/// If the key is not at least four bytes longer than the input.
pub fn toeplitz(key: &[u8], input: &[u8]) -> u32 {
    assert!(key.len() >= input.len() + 4, "a {}-byte key is too short for {} bytes", key.len(), input.len());
    let bit = |bytes: &[u8], n: usize| u32::from(bytes[n / 8] >> (7 - n % 8) & 1);
    let mut hash = 0;
    for n in 0..8 * input.len() {
        if bit(input, n) == 1 {
            let window = (0..32).fold(0, |w, i| w << 1 | bit(key, n + i));
            hash ^= window;
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use hashgate_tables::STANDARD_HASH_KEY;

    /// The published verification values of receive-side scaling: destination, source, hash over the addresses, hash
    /// with the TCP ports.
    const PUBLISHED: [(&str, u16, &str, u16, u32, u32); 8] = [
        ("161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e_8fc2, 0x51cc_c178),
        ("65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718_262a, 0xc626_b0ea),
        ("12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0_a5de, 0x5c2b_394a),
        ("209.142.163.6", 2217, "38.27.205.30", 48228, 0x8298_9176, 0xafc7_327f),
        ("202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d18_09c5, 0x10e8_28a2),
        ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc1_8cd5, 0x4020_7d3d),
        ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c_461c, 0xdde5_1bbf),
        ("fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4b61_e985, 0x02d1_feef),
    ];

    #[test]
    fn published_values() {
        for (destination, destination_port, source, source_port, addresses, with_ports) in PUBLISHED {
            let key = Key {
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
                source_port,
                destination_port,
            };
            assert_eq!(toeplitz(&STANDARD_HASH_KEY, &key.bytes()), with_ports, "{key:?}");
            assert_eq!(key.bucket(&STANDARD_HASH_KEY), (with_ports & 0xfff) as u16);
            let mask = KeyMask { sport: false, dport: false, ..KeyMask::ALL };
            assert_eq!(toeplitz(&STANDARD_HASH_KEY, &key.masked(&mask).bytes()), addresses, "{key:?}");
        }
    }

    #[test]
    fn masks_keep_prefixes() {
        let key = Key {
            source: "192.0.2.255".parse().unwrap(),
            destination: "198.51.100.7".parse().unwrap(),
            source_port: 1,
            destination_port: 2,
        };
        let class_c = key.masked(&KeyMask::CLASS_C);
        assert_eq!(class_c.bytes(), [192, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(key.masked(&KeyMask { src4: 0, ..KeyMask::SOURCE }).bytes(), [0; 12]);
        assert_eq!(key.masked(&KeyMask { src4: 25, ..KeyMask::SOURCE }).bytes()[..4], [192, 0, 2, 128]);
        assert_eq!(key.masked(&KeyMask::ALL), key);
        let key6 = Key {
            source: "2001:db8:ffff:ffff:ffff::1".parse().unwrap(),
            destination: "2001:db8::2".parse().unwrap(),
            source_port: 1,
            destination_port: 2,
        };
        assert_eq!(key6.masked(&KeyMask::CLASS_C).source, "2001:db8:ffff:ffff::".parse::<IpAddr>().unwrap());
        assert_eq!(key6.masked(&KeyMask { src6: 1, ..KeyMask::SOURCE }).source, IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        assert_eq!(key6.masked(&KeyMask { src6: 128, ..KeyMask::SOURCE }).source, key6.source);
    }
}
