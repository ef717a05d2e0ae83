# SPDX-License-Identifier: Apache-2.0
"""Answers UDP datagrams with themselves, on all addresses, from the address they were sent to: udp_echo.py PORT.

The answer to a datagram `late` waits until a datagram `now` comes, so that a client can go away before.
"""

import selectors
import socket
import struct
import sys

# Not in the socket module of Python 3.11.
IP_PKTINFO = 8

port = int(sys.argv[1])
selector = selectors.DefaultSelector()
for family, level, option in ((socket.AF_INET, socket.IPPROTO_IP, IP_PKTINFO),
                              (socket.AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO)):
    server = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.setsockopt(level, option, 1)
    server.bind(("", port))
    selector.register(server, selectors.EVENT_READ)
late = []
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        data, control, _, peer = key.fileobj.recvmsg(65535, 256)
        for level, kind, info in control:
            if level == socket.IPPROTO_IP:  # answer from the address that was asked
                control = [(level, kind, struct.pack("I4s4s", 0, info[4:8], b""))]
        answer = (key.fileobj, [data], control, 0, peer)
        if data == b"late":
            late.append(answer)
            continue
        for asked, *arguments in [answer, *late] if data == b"now" else [answer]:
            asked.sendmsg(*arguments)
        if data == b"now":
            late.clear()
