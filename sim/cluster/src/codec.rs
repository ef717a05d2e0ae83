// SPDX-License-Identifier: Apache-2.0
//! Messages through the frames of `driver/cluster`: written, signed, verified and read, as version n and as version n + 1.
//!
//! Version n + 1 is what `docs/heartbeat.md` allows a later minor version to be: another minor number, and TLVs that version
//! n does not know, as many bytes as the largest heartbeat leaves.

use hashgate_cluster::auth::{Auth, Keys};
use hashgate_cluster::frame::{Codec, FrameError, MINOR, Refusal};
use hashgate_cluster::message::Message;
use std::net::Ipv4Addr;
use std::sync::LazyLock;

const CLUSTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const KEY: [u8; 32] = [0x5a; 32];
/// What version n + 1 says beside the rest: 36 bytes with types and lengths.
const EXTENSION: [(u8, &[u8]); 2] = [(0x90, &[0x11; 12]), (0xa0, &[0x22; 16])];

static NOW: LazyLock<Codec> = LazyLock::new(|| {
    let keys = Keys::new(1, [(1, &KEY[..])]).expect("the key is good");
    Codec::new(CLUSTER, Auth::Keys(keys))
});
static LATER: LazyLock<Codec> = LazyLock::new(|| NOW.clone().as_later(MINOR + 1, &EXTENSION));

/// The Ethernet frame of a message, without FCS; `later`: by version n + 1.
///
/// # Errors
/// If a field is out of range.
pub fn frame(message: &Message, later: bool) -> Result<Vec<u8>, FrameError> {
    let codec = if later { &LATER } else { &NOW };
    let host = message.host.get();
    codec.encode(message, [2, 0, 0, 0, 0, host], [0xff; 6], Ipv4Addr::new(192, 0, 2, 100 + host))
}

/// The message in a frame, as version n reads it.
///
/// # Errors
/// The reason why it is to be ignored.
pub fn message(frame: &[u8]) -> Result<Message, Refusal> {
    NOW.decode(frame)
}

/// There and back: the message as others read it, and the length of the frame. `None`: it is not written or read, or others read
/// something else than was said.
pub fn through(said: &Message, later: bool) -> Option<(Message, usize)> {
    let frame = frame(said, later).ok()?;
    let read = message(&frame).ok()?;
    (read == *said).then_some((read, frame.len()))
}
