// SPDX-License-Identifier: Apache-2.0
//! Writes pcapng (draft-ietf-opsawg-pcapng): one section, an interface for each wire port, and a comment on every packet.

use crate::capture::Packet;
use std::io::{Result, Write};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const OPTION_COMMENT: u16 = 1;
const OPTION_FLAGS: u16 = 2;
const OPTION_NAME: u16 = 2;
const OPTION_TIME_RESOLUTION: u16 = 9;
/// CRC error, among the link-layer errors of a packet's flags.
const CRC_ERROR: u32 = 1 << 24;

/// A capture file that is being written.
pub struct Writer<W: Write> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Begins a file with the named interfaces, all Ethernet, time in nanoseconds.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, interfaces: &[&str]) -> Result<Writer<W>> {
        let mut writer = Writer { out };
        // Byte order, version 1.0, length of the section not given.
        let body = [&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
        writer.block(SECTION, &body)?;
        for name in interfaces {
            // Link type Ethernet, no limit of length.
            let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0];
            option(&mut body, OPTION_NAME, name.as_bytes());
            option(&mut body, OPTION_TIME_RESOLUTION, &[9]);
            option(&mut body, 0, &[]);
            writer.block(INTERFACE, &body)?;
        }
        Ok(writer)
    }

    /// Writes a packet with a comment.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn packet(&mut self, packet: &Packet, comment: &str) -> Result<()> {
        let length = (packet.data.len() as u32).to_le_bytes();
        let (high, low) = ((packet.time_ns >> 32) as u32, packet.time_ns as u32);
        let mut body = Vec::with_capacity(packet.data.len() + comment.len() + 48);
        for word in [packet.interface.to_le_bytes(), high.to_le_bytes(), low.to_le_bytes(), length, length] {
            body.extend(word);
        }
        body.extend(&packet.data);
        body.resize(body.len().next_multiple_of(4), 0);
        option(&mut body, OPTION_COMMENT, comment.as_bytes());
        if packet.error {
            option(&mut body, OPTION_FLAGS, &CRC_ERROR.to_le_bytes());
        }
        option(&mut body, 0, &[]);
        self.block(ENHANCED_PACKET, &body)
    }

    /// Hands everything to the file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> Result<()> {
        self.out.flush()
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> Result<()> {
        let length = (body.len() as u32 + 12).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&length)?;
        self.out.write_all(body)?;
        self.out.write_all(&length)
    }
}

/// Appends an option, filled up to four bytes.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}
