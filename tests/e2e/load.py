# SPDX-License-Identifier: Apache-2.0
"""The clients: one process in their namespace, which prints what it saw as JSON at its end.

* Probes: a new connection at a fixed pace, from the client addresses in turn, with a time limit for the SYN that is shorter
  than the kernel's first repetition, so that no SYN is sent twice; then one request.
* Sessions: long-lived connections to the echo servers, each of which sends a byte now and then and waits for it.
* Workers: requests on connections that are kept alive, one after the other, each answer compared.

Commands come by standard input, a line each: `close HOST` ends sessions with a host in good order (others replace them),
`end` (or the end of the input) ends it. Times are those of CLOCK_MONOTONIC, the same for all processes of the machine.
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import random
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

# From linux/in.h: the port is chosen when the destination is known, so that all of them can be used for each.
IP_BIND_ADDRESS_NO_PORT = 24
CONNECT_SECONDS = 5.0
MAX_SESSIONS = 5000
# Kept of each kind; more are only counted.
MAX_KEPT = 200_000


@dataclass
class Seen:
    """What happened."""

    # [time, host or "", how it ended, ms]
    probes: list[tuple[float, str, str, float]] = field(default_factory=list)
    # [time, host, why, since when it was there]
    broken: list[tuple[float, str, str, float]] = field(default_factory=list)
    # [time, host or "", why, since when the connection was there]
    failed: list[tuple[float, str, str, float]] = field(default_factory=list)
    opened: int = 0
    requests: int = 0
    by_host: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    busy_seconds: float = 0.0
    slept_late: float = 0.0


class Load:
    """All clients."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.seen = Seen()
        self.ending = asyncio.Event()
        self.sessions: dict[int, str] = {}
        self.closing: set[int] = set()
        self.addresses = itertools.cycle(options.clients.split(","))
        self.addresses6 = itertools.cycle(options.clients6.split(","))
        self.loop = asyncio.get_running_loop()
        self.tasks: list[asyncio.Task[None]] = []

    def open(self, six: bool) -> tuple[socket.socket, str]:
        """A socket with the next client address, and where it shall go."""
        made = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not six:
            made.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        made.bind((next(self.addresses6 if six else self.addresses), 0))
        return made, self.options.vip6 if six else self.options.vip

    async def connect(self, port: int, limit: float, six: bool) -> socket.socket:
        """A connection; OSError or TimeoutError if there is none in time."""
        made, vip = self.open(six)
        self.seen.opened += 1
        try:
            async with asyncio.timeout(limit):
                await self.loop.sock_connect(made, (vip, port))
        except BaseException as error:
            # If this process was late itself, the answer may be there all the same.
            if isinstance(error, TimeoutError) and connected(made):
                return made
            made.close()
            raise
        return made

    async def pause(self, seconds: float) -> bool:
        """Whether it goes on after so long."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self.ending.wait()
            except TimeoutError:
                pass
        return not self.ending.is_set()

    async def probes(self) -> None:
        """A new connection each time, by the clock and not by the answers."""
        running: set[asyncio.Task[None]] = set()
        step = self.options.probe_ms / 1000
        due = time.monotonic()
        for number in itertools.count():
            if not await self.pause(due - time.monotonic()):
                break
            self.seen.slept_late = max(self.seen.slept_late, time.monotonic() - due)
            six = bool(self.options.six) and number % self.options.six == 0
            task = asyncio.create_task(self.probe(six))
            running.add(task)
            task.add_done_callback(running.discard)
            due = max(due + step, time.monotonic() - 1)
        await asyncio.gather(*running)

    async def probe(self, six: bool) -> None:
        """One of them."""
        began = time.monotonic()
        host, how = "", "ok"
        try:
            made = await self.connect(80, self.options.syn_ms / 1000, six)
        except TimeoutError:
            how = "no answer"
        except OSError as error:
            how = error.__class__.__name__
        if how == "ok":
            try:
                async with asyncio.timeout(self.options.answer_seconds):
                    status, _headers, body = await get(self.loop, made, "/host")
                host = body.decode(errors="replace").strip()
                self.seen.by_host[host] += 1
                how = "ok" if status == 200 else f"status {status}"
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                how = f"request: {error.__class__.__name__}"
            finally:
                made.close()
        if len(self.seen.probes) < MAX_KEPT:
            self.seen.probes.append((began, host, how, (time.monotonic() - began) * 1000))

    async def session(self, number: int) -> None:
        """A long-lived connection; another one when it breaks."""
        six = bool(self.options.six) and number % self.options.six == 0
        rng = random.Random(number)
        while not self.ending.is_set():
            try:
                made = await self.connect(self.options.echo_port, CONNECT_SECONDS, six)
            except OSError:
                await self.pause(0.2)
                continue
            host, since = "", time.monotonic()
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    while not host.endswith("\n"):
                        host += (await receive(self.loop, made)).decode(errors="replace")
                host = host.strip()
                self.sessions[number] = host
                while await self.pause(self.options.period * rng.uniform(0.5, 1.5)) and number not in self.closing:
                    async with asyncio.timeout(self.options.echo_seconds):
                        await self.loop.sock_sendall(made, b".")
                        if await receive(self.loop, made) != b".":
                            raise ValueError("not what was sent")
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                if not self.ending.is_set():
                    self.seen.broken.append((time.monotonic(), host, error.__class__.__name__, since))
            finally:
                made.close()
                self.sessions.pop(number, None)
                self.closing.discard(number)

    async def worker(self, path: str, size: int, digest: str) -> None:
        """Requests one after the other, with a new connection every so often."""
        made: socket.socket | None = None
        left, host, since = 0, "", 0.0
        while not self.ending.is_set():
            try:
                if made is None:
                    host, since = "", time.monotonic()
                    made, left = await self.connect(80, CONNECT_SECONDS, False), self.options.keep
                began = time.monotonic()
                async with asyncio.timeout(self.options.answer_seconds):
                    status, headers, body = await get(self.loop, made, path)
                if status != 200 or len(body) != size or hashlib.sha256(body).hexdigest() != digest:
                    raise ValueError(f"status {status}, {len(body)} bytes")
                host = headers.get("x-host", "")
                self.seen.requests += 1
                self.seen.bytes += len(body)
                self.seen.busy_seconds += time.monotonic() - began
                left -= 1
                if left == 0:
                    self.seen.by_host[host] += 1
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                if not self.ending.is_set() and len(self.seen.failed) < MAX_KEPT:
                    self.seen.failed.append((time.monotonic(), host, f"{error.__class__.__name__} {error}".strip(), since))
                await self.pause(0.1)
                left = 0
            if left <= 0 and made is not None:
                made.close()
                made = None
            if self.options.think:
                await self.pause(self.options.think)
        if made is not None:
            made.close()

    async def commands(self) -> None:
        """What the test says."""
        reader = asyncio.StreamReader()
        await self.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := (await reader.readline()).decode().split():
            if line[0] == "end":
                break
            if line[0] == "close":
                self.closing |= {number for number, host in self.sessions.items() if host == line[1]}
            if line[0] == "count":
                say({"sessions": Counter(self.sessions.values()), "now": time.monotonic()})
        self.ending.set()

    async def run(self) -> None:
        """All of it, to the end."""
        options = self.options
        jobs = [self.commands()]
        jobs += [self.session(number) for number in range(options.sessions)]
        if options.workers:
            with open(options.page, "rb") as file:
                content = file.read()
            digest = hashlib.sha256(content).hexdigest()
            path = "/" + os.path.basename(options.page)
            jobs += [self.worker(path, len(content), digest) for _ in range(options.workers)]
        self.tasks = [asyncio.create_task(job) for job in jobs]
        limit = time.monotonic() + options.ready_seconds
        while len(self.sessions) < options.sessions and time.monotonic() < limit and await self.pause(0.05):
            pass
        if options.probe_ms:
            self.tasks.append(asyncio.create_task(self.probes()))
        began = time.monotonic()
        say({"ready": len(self.sessions), "now": began})
        await self.pause(options.seconds)
        self.ending.set()
        took = time.monotonic() - began
        _done, late = await asyncio.wait(self.tasks, timeout=options.answer_seconds + CONNECT_SECONDS + 2)
        for task in late:
            task.cancel()
        seen = self.seen
        for task in self.tasks:
            if task.done() and not task.cancelled() and task.exception():
                raise task.exception()
        say({"probes": seen.probes, "broken": seen.broken, "failed": seen.failed, "opened": seen.opened,
             "requests": seen.requests, "bytes": seen.bytes, "by_host": seen.by_host, "seconds": took,
             "busy_seconds": seen.busy_seconds, "late_ms": seen.slept_late * 1000})


def say(what: dict) -> None:
    """A line of JSON."""
    print(json.dumps(what), flush=True)


def connected(made: socket.socket) -> bool:
    """Whether the handshake is done."""
    try:
        made.getpeername()
    except OSError:
        return False
    return True


async def receive(loop: asyncio.AbstractEventLoop, made: socket.socket) -> bytes:
    """Some bytes; EOFError if there are no more."""
    data = await loop.sock_recv(made, 65536)
    if not data:
        raise EOFError("the connection was closed")
    return data


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and header fields of an HTTP response."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise ValueError(f"no HTTP response: {first[:60]!r}")
    fields = (line.partition(":") for line in lines)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in fields}


async def get(loop: asyncio.AbstractEventLoop, made: socket.socket, path: str) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection that stays open; status, header fields, body."""
    await loop.sock_sendall(made, f"GET {path} HTTP/1.1\r\nHost: vip\r\n\r\n".encode())
    data = bytearray()
    while b"\r\n\r\n" not in data:
        if len(data) > 65536:
            raise ValueError("the head of the response does not end")
        data += await receive(loop, made)
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    status, headers = parse_head(head)
    size = int(headers.get("content-length", "-1"))
    if size < 0:
        raise ValueError("a response without a length")
    body = bytearray(body)
    while len(body) < size:
        body += await receive(loop, made)
    return status, headers, bytes(body)


