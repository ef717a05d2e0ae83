# SPDX-License-Identifier: Apache-2.0
"""Sends datagrams to the echo server (port 7) at every address given: udp_client.py ADDRESS...

Large ones that fragment, each from another client address, with the answer awaited; and small ones whose socket is
closed before the answer is sent, so that the client's kernel sends ICMP port unreachable.
"""

import ipaddress
import socket
import sys

LARGE = (1473, 2000, 4000, 8000)
IMPATIENT = 8
ECHO_PORT = 7

for text in sys.argv[1:]:
    address = ipaddress.ip_address(text)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    prefix = "10.0.0." if address.version == 4 else "fd00::"
    for number, size in enumerate(LARGE * 2):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.bind((f"{prefix}{number + 1}", 0))
            client.connect((text, ECHO_PORT))
            client.send(bytes(n % 251 for n in range(size)))
            if len(client.recv(65535)) != size:
                sys.exit(f"udp_client: short answer from {text}")
    for number in range(IMPATIENT):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.bind((f"{prefix}{number + 1}", 0))
            client.sendto(b"late", (text, ECHO_PORT))
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.sendto(b"now", (text, ECHO_PORT))
