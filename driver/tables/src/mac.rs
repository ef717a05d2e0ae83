// SPDX-License-Identifier: Apache-2.0
//! MAC addresses.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A MAC address, bytes in wire order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// All zero: not set.
    pub const ZERO: Mac = Mac([0; 6]);
    /// Broadcast.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Unicast mode: 02-BF-w-x-y-z of the primary IP w.x.y.z (requirement N9).
    pub fn unicast_cluster(primary: Ipv4Addr) -> Mac {
        let [w, x, y, z] = primary.octets();
        Mac([0x02, 0xbf, w, x, y, z])
    }
    /// Unicast mode: 02-h-w-x-y-z, the masked source of the host with priority h.
    pub fn masked_source(primary: Ipv4Addr, priority: u8) -> Mac {
        let [w, x, y, z] = primary.octets();
        Mac([0x02, priority, w, x, y, z])
    }
    /// Multicast mode: 03-BF-w-x-y-z.
    pub fn multicast_cluster(primary: Ipv4Addr) -> Mac {
        let [w, x, y, z] = primary.octets();
        Mac([0x03, 0xbf, w, x, y, z])
    }
    /// IGMP mode: 01-00-5E-7F-y-z.
    pub fn igmp_cluster(primary: Ipv4Addr) -> Mac {
        let [_, _, y, z] = primary.octets();
        Mac([0x01, 0x00, 0x5e, 0x7f, y, z])
    }
    /// Whether the group bit is set.
    pub fn is_multicast(&self) -> bool {
        self.0[0] & 1 == 1
    }
    /// The address as a 48-bit number, first byte on the wire most significant.
    pub fn to_u64(self) -> u64 {
        self.0.iter().fold(0, |n, b| n << 8 | u64::from(*b))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A string that is not six hexadecimal bytes.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not a MAC address: write six hexadecimal bytes, as in 02:bf:0a:00:00:64")]
pub struct MacError(String);

impl FromStr for Mac {
    type Err = MacError;
    fn from_str(s: &str) -> Result<Mac, MacError> {
        let bad = || MacError(s.to_owned());
        let mut mac = [0; 6];
        let mut parts = s.split([':', '-']);
        for byte in &mut mac {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Mac(mac)) }
    }
}