async def run(options: argparse.Namespace) -> None:
    """In the loop."""
    await Load(options).run()


def main() -> None:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vip", required=True)
    parser.add_argument("--vip6", required=True)
    parser.add_argument("--clients", required=True, help="addresses, separated by commas")
    parser.add_argument("--clients6", required=True)
    parser.add_argument("--echo-port", type=int, default=7007)
    parser.add_argument("--six", type=int, default=0, help="every so-manieth connection is IPv6 (0: none)")
    parser.add_argument("--probe-ms", type=float, default=0, help="a new connection so often (0: none)")
    parser.add_argument("--syn-ms", type=float, default=200)
    parser.add_argument("--answer-seconds", type=float, default=10)
    parser.add_argument("--sessions", type=int, default=0, choices=range(MAX_SESSIONS + 1), metavar="N")
    parser.add_argument("--period", type=float, default=1.0, help="a byte so often, seconds")
    parser.add_argument("--echo-seconds", type=float, default=15)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--keep", type=int, default=20, help="requests on a connection")
    parser.add_argument("--think", type=float, default=0, help="seconds between two requests of a worker")
    parser.add_argument("--page", default="", help="file that the workers get, as it is here")
    parser.add_argument("--ready-seconds", type=float, default=60)
    parser.add_argument("--seconds", type=float, required=True, help="the most that it runs")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
