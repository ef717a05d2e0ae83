#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what a capture holds and checks it: inspect.py FILE.pcapng.

Exit code 1 if a kind of traffic that tests/captures/make.sh makes is missing, if a checksum is wrong (an offload was
left on), or if a frame that the server sent itself is in it.
"""

import struct
import sys
from collections import Counter
from pathlib import Path

CLUSTER_MAC = bytes.fromhex("02bf0a000064")
# Least number of frames of each kind.
REQUIRED = {
    "ipv4 tcp": 1000, "ipv6 tcp": 500, "ipv4 udp dns": 100, "ipv6 udp dns": 100, "ipv4 udp": 4, "ipv6 udp": 4,
    "ipv4 first fragment": 10, "ipv4 later fragment": 10, "ipv6 first fragment": 10, "ipv6 later fragment": 10,
    "ipv4 echo": 9, "ipv6 echo": 9, "ipv4 fragmentation needed": 4, "ipv6 packet too big": 4,
    "ipv4 unreachable": 2, "ipv6 unreachable": 2, "arp": 1, "neighbour discovery": 2,
}


def frames(data: bytes):
    """Frames of the enhanced packet blocks."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 6:
            captured, original = struct.unpack_from("<II", data, at + 20)
            if captured != original:
                sys.exit(f"inspect: a frame of {original} bytes was cut to {captured}")
            yield data[at + 28:at + 28 + captured]
        at += length


def total(data: bytes) -> int:
    """Internet checksum over the data, 0xffff if it holds a right one."""
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f">{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def layer4(version: str, protocol: int, pseudo: bytes, payload: bytes) -> tuple[str, bool]:
    """(kind, checksum right) of an unfragmented packet."""
    pseudo += struct.pack(">I", len(payload)) + struct.pack(">I", protocol)
    if protocol == 6:
        return f"{version} tcp", total(pseudo + payload) == 0xFFFF
    if protocol == 17:
        dns = struct.unpack_from(">H", payload, 2)[0] == 53
        return f"{version} udp{' dns' if dns else ''}", total(pseudo + payload) == 0xFFFF
    if protocol == 1:
        kind = {(8, 0): "echo", (3, 4): "fragmentation needed"}.get((payload[0], payload[1]))
        kind = kind or ("unreachable" if payload[0] == 3 else "other icmp")
        return f"{version} {kind}", total(payload) == 0xFFFF
    if protocol == 58:
        right = total(pseudo + payload) == 0xFFFF
        if 133 <= payload[0] <= 137:
            return "neighbour discovery", right
        kind = {128: "echo", 2: "packet too big", 1: "unreachable"}.get(payload[0], "other icmp")
        return f"{version} {kind}", right
    return f"{version} protocol {protocol}", True


def classify(frame: bytes) -> tuple[str, bool]:
    """(kind, checksums right) of a frame."""
    ethertype = struct.unpack_from(">H", frame, 12)[0]
    packet = frame[14:]
    if ethertype == 0x0806:
        return "arp", True
    if ethertype == 0x0800:
        header, length = 4 * (packet[0] & 15), struct.unpack_from(">H", packet, 2)[0]
        fragment = struct.unpack_from(">H", packet, 6)[0]
        right = total(packet[:header]) == 0xFFFF
        if fragment & 0x1FFF:
            return "ipv4 later fragment", right
        if fragment & 0x2000:
            return "ipv4 first fragment", right
        kind, good = layer4("ipv4", packet[9], packet[12:20], packet[header:length])
        return kind, right and good
    if ethertype == 0x86DD:
        length, following, at = struct.unpack_from(">H", packet, 4)[0], packet[6], 40
        while following in (0, 43, 60):
            following, at = packet[at], at + 8 * (packet[at + 1] + 1)
        if following == 44:
            later = struct.unpack_from(">H", packet, at + 2)[0] & 0xFFF8
            return f"ipv6 {'later' if later else 'first'} fragment", True
        return layer4("ipv6", following, packet[8:40], packet[at:40 + length])
    return f"ethertype {ethertype:04x}", True


def main() -> int:
    """Prints the table."""
    counts: Counter = Counter()
    clients = set()
    problems = []
    for number, frame in enumerate(frames(Path(sys.argv[1]).read_bytes()), 1):
        kind, right = classify(frame)
        counts[kind] += 1
        if kind.endswith("tcp"):
            clients.add(frame[26:30] if kind.startswith("ipv4") else frame[22:38])
        if not right:
            problems.append(f"frame {number} ({kind}) has a wrong checksum")
        if frame[6:12] == CLUSTER_MAC:
            problems.append(f"frame {number} ({kind}) was sent by the server")
    for kind, count in sorted(counts.items()):
        print(f"  {count:6}  {kind}")
    print(f"  {sum(counts.values()):6}  frames, {len(clients)} client addresses")
    problems += [f"{counts[kind]} frames of kind '{kind}', at least {least} are wanted"
                 for kind, least in REQUIRED.items() if counts[kind] < least]
    for problem in problems[:10]:
        print(f"inspect: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
