// SPDX-License-Identifier: Apache-2.0
//! Reads captures: pcap (both byte orders, micro- and nanoseconds) and pcapng.

use anyhow::{Context, Result, bail};
use pcap_parser::pcapng::{parse_block_be, parse_block_le, parse_sectionheaderblock};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{
    Block, Linktype, OptionCode, PcapNGOption, nom, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_header,
};
use std::path::Path;

/// Longest packet that is believed, as in libpcap; a longer one is a damaged file.
const MAX_PACKET: usize = 262_144;
/// Upper half of the flags of a pcapng packet: errors seen by the link layer (bad FCS, coding ...).
const LINK_ERRORS: u32 = 0xffff_0000;

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// From the destination MAC on, without FCS.
    pub data: Vec<u8>,
    /// The capture says that the link layer found it bad.
    pub error: bool,
    /// Number of the interface in its section; 0 in pcap.
    pub interface: u32,
    /// The capture holds only its beginning.
    pub cut: bool,
}

/// Reads a whole capture.
///
/// # Errors
/// One line that names file, place and reason: not a capture, truncated, damaged, or not Ethernet.
pub fn read(path: &Path) -> Result<Vec<Packet>> {
    let file = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("{file}: cannot be read"))?;
    parse(&bytes).with_context(|| file.to_string())
}

fn parse(bytes: &[u8]) -> Result<Vec<Packet>> {
    match bytes.get(..4) {
        Some(
            [0xd4, 0xc3, 0xb2, 0xa1] | [0xa1, 0xb2, 0xc3, 0xd4] | [0x4d, 0x3c, 0xb2, 0xa1] | [0xa1, 0xb2, 0x3c, 0x4d],
        ) => pcap(bytes),
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng(bytes),
        Some(magic) => {
            let magic = magic.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
            bail!("not a capture: it begins with {magic}, a pcap file with d4 c3 b2 a1, a pcapng file with 0a 0d 0d 0a")
        }
        None => bail!("not a capture: it has {} bytes, the shortest capture has 24", bytes.len()),
    }
}

/// What a parser of a part of the file gave, or why there is none; `at` is where the part begins.
fn part<'a, T, E: std::fmt::Debug>(
    result: nom::IResult<&'a [u8], T, E>,
    bytes: &'a [u8],
    at: usize,
    what: &str,
) -> Result<(usize, T)> {
    match result {
        Ok((rest, part)) => Ok((bytes.len() - rest.len(), part)),
        Err(nom::Err::Incomplete(_)) => {
            bail!("truncated: {what} at byte {at} reaches beyond the end, byte {}", bytes.len())
        }
        Err(_) => bail!("damaged: {what} at byte {at} cannot be read"),
    }
}

fn ethernet(link: Linktype) -> Result<()> {
    if link != Linktype::ETHERNET {
        bail!("link type {} is not Ethernet (1): a NIC takes Ethernet frames", link.0);
    }
    Ok(())
}

fn believable(number: usize, length: usize) -> Result<()> {
    if length > MAX_PACKET {
        bail!("damaged: packet {number} has {length} bytes, the limit is {MAX_PACKET}");
    }
    Ok(())
}

fn pcap(bytes: &[u8]) -> Result<Vec<Packet>> {
    let (mut at, header) = part(parse_pcap_header(bytes), bytes, 0, "the file header")?;
    // The upper bits of the link type tell about the FCS.
    ethernet(Linktype(header.network.0 & 0xffff))?;
    let unit = if header.is_nanosecond_precision() { 1 } else { 1000 };
    let mut packets = Vec::new();
    while at < bytes.len() {
        let rest = &bytes[at..];
        let what = format!("packet {}", packets.len() + 1);
        let frame = if header.is_bigendian() { parse_pcap_frame_be(rest) } else { parse_pcap_frame(rest) };
        if let Some(length) = rest.get(8..12) {
            let length: [u8; 4] = length.try_into()?;
            let length = if header.is_bigendian() { u32::from_be_bytes(length) } else { u32::from_le_bytes(length) };
            believable(packets.len() + 1, length as usize)?;
        }
        let (next, frame) = part(frame, bytes, at, &what)?;
        packets.push(Packet {
            time_ns: u64::from(frame.ts_sec) * 1_000_000_000 + u64::from(frame.ts_usec) * unit,
            data: frame.data.to_vec(),
            error: false,
            interface: 0,
            cut: frame.caplen < frame.origlen,
        });
        at = next;
    }
    Ok(packets)
}

/// Units of an interface's time stamps.
struct Clock {
    per_second: u64,
    offset_seconds: i64,
}

impl Clock {
    fn nanoseconds(&self, high: u32, low: u32) -> u64 {
        let units = u128::from(high) << 32 | u128::from(low);
        let nanoseconds = units * 1_000_000_000 / u128::from(self.per_second);
        (nanoseconds as i128 + i128::from(self.offset_seconds) * 1_000_000_000).clamp(0, u64::MAX.into()) as u64
    }
}

