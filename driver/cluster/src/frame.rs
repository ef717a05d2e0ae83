// SPDX-License-Identifier: Apache-2.0
//! The extended frame: a [`Message`] as an authenticated Ethernet frame, and back. Layout, limits and byte budget: `docs/heartbeat.md`.
//!
//! Whatever comes in is hostile until its code is verified, and checked against the limits after that as well: no length or
//! number in a frame is used before it is compared with what is there and what is allowed.

mod body;

use crate::auth::Auth;
use crate::message::{HostId, MAX_HOSTS, MAX_RULES, Message};
pub use crate::refusal::{Field, FrameError, Refusal, Refusals};
use crate::wire::Reader;
use std::net::Ipv4Addr;

/// Ethernet type of both frames.
pub const ETHERTYPE: u16 = 0x886f;
/// Signature of the extended frame.
pub const SIGNATURE: u32 = 0xc0de_01c0;
/// Major version: frames of another one are refused.
pub const MAJOR: u8 = 1;
/// Minor version: later ones add TLVs, which earlier ones skip.
pub const MINOR: u8 = 0;
/// Longest frame in bytes, with the Ethernet header, without FCS.
pub const MAX_FRAME: usize = 1514;
/// Sequence numbers are below this; a thousand messages a second reach it after 34 years.
pub const SEQUENCE_LIMIT: u64 = 1 << 40;
/// Echoes in a heartbeat: a member and a candidate of each host.
pub const MAX_ECHOES: usize = 2 * MAX_HOSTS;
/// Maps of a cluster: one for each rule, and that of the default host.
pub const MAX_MAPS: usize = MAX_RULES + 1;

/// Bytes of the Ethernet header.
pub const ETHERNET_BYTES: usize = 14;
/// Bytes of the header with signature, version, host and addresses.
pub const HEADER_BYTES: usize = 20;
/// Bytes of type, reserved byte and length of a TLV.
pub const TLV_BYTES: usize = 4;
/// Bytes of the envelope's value.
pub const ENVELOPE_BYTES: usize = 20;
/// Bytes of a heartbeat without its lists.
pub const HEARTBEAT_BYTES: usize = 112;
/// Bytes of an echo in a heartbeat.
pub const ECHO_BYTES: usize = 16;
/// Bytes of a connection count in a heartbeat.
pub const CONNECTIONS_BYTES: usize = 4;

/// Types of the TLVs.
mod tlv {
    pub const FIRST: u8 = 0x80;
    pub const ENVELOPE: u8 = 0x80;
    pub const HEARTBEAT: u8 = 0x81;
    pub const FETCH: u8 = 0x82;
    pub const MAP_INDEX: u8 = 0x83;
    pub const MAP_PAGE: u8 = 0x84;
    pub const HOLDINGS: u8 = 0x85;
    pub const MAC: u8 = 0xff;
}

/// What a frame of Ethernet type 0x886F is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// For [`Codec::decode`].
    Extended,
    /// For [`crate::membership::Membership::decode`].
    Membership,
}

impl Kind {
    /// By Ethernet type and signature; `None` for others.
    pub fn of(frame: &[u8]) -> Option<Kind> {
        let (ethernet, rest) = frame.split_at_checked(ETHERNET_BYTES)?;
        let signature = u32::from_le_bytes(*rest.first_chunk()?);
        match signature {
            _ if ethernet[12..] != ETHERTYPE.to_be_bytes() => None,
            SIGNATURE => Some(Kind::Extended),
            crate::membership::SIGNATURE => Some(Kind::Membership),
            _ => None,
        }
    }
}

/// Writes and reads the frames of one cluster.
#[derive(Clone, Debug)]
pub struct Codec {
    cluster: Ipv4Addr,
    auth: Auth,
    minor: u8,
    extension: Vec<u8>,
}

impl Codec {
    /// For the cluster with this primary IP.
    pub fn new(primary_ip: Ipv4Addr, auth: Auth) -> Codec {
        Codec { cluster: primary_ip, auth, minor: MINOR, extension: Vec::new() }
    }

    /// Other keys, from the next frame on.
    pub fn set_auth(&mut self, auth: Auth) {
        self.auth = auth;
    }

    /// Writes frames as a later minor version would: with these TLVs (type, value) behind the body. For tests of upgrades; this version
    /// skips them.
    ///
    /// # Panics
    /// If a type is one of this version or a value is longer than a frame.
    pub fn as_later(mut self, minor: u8, extension: &[(u8, &[u8])]) -> Codec {
        self.minor = minor;
        for (kind, value) in extension {
            assert!((tlv::HOLDINGS + 1..tlv::MAC).contains(kind), "type {kind:#04x} is none of a later version");
            assert!(value.len() <= MAX_FRAME, "{} bytes do not fit into a frame", value.len());
            put_tlv(&mut self.extension, *kind, |out| out.extend(*value));
        }
        self
    }

