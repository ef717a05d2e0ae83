// SPDX-License-Identifier: Apache-2.0
//! Messages of the control socket: whole datagrams of a Unix socket of type SOCK_SEQPACKET, little-endian.
//!
//! A message has a header of 8 bytes (operation, status, id) and a payload. Frames go by a socket of their own, which comes with the answer to
//! [`op::HELLO`]; each datagram there has a header of [`FRAME_HEADER`] bytes (NIC time, wire port, 0) and the frame.

/// Begins the payload of [`op::HELLO`]: "HGHP".
pub const MAGIC: u32 = 0x4847_4850;
/// Version of the protocol.
pub const VERSION: u32 = 1;
/// Bytes of the header of a message.
pub const HEADER: usize = 8;
/// Bytes of the longest request.
pub const MAX_REQUEST: usize = 64;
/// Bytes of the longest answer.
pub const MAX_ANSWER: usize = 16384;
/// Bytes before a frame.
pub const FRAME_HEADER: usize = 16;
/// EtherType of heartbeats, whose frames go to the controller.
pub const HEARTBEAT: u16 = 0x886f;

/// Operations.
pub mod op {
    /// First message: magic, version. Answer: version, bytes of BAR 0; with file descriptors: socket of frames, the eventfds of
    /// the two rings, a socket that gets a byte for each fault of one of them; the last three in the order of [`LENT_VECTORS`](super::LENT_VECTORS).
    pub const HELLO: u16 = 1;
    /// Register read: offset. Answer: value.
    pub const READ: u16 = 2;
    /// Register write: offset, value. Answered only if it is refused; as every refusal, the answer has the first word of the request.
    pub const WRITE: u16 = 3;
    /// Register write that is always answered: offset, value.
    pub const WRITE_ACKNOWLEDGED: u16 = 4;
    /// Read of the configuration space: offset, bytes. Answer: value.
    pub const CONFIG_READ: u16 = 5;
    /// Memory for the device: address and bytes, 64 bit each. Answer: nothing, with the file of the memory.
    pub const MAP: u16 = 6;
    /// Takes it back: address, 64 bit.
    pub const UNMAP: u16 = 7;
    /// Counters. Answer: JSON.
    pub const STATS: u16 = 8;
    /// Bit of the operation of an answer.
    pub const ANSWER: u16 = 1 << 15;
}

/// Status of answers.
pub mod status {
    /// Done.
    pub const OK: u16 = 0;
    /// The host path serves another controller.
    pub const BUSY: u16 = 1;
    /// The message makes no sense, or is of another version.
    pub const BAD_REQUEST: u16 = 2;
    /// A register that belongs to the host path.
    pub const HOST_PATH_REGISTER: u16 = 3;
    /// A ring whose memory is not the controller's.
    pub const FOREIGN_MEMORY: u16 = 4;
    /// More memory than a controller gets.
    pub const LIMIT: u16 = 5;
    /// An address that is not the controller's, not whole pages, or in use.
    pub const ADDRESS: u16 = 6;
    /// The backend refused.
    pub const BACKEND: u16 = 7;
}

/// Vectors that are lent: events, table mover, faults of these two.
pub const LENT_VECTORS: [usize; 3] =
    [hashgate_regs::host::EVENTS, hashgate_regs::host::MOVER, hashgate_regs::host::FAULT_VECTOR];

/// A message without its file descriptors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// See [`op`].
    pub op: u16,
    /// See [`status`]; 0 in a request.
    pub status: u16,
    /// Chosen by whoever asks, repeated in the answer.
    pub id: u32,
    /// What belongs to the operation.
    pub payload: Vec<u8>,
}

impl Message {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.payload.len());
        bytes.extend(self.op.to_le_bytes());
        bytes.extend(self.status.to_le_bytes());
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// From bytes; `None` if the header is not whole.
    pub fn from_bytes(bytes: &[u8]) -> Option<Message> {
        let (header, payload) = bytes.split_first_chunk::<HEADER>()?;
        let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let id = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        Some(Message { op: half(0), status: half(2), id, payload: payload.to_vec() })
    }

    /// The payload as exactly `N` words of 32 bits.
    pub fn words<const N: usize>(&self) -> Option<[u32; N]> {
        if self.payload.len() != 4 * N {
            return None;
        }
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(self.payload.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Some(words)
    }
}

/// A payload of words.
pub fn payload(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Header of a frame on the socket of frames.
pub fn frame_header(time_ns: u64, port: u8) -> [u8; FRAME_HEADER] {
    let mut header = [0; FRAME_HEADER];
    header[..8].copy_from_slice(&time_ns.to_le_bytes());
    header[8] = port;
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_and_short_ones_are_none() {
        let message = Message { op: op::READ | op::ANSWER, status: 3, id: 0x0102_0304, payload: payload(&[7, 8]) };
        let bytes = message.to_bytes();
        assert_eq!(bytes[..HEADER], [2, 0x80, 3, 0, 4, 3, 2, 1]);
        assert_eq!(Message::from_bytes(&bytes), Some(message.clone()));
        assert_eq!(message.words(), Some([7, 8]));
        assert_eq!(message.words::<1>(), None);
        assert_eq!(Message::from_bytes(&bytes[..HEADER - 1]), None);
        assert_eq!(frame_header(1, 1)[..9], [1, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
