// SPDX-License-Identifier: Apache-2.0
//! Where a device is on the PCI buses of the machine.

use crate::VfioError;
use std::fmt;
use std::str::FromStr;

/// PCI address of a device: `DOMAIN:BUS:DEVICE.FUNCTION`, in hexadecimal as `lspci -D` shows it; the domain may be left
/// out if it is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// A hexadecimal number of at most `digits` digits; unlike the standard library's it takes no sign.
fn hex(text: &str, digits: usize) -> Option<u32> {
    let good = (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good { u32::from_str_radix(text, 16).ok() } else { None }
}

impl Address {
    fn parse(text: &str) -> Option<Address> {
        let (rest, function) = text.rsplit_once('.')?;
        let (rest, device) = rest.rsplit_once(':')?;
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
        let (device, function) = (hex(device, 2)?, hex(function, 1)?);
        if device > 0x1f || function > 7 {
            return None;
        }
        let [bus, device, function] = [hex(bus, 2)?, device, function].map(|number| number as u8);
        Some(Address { domain: hex(domain, 8)?, bus, device, function })
    }
}

impl FromStr for Address {
    type Err = VfioError;

    fn from_str(text: &str) -> Result<Address, VfioError> {
        Address::parse(text).ok_or_else(|| VfioError::Address { text: text.chars().take(40).collect() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.domain, self.bus, self.device, self.function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_lspci_shows_them() {
        for (text, same) in [
            ("0000:03:00.0", "0000:03:00.0"),
            ("03:1f.7", "0000:03:1f.7"),
            ("10000:e1:00.0", "10000:e1:00.0"),
            ("ABCD:ef:0A.1", "abcd:ef:0a.1"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), same);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "03",
            "03:00",
            "0000:03:00",
            "03:20.0",
            "03:00.8",
            "103:00.0",
            ":03:00.0",
            "03:00.",
            "+3:00.0",
            "0000:03:00.0/..",
            "1:0000:03:00.0",
            "123456789:03:00.0",
            "../03:00.0",
            "ü3:00.0",
        ] {
            let refused = text.parse::<Address>().unwrap_err().to_string();
            assert!(refused.contains(&format!("'{text}'")) && refused.contains("0000:03:00.0"), "{refused}");
        }
    }
}