    /// The Ethernet frame of a message, without FCS; never shorter than 60 bytes.
    ///
    /// # Errors
    /// [`FrameError`] if a field is out of range. Every message within the limits fits.
    pub fn encode(
        &self,
        message: &Message,
        source: [u8; 6],
        destination: [u8; 6],
        host_ip: Ipv4Addr,
    ) -> Result<Vec<u8>, FrameError> {
        body::check(message).map_err(|(field, value)| FrameError::Field { field, value })?;
        let mut out = Vec::with_capacity(MAX_FRAME);
        out.extend(destination);
        out.extend(source);
        out.extend(ETHERTYPE.to_be_bytes());
        out.extend(SIGNATURE.to_le_bytes());
        out.extend(u32::from_be_bytes([0, 0, MAJOR, self.minor]).to_le_bytes());
        out.extend(u32::from(message.host.get()).to_le_bytes());
        out.extend(self.cluster.octets());
        out.extend(host_ip.octets());
        put_tlv(&mut out, tlv::ENVELOPE, |out| {
            out.extend(message.incarnation.to_le_bytes());
            out.extend(message.sequence.to_le_bytes());
            out.extend([self.auth.key(), 0, 0, 0]);
        });
        put_tlv(&mut out, body::kind(&message.body), |out| body::write(&message.body, out));
        out.extend(&self.extension);
        if let Some(mac) = self.auth.sign(&out[ETHERNET_BYTES..]) {
            put_tlv(&mut out, tlv::MAC, |out| out.extend(mac));
        }
        if out.len() > MAX_FRAME {
            return Err(FrameError::TooLong(out.len()));
        }
        Ok(out)
    }

    /// The message in an Ethernet frame (without FCS, without tags) of this cluster, its authentication checked. Whether it is new is for
    /// the receiver to check, by incarnation and sequence.
    ///
    /// # Errors
    /// The reason why the frame is to be ignored.
    pub fn decode(&self, frame: &[u8]) -> Result<Message, Refusal> {
        if frame.len() > MAX_FRAME {
            return Err(Refusal::TooLong);
        }
        let (ethernet, content) = frame.split_at_checked(ETHERNET_BYTES).ok_or(Refusal::Truncated)?;
        if ethernet[12..] != ETHERTYPE.to_be_bytes() {
            return Err(Refusal::EtherType);
        }
        let mut reader = Reader::new(content);
        if reader.u32()? != SIGNATURE {
            return Err(Refusal::Signature);
        }
        let [_, major, high @ ..] = reader.array::<4>()?;
        if major != MAJOR || high != [0, 0] {
            return Err(Refusal::Version);
        }
        let host = reader.u32()?;
        if reader.ipv4()? != self.cluster {
            return Err(Refusal::ForeignCluster);
        }
        // Where the sender can be reached, for display by others; nothing here depends on it.
        reader.ipv4()?;

        let parts = Parts::split(content, reader)?;
        let mut envelope = Reader::new(parts.envelope);
        let (incarnation, sequence, key) = (envelope.u64()?, envelope.u64()?, envelope.u8()?);
        self.auth.verify(key, parts.signed, parts.mac)?;
        if parts.mac.is_none() && key != 0 {
            return Err(Refusal::Field(Field::Key));
        }
        envelope.reserved::<3>()?;
        envelope.end()?;

        let host = u8::try_from(host).ok().and_then(HostId::new).ok_or(Refusal::Field(Field::Host))?;
        let (kind, value) = parts.body;
        let message = Message { host, incarnation, sequence, body: body::read(kind, Reader::new(value))? };
        body::check(&message).map_err(|(field, _)| Refusal::Field(field))?;
        Ok(message)
    }
}

/// The parts of a frame, none of which has been looked into.
struct Parts<'a> {
    /// What the code covers.
    signed: &'a [u8],
    envelope: &'a [u8],
    body: (u8, &'a [u8]),
    mac: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// `reader` is behind the header of `content`. Ends, since each TLV has at least the bytes of its own type and length.
    fn split(content: &'a [u8], mut reader: Reader<'a>) -> Result<Parts<'a>, Refusal> {
        let (mut envelope, mut body, mut mac, mut later) = (None, None, None, false);
        let mut signed = content;
        while reader.left() > 0 {
            let before = content.len() - reader.left();
            let (kind, reserved, length) = (reader.u8()?, reader.u8()?, reader.u16()?);
            let value = reader.take(length.into())?;
            let in_order = match kind {
                // Nothing follows the code.
                _ if mac.is_some() => false,
                tlv::ENVELOPE => envelope.replace(value).is_none(),
                _ if envelope.is_none() => false,
                tlv::MAC => {
                    signed = &content[..before];
                    mac = Some(value);
                    true
                }
                tlv::HEARTBEAT..=tlv::HOLDINGS => body.replace((kind, value)).is_none(),
                _ => {
                    later = true;
                    kind >= tlv::FIRST
                }
            };
            if !in_order || reserved != 0 {
                return Err(Refusal::Structure);
            }
        }
        match (envelope, body) {
            (Some(envelope), Some(body)) => Ok(Parts { signed, envelope, body, mac }),
            (Some(_), None) if later => Err(Refusal::UnknownBody),
            // Cut off between two parts.
            _ => Err(Refusal::Truncated),
        }
    }
}

fn put_tlv(out: &mut Vec<u8>, kind: u8, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend([kind, 0, 0, 0]);
    let start = out.len();
    value(out);
    let length = u16::try_from(out.len() - start).expect("values are shorter than a frame");
    out[start - 2..start].copy_from_slice(&length.to_le_bytes());
}
