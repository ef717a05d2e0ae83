# SPDX-License-Identifier: Apache-2.0
"""What a capture shows: frames of a pcap file, SYN-ACKs by connection, source MACs."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

HEARTBEAT = 0x886F
IPV4 = 0x0800
IPV6 = 0x86DD
TCP = 6
SYN_ACK = 0x12
# Two SYN-ACKs of one connection further apart are those of two connections with the same ports.
SAME_CONNECTION_SECONDS = 10.0
# Magic numbers of pcap by byte order and unit of the fraction.
MAGICS = {0xA1B2C3D4: 1e-6, 0xA1B23C4D: 1e-9}
MAX_FRAME = 262_144


@dataclass(frozen=True)
class Frame:
    """Time in seconds, and as much of the frame as was kept."""

    time: float
    data: bytes

    @property
    def destination(self) -> str:
        """MAC address."""
        return self.data[0:6].hex(":")

    @property
    def source(self) -> str:
        """MAC address."""
        return self.data[6:12].hex(":")

    @property
    def ethertype(self) -> int:
        """Without tags: there are none on this bridge."""
        return int.from_bytes(self.data[12:14], "big")


def read_pcap(path: Path) -> Iterator[Frame]:
    """The frames of a pcap file as tcpdump writes it. One that is cut at the end (its writer was killed) ends there."""
    data = path.read_bytes()
    if len(data) < 24:
        return
    for order in "<>":
        unit = MAGICS.get(struct.unpack(f"{order}I", data[:4])[0])
        if unit is not None:
            break
    else:
        raise ValueError(f"{path} is no pcap file")
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, kept, _length = struct.unpack_from(f"{order}IIII", data, at)
        if kept > MAX_FRAME:
            raise ValueError(f"{path}: a frame of {kept} bytes at {at}")
        if at + 16 + kept > len(data):
            return
        yield Frame(seconds + fraction * unit, data[at + 16:at + 16 + kept])
        at += 16 + kept


@dataclass(frozen=True)
class SynAck:
    """What tells an accepted connection from others, and by whom it was accepted."""

    time: float
    connection: tuple[bytes, bytes]
    sequence: int


def syn_acks(frames: Iterable[Frame]) -> Iterator[SynAck]:
    """The SYN-ACKs among the frames."""
    for frame in frames:
        if frame.ethertype == IPV4 and len(frame.data) >= 34 and frame.data[23] == TCP:
            addresses, at = frame.data[26:34], 14 + 4 * (frame.data[14] & 15)
        elif frame.ethertype == IPV6 and len(frame.data) >= 54 and frame.data[20] == TCP:
            addresses, at = frame.data[22:54], 54
        else:
            continue
        segment = frame.data[at:at + 14]
        if len(segment) == 14 and segment[13] & SYN_ACK == SYN_ACK:
            yield SynAck(frame.time, (addresses, segment[0:4]), int.from_bytes(segment[4:8], "big"))


def double_syn_acks(found: Iterable[SynAck]) -> int:
    """Connections that two hosts accepted: SYN-ACKs with different sequence numbers within a short time."""
    by_connection: dict[tuple[bytes, bytes], list[SynAck]] = defaultdict(list)
    for answer in found:
        by_connection[answer.connection].append(answer)
    doubles = 0
    for answers in by_connection.values():
        answers.sort(key=lambda answer: answer.time)
        doubles += sum(after.sequence != before.sequence and after.time - before.time < SAME_CONNECTION_SECONDS
                       for before, after in zip(answers, answers[1:], strict=False))
    return doubles