fn pcapng(bytes: &[u8]) -> Result<Vec<Packet>> {
    let (mut at, mut big_endian) = (0, false);
    let mut clocks: Vec<Clock> = Vec::new();
    let mut packets = Vec::new();
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
            let (next, section) = part(parse_sectionheaderblock(rest), bytes, at, "a section header")?;
            (at, big_endian) = (next, section.big_endian());
            clocks.clear();
            continue;
        }
        let parsed = if big_endian { parse_block_be(rest) } else { parse_block_le(rest) };
        let what = format!("a block behind packet {}", packets.len());
        let (next, block) = part(parsed, bytes, at, &what)?;
        let number = packets.len() + 1;
        match block {
            Block::InterfaceDescription(interface) => {
                ethernet(interface.linktype)?;
                let per_second = interface.ts_resolution().filter(|units| *units > 0);
                let per_second = per_second.with_context(|| format!("damaged: time resolution at byte {at}"))?;
                clocks.push(Clock { per_second, offset_seconds: interface.ts_offset() });
            }
            Block::EnhancedPacket(packet) => {
                let clock = clocks.get(packet.if_id as usize).with_context(|| {
                    format!("damaged: packet {number} is of interface {}, the file has {}", packet.if_id, clocks.len())
                })?;
                believable(number, packet.packet_data().len())?;
                packets.push(Packet {
                    time_ns: clock.nanoseconds(packet.ts_high, packet.ts_low),
                    data: packet.packet_data().to_vec(),
                    error: flags(&packet.options, big_endian) & LINK_ERRORS != 0,
                    interface: packet.if_id,
                    cut: packet.truncated(),
                });
            }
            Block::SimplePacket(packet) => {
                if clocks.is_empty() {
                    bail!("damaged: packet {number} comes before the description of its interface");
                }
                believable(number, packet.packet_data().len())?;
                let length = packet.packet_data().len().min(packet.orig_len() as usize);
                packets.push(Packet {
                    time_ns: 0,
                    data: packet.packet_data()[..length].to_vec(),
                    error: false,
                    interface: 0,
                    cut: length < packet.orig_len() as usize,
                });
            }
            _ => {}
        }
        at = next;
    }
    Ok(packets)
}

/// The flags of a packet; 0 if it has none.
fn flags(options: &[PcapNGOption], big_endian: bool) -> u32 {
    let option = options.iter().find(|option| option.code == OptionCode(2));
    let value = option.and_then(|option| <[u8; 4]>::try_from(option.value().get(..4)?).ok());
    value.map_or(0, |value| if big_endian { u32::from_be_bytes(value) } else { u32::from_le_bytes(value) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcapng::Writer;

    fn sample() -> Vec<Packet> {
        let packet = |n: u8, error| Packet {
            time_ns: 1_700_000_000_123_456_789 + u64::from(n),
            data: vec![n; 60 + usize::from(n)],
            error,
            interface: u32::from(n & 1),
            cut: false,
        };
        vec![packet(0, false), packet(1, true), packet(2, false), packet(3, false)]
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, &["left", "right"]).unwrap();
        for packet in sample() {
            writer.packet(&packet, "a comment").unwrap();
        }
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(parse(&written()).unwrap(), sample());
    }

    /// A pcap file with one packet of 60 bytes, in the byte order and time unit of the magic number.
    fn small_pcap(magic: u32, big: bool) -> Vec<u8> {
        let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let version = if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
        let mut bytes = [word(magic), version, word(0), word(0), word(65535), word(1)].concat();
        bytes.extend([word(5), word(7), word(60), word(64)].concat());
        bytes.extend([9; 60]);
        bytes
    }

    #[test]
    fn pcap_of_both_byte_orders_and_units() {
        for big in [false, true] {
            for (magic, time_ns) in [(0xa1b2_c3d4, 5_000_007_000), (0xa1b2_3c4d, 5_000_000_007)] {
                let packets = parse(&small_pcap(magic, big)).unwrap();
                let expected = Packet { time_ns, data: vec![9; 60], error: false, interface: 0, cut: true };
                assert_eq!(packets, [expected]);
            }
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_or_ends_at_a_packet() {
        for (whole, name) in [(written(), "pcapng"), (small_pcap(0xa1b2_c3d4, false), "pcap")] {
            let all = parse(&whole).unwrap().len();
            let mut complete = 0;
            for end in 0..whole.len() {
                match parse(&whole[..end]) {
                    Ok(packets) => {
                        assert!(packets.len() < all, "{name} cut at {end}");
                        complete += 1;
                    }
                    Err(error) => {
                        let message = format!("{error:#}");
                        assert!(message.contains("truncated") || message.contains("not a capture"), "{end}: {message}");
                    }
                }
            }
            // Only a cut exactly between two blocks makes a shorter, sound file.
            assert!(complete <= 2 + all, "{name}: {complete}");
        }
    }

    #[test]
    fn damage_is_refused_without_panic() {
        let message = |bytes: &[u8]| format!("{:#}", parse(bytes).unwrap_err());
        assert!(message(b"\x7fELF and so on").starts_with("not a capture: it begins with 7f 45 4c 46"));
        assert!(message(b"").starts_with("not a capture: it has 0 bytes"));
        let mut wifi = small_pcap(0xa1b2_c3d4, false);
        wifi[20] = 105;
        assert!(message(&wifi).starts_with("link type 105 is not Ethernet"));
        let mut huge = small_pcap(0xa1b2_c3d4, false);
        huge[32..36].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        assert!(message(&huge).contains("packet 1 has 2147483647 bytes, the limit is 262144"));
        // Every byte of every header spoiled in turn: an answer or a refusal, but no panic.
        for whole in [written(), small_pcap(0xa1b2_3c4d, true)] {
            for at in 0..whole.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut spoiled = whole.clone();
                    spoiled[at] = value;
                    let _ = parse(&spoiled);
                }
            }
        }
    }
}
