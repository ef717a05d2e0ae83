// SPDX-License-Identifier: Apache-2.0
//! What a wire port of a served NIC is plugged into.

use crate::capture::{self, Packet};
use crate::refuse;
use crate::run::MIN_FRAME;
use anyhow::Result;
use hashgate_netdev::{MAX_FRAME, NetDevice, PacketSocket, Tap};
use hashgate_sim::{SimNic, WireFrame};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Frames that may wait to go into a port; beyond it they wait in the interface, which drops what it cannot keep.
const WAITING: usize = 64;

/// What a wire port is plugged into, as the command line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plug {
    /// Nothing: what is sent is gone.
    None,
    /// Its own other end: what is sent comes back in.
    Loop,
    /// A TAP device of this name.
    Tap(String),
    /// An interface that exists.
    Raw(String),
    /// Frames of a capture, at their times, once; what is sent is gone.
    Pcap(PathBuf),
}

impl FromStr for Plug {
    type Err = String;

    fn from_str(text: &str) -> Result<Plug, String> {
        match text.split_once(':') {
            None if text == "none" => Ok(Plug::None),
            None if text == "loop" => Ok(Plug::Loop),
            Some(("tap", name)) if !name.is_empty() => Ok(Plug::Tap(name.into())),
            Some(("raw", name)) if !name.is_empty() => Ok(Plug::Raw(name.into())),
            Some(("pcap", file)) if !file.is_empty() => Ok(Plug::Pcap(file.into())),
            _ => Err("write tap:NAME, raw:INTERFACE, pcap:FILE, loop or none".into()),
        }
    }
}

enum End {
    None,
    Loop,
    Device(Box<dyn NetDevice>),
    Capture(VecDeque<Packet>),
}

/// A wire port with what it is plugged into.
pub struct Wire {
    number: u8,
    end: End,
    buffer: Vec<u8>,
    /// Frames that went in.
    pub received: u64,
    /// Frames that went out.
    pub sent: u64,
    /// Frames that the other end did not take.
    pub dropped: u64,
}

impl Wire {
    /// Plugs port `number`.
    ///
    /// # Errors
    /// If the interface or the capture cannot be had.
    pub fn new(number: u8, plug: &Plug) -> Result<Wire> {
        let end = match plug {
            Plug::None => End::None,
            Plug::Loop => End::Loop,
            Plug::Tap(name) => End::Device(Box::new(Tap::open(name, false).map_err(refuse)?)),
            Plug::Raw(name) => End::Device(Box::new(PacketSocket::open(name).map_err(refuse)?)),
            Plug::Pcap(file) => {
                let mut packets = capture::read(file)?;
                let first = packets.first().map_or(0, |packet| packet.time_ns);
                packets.iter_mut().for_each(|packet| packet.time_ns = packet.time_ns.saturating_sub(first));
                End::Capture(packets.into())
            }
        };
        Ok(Wire { number, end, buffer: vec![0; MAX_FRAME + 1], received: 0, sent: 0, dropped: 0 })
    }

    /// To wait on for frames.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        if let End::Device(device) = &self.end { Some(device.as_fd()) } else { None }
    }

    /// Whether the port has a link: it is plugged into something that is up.
    pub fn has_link(&self) -> bool {
        match &self.end {
            End::None => false,
            End::Loop | End::Capture(_) => true,
            End::Device(device) => device.has_link(),
        }
    }

    /// How long until the next frame of a capture, `now` after the start.
    pub fn next_in(&self, now: Duration) -> Option<Duration> {
        let End::Capture(packets) = &self.end else { return None };
        packets.front().map(|packet| Duration::from_nanos(packet.time_ns).saturating_sub(now))
    }

    /// Moves frames both ways; gives whether any went in. `now` is the time since the start.
    ///
    /// # Errors
    /// If the interface fails; one that is down only takes nothing.
    pub fn exchange(&mut self, nic: &mut SimNic, now: Duration) -> Result<bool> {
        let before = self.received;
        while let Some(frame) = nic.pop_wire(self.number) {
            self.sent += 1;
            // A MAC would spoil the FCS of an aborted frame, and the receiver drop it.
            match &mut self.end {
                _ if frame.aborted => self.dropped += 1,
                End::Device(device) => match device.send(&frame.data) {
                    Ok(true) => {}
                    Ok(false) | Err(_) => self.dropped += 1,
                },
                End::Loop => {
                    self.received += 1;
                    nic.push_wire(self.number, wire_frame(frame.data, false));
                }
                End::None | End::Capture(_) => {}
            }
        }
        match &mut self.end {
            End::Device(device) => {
                while nic.rx_pending() < WAITING {
                    let Some(length) = device.receive(&mut self.buffer)? else { break };
                    self.received += 1;
                    nic.push_wire(self.number, wire_frame(self.buffer[..length].to_vec(), false));
                }
            }
            End::Capture(packets) => {
                while let Some(packet) = packets.pop_front_if(|packet| {
                    nic.rx_pending() < WAITING && Duration::from_nanos(packet.time_ns) <= now && !packet.data.is_empty()
                }) {
                    self.received += 1;
                    nic.push_wire(self.number, wire_frame(packet.data, packet.error));
                }
            }
            End::None | End::Loop => {}
        }
        Ok(self.received != before)
    }
}

/// Senders fill short frames up.
fn wire_frame(mut data: Vec<u8>, error: bool) -> WireFrame {
    if data.len() < MIN_FRAME {
        data.resize(MIN_FRAME, 0);
    }
    WireFrame { data, error, gap: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugs_are_read_from_words() {
        for (text, plug) in [
            ("none", Some(Plug::None)),
            ("loop", Some(Plug::Loop)),
            ("tap:hg0", Some(Plug::Tap("hg0".into()))),
            ("raw:eth1", Some(Plug::Raw("eth1".into()))),
            ("pcap:a:b.pcap", Some(Plug::Pcap("a:b.pcap".into()))),
            ("", None),
            ("tap", None),
            ("tap:", None),
            ("eth0", None),
        ] {
            assert_eq!(text.parse().ok(), plug, "{text}");
        }
    }
}
