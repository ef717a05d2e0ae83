// SPDX-License-Identifier: Apache-2.0
//! The edits of frames that the host sends ("Host transmit" of `docs/dataplane.md`).

use crate::decide::zone;
use crate::parse::{ETHERTYPE_ARP, ETHERTYPE_HEARTBEAT, ETHERTYPE_IP6, ICMP6, Window, parse_layer2};
use crate::{MAX_FRAME, MIN_FRAME, WINDOW};
use hashgate_regs::defs::VipKind;
use hashgate_tables::Tables;
use std::net::IpAddr;

/// What becomes of a frame that the host sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxResult {
    /// The frame on the wire, without FCS; `None` if it is dropped for its length.
    pub frame: Option<Vec<u8>>,
    /// The source MAC was masked.
    pub masked: bool,
    /// An ARP sender address was rewritten.
    pub arp: bool,
    /// A neighbour-discovery option was rewritten.
    pub nd: bool,
    /// Has the priority of control frames on the wire.
    pub control: bool,
}

const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
/// Options that are looked at.
const OPTIONS: usize = 3;

/// Edits a frame that the host sends to wire port `port`.
pub fn transmit(tables: &Tables, port: u8, frame: &[u8]) -> TxResult {
    if frame.len() < 14 || frame.len() > MAX_FRAME {
        return TxResult::default();
    }
    let mut out = frame.to_vec();
    out.resize(out.len().max(MIN_FRAME), 0);
    let layer2 = parse_layer2(frame);
    let l3 = layer2.l3;
    let window = Window(frame);
    let cluster = tables.settings.cluster_mac;
    let is_vip = |address: IpAddr| {
        let zone = zone(tables, port, layer2.vlan);
        tables.vips.iter().any(|v| v.kind == VipKind::Vip && v.zone == zone && v.addr == address)
    };
    let mut result = TxResult::default();

    if tables.settings.mask_source && layer2.source == cluster {
        overwrite(&mut out, 6, &tables.settings.mask_mac.0);
        result.masked = true;
    }
    match layer2.ethertype {
        ETHERTYPE_HEARTBEAT => result.control = true,
        ETHERTYPE_ARP => {
            result.control = true;
            let ethernet_ip4 = window.bytes(l3) == [0, 1, 8, 0, 6, 4];
            if ethernet_ip4 && matches!(window.u16(l3 + 6), 1 | 2) && is_vip(window.ip4(l3 + 14)) {
                overwrite(&mut out, l3 + 8, &cluster.0);
                result.arp = true;
            }
        }
        ETHERTYPE_IP6 if window.u8(l3) >> 4 == 6 && window.u8(l3 + 6) == ICMP6 => {
            let icmp = l3 + 40;
            let kind = window.u8(icmp);
            result.control = (133..=137).contains(&kind);
            let (announced, fixed, wanted) = match kind {
                ROUTER_SOLICITATION => (window.ip6(l3 + 8), 8, SOURCE_LINK_LAYER),
                NEIGHBOUR_SOLICITATION => (window.ip6(l3 + 8), 24, SOURCE_LINK_LAYER),
                NEIGHBOUR_ADVERTISEMENT => (window.ip6(icmp + 8), 24, TARGET_LINK_LAYER),
                _ => return TxResult { frame: Some(out), ..result },
            };
            if is_vip(announced)
                && let Some(option) = find_option(&window, icmp + fixed, wanted)
            {
                let checksum = updated_checksum(window.u16(icmp + 2), &window.bytes(option + 2), &cluster.0);
                overwrite(&mut out, icmp + 2, &checksum.to_be_bytes());
                overwrite(&mut out, option + 2, &cluster.0);
                result.nd = true;
            }
        }
        _ => {}
    }
    TxResult { frame: Some(out), ..result }
}

/// Where the first option of type `wanted` and length 8 among the first three begins, if it is inside the window.
fn find_option(window: &Window, first: usize, wanted: u8) -> Option<usize> {
    let mut at = first;
    for _ in 0..OPTIONS {
        let (kind, units) = (window.u8(at), usize::from(window.u8(at + 1)));
        if kind == wanted && units == 1 && at + 8 <= WINDOW {
            return Some(at);
        }
        if units == 0 {
            return None;
        }
        at += 8 * units;
    }
    None
}

/// Overwrites what lies inside the frame.
fn overwrite(frame: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in frame.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// The checksum after three words `old` became `new`: HC' = ~(~HC + ~m + m') of RFC 1624 in one's complement for each
/// word in turn, without any special case for 0x0000 and 0xffff.
///
/// A one's-complement sum of numbers that are not all zero is their ordinary sum modulo 0xffff, with 0xffff in the
/// place of 0; so the order and the number of the carries that hardware folds do not matter.
fn updated_checksum(checksum: u16, old: &[u8; 6], new: &[u8; 6]) -> u16 {
    let words = |bytes: &[u8; 6]| [0, 2, 4].map(|i| u16::from_be_bytes([bytes[i], bytes[i + 1]]));
    let mut sum = u64::from(!checksum);
    for (m, m_new) in words(old).into_iter().zip(words(new)) {
        sum += u64::from(!m) + u64::from(m_new);
    }
    let folded = if sum == 0 { 0 } else { (sum - 1) % 0xffff + 1 };
    !(folded as u16)
}
