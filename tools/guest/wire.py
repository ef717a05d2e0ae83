#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The far end of a wire: a TAP device with an address, the server of the NIC that is plugged into it, and a TCP client.

    wire.py SERVER [ARGUMENT ...]

Run it in a network namespace of its own (`unshare --net`), which takes the TAP device with it when it ends. The server
is to plug the NIC into the TAP device `wire0`. The client does what the host at the other end asks for:

    host -> client   number of bytes, u32 little-endian; 0 ends it
    client -> host   so many random bytes, and their SHA-256
    host -> client   the bytes, as they come
    client -> host   SHA-256 of what came back

Exit code 0 if the host ended it, 77 with the reason on the last line if there can be no TAP device here.
"""

import fcntl
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

NAME = b"wire0"
ADDRESS, HOST, NETMASK = "10.9.0.2", ("10.9.0.1", 5201), "255.255.255.0"
SKIPPED = 77
# Most time for the host to come up, and for each answer of it.
UP_SECONDS, ANSWER_SECONDS = 240, 60
# <linux/if_tun.h>, <linux/sockios.h>, <linux/if.h>
TUNSETIFF, TUNSETPERSIST, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x400454CB, 0x0002, 0x1000
SIOCSIFADDR, SIOCSIFNETMASK, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x891C, 0x8913, 0x8914, 0x1


def make_tap() -> None:
    """Makes the TAP device, for the server to open, and gives it its address."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", NAME, IFF_TAP | IFF_NO_PI))
    fcntl.ioctl(tap, TUNSETPERSIST, 1)
    os.close(tap)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, address in ((SIOCSIFADDR, ADDRESS), (SIOCSIFNETMASK, NETMASK)):
            place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, request, struct.pack("16s16s8x", NAME, place))
        flags = struct.unpack("16xH22x", fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16s24x", NAME)))[0]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", NAME, flags | IFF_UP))


def connect(server: subprocess.Popen[bytes]) -> socket.socket:
    """A connection to the host, as soon as it is there."""
    end = time.monotonic() + UP_SECONDS
    while time.monotonic() < end:
        try:
            return socket.create_connection(HOST, timeout=2)
        except OSError:
            # Nobody answers there yet. Waits before the next try, unless the server ends.
            try:
                raise RuntimeError(f"the server ended with exit code {server.wait(0.2)}")
            except subprocess.TimeoutExpired:
                pass
    raise RuntimeError(f"nobody listens at {HOST[0]}:{HOST[1]} after {UP_SECONDS} s")


def receive(stream: socket.socket, count: int) -> bytes:
    """So many bytes; fewer only at the end of the connection."""
    data = bytearray()
    while len(data) < count and (part := stream.recv(count - len(data))):
        data += part
    return bytes(data)


def do_as_asked(stream: socket.socket) -> None:
    """Sends and takes back what the host asks for, until it has enough."""
    stream.settimeout(ANSWER_SECONDS)
    while True:
        asked = receive(stream, 4)
        if len(asked) < 4:
            raise RuntimeError("the host closed the connection before the end")
        count = int.from_bytes(asked, "little")
        if count == 0:
            return
        data = os.urandom(count)
        sender = threading.Thread(target=stream.sendall, args=(data + hashlib.sha256(data).digest(),), daemon=True)
        sender.start()
        back = receive(stream, count)
        sender.join(ANSWER_SECONDS)
        print(f"{count} bytes sent, {len(back)} came back, {'the same' if back == data else 'CHANGED'}", flush=True)
        stream.sendall(hashlib.sha256(back).digest())


def main() -> int:
    """Makes the TAP device, starts the server, and is the client."""
    try:
        make_tap()
    except OSError as error:
        print(f"no TAP device: {error}")
        return SKIPPED
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL) as server:
        try:
            with connect(server) as stream:
                do_as_asked(stream)
            # The host still ends in good order, with the NIC.
            server.wait(UP_SECONDS)
        finally:
            server.send_signal(signal.SIGTERM)
    return 0


if __name__ == "__main__":
    sys.exit(main())
