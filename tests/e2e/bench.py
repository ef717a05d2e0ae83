# SPDX-License-Identifier: Apache-2.0
"""What the scenarios are made of: checks that are counted, clients, captures, faults."""

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "cluster"))

import machine  # noqa: E402
import packets  # noqa: E402
from cluster import Cluster  # noqa: E402
from machine import MachineError  # noqa: E402
from plan import Plan  # noqa: E402
from report import Results  # noqa: E402

ANSWER_SECONDS = 30.0


@dataclass
class Checks:
    """What was found: a line for each."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """What goes on."""
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def check(self, good: bool, text: str, detail: object = "") -> bool:
        """One check; the detail is for when it fails."""
        if good:
            self.passed += 1
            self.say(f"ok    {text}")
        else:
            self.failed.append(text)
            self.say(f"FAIL  {text}{f': {detail}' if detail != '' else ''}")
        return good


class Clients:
    """The process of the clients (`load.py`)."""

    def __init__(self, cluster: Cluster, seconds: float, **options: object) -> None:
        plan = cluster.plan
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        command = [sys.executable, str(HERE / "load.py"), f"--vip={plan.vip}", f"--vip6={plan.vip6}", f"--seconds={seconds}",
                   f"--clients={','.join(plan.clients)}", f"--clients6={','.join(plan.clients6)}", f"--page={plan.run / 'www' / 'page'}", *words]
        self.errors = plan.run / "load.log"
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(machine.inside(cluster.space("client"), command), stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.sessions = int(options.get("sessions", 0))  # type: ignore[call-overload]

    def read(self) -> None:
        """Takes what it prints, so that it never waits."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def line(self, seconds: float) -> dict[str, Any]:
        """What it says next."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            self.kill()
            raise MachineError(f"the clients say nothing for {seconds:.0f} s") from None
        if line is None:
            last = self.errors.read_text(errors="replace").splitlines()[-1:]
            raise MachineError(f"the clients have ended: {last[0] if last else 'they say nothing'}")
        return json.loads(line)

    def ready(self) -> "Clients":
        """Waits until all sessions are there."""
        said = self.line(90)
        if said["ready"] != self.sessions:
            self.kill()
            raise MachineError(f"only {said['ready']} of {self.sessions} sessions could be opened")
        return self

    def command(self, *words: str) -> None:
        """Tells it something."""
        assert self.process.stdin
        try:
            self.process.stdin.write(" ".join(words) + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise MachineError(f"the clients have ended: {error}") from error

    def by_host(self) -> dict[str, int]:
        """How many sessions each host has now."""
        self.command("count")
        return self.line(ANSWER_SECONDS)["sessions"]

    def finish(self) -> dict[str, Any]:
        """Ends it; what it saw."""
        try:
            self.command("end")
        except MachineError:
            # Its time was up: it has printed all.
            pass
        said = self.line(60)
        self.kill()
        return said

    def kill(self) -> None:
        """Ends it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Capture:
    """tcpdump on an interface, into a file that is read at the end."""

    def __init__(self, cluster: Cluster, where: str, interface: str, expression: str, snap: int = 128) -> None:
        self.file = cluster.plan.run / f"capture-{where}-{interface}-{time.monotonic_ns()}.pcap"
        self.log = self.file.with_suffix(".log")
        command = ["tcpdump", "-Z", "root", "-n", "-p", "-U", "--immediate-mode", "-B", "8192", "-s", str(snap), "-i", interface, "-w", str(self.file), expression]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(machine.inside(cluster.space(where), command), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        if not machine.wait_until(lambda: "listening on" in self.log.read_text(errors="replace") or self.process.poll() is not None, 15) \
                or self.process.poll() is not None:
            self.kill()
            raise MachineError(f"tcpdump: {(self.log.read_text(errors='replace').splitlines() or ['it says nothing'])[-1]}")

    def frames(self) -> list[packets.Frame]:
        """Ends it; what it took."""
        self.kill()
        found = list(packets.read_pcap(self.file))
        self.file.unlink()
        return found

    def kill(self) -> None:
        """Ends it in good order, so that the file is whole."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


@dataclass
class Bench:
    """All that scenarios share."""

    checks: Checks
    results: Results
    programs: Path
    device: str
    quick: bool
    hosts: int
    repeat: int
    limit: float

    def plan(self, name: str, **options: Any) -> Plan:
        """A cluster of this run's kind."""
        return Plan(name, **{"hosts": self.hosts, "device": self.device, **options})

    def cluster(self, plan: Plan) -> Cluster:
        """Not up yet."""
        if time.monotonic() > self.limit:
            raise MachineError("the time for all of it is up")
        return Cluster(plan, self.programs)

    @property
    def soft(self) -> bool:
        """Whether the NICs are fast."""
        return self.device == "soft"

    @property
    def stable_seconds(self) -> float:
        """How long a cluster may take."""
        return 30.0 if self.soft else 240.0


def start_echo(cluster: Cluster, host: str) -> None:
    """The server of the long-lived connections, if it does not run."""
    if cluster.processes(f"echo {host}"):
        return
    log = cluster.plan.run / host / "echo.log"
    log.write_text("")
    process = cluster.start(host, f"echo {host}", [sys.executable, str(HERE / "echo.py"), host], log)
    cluster.ready(process, lambda: "listening" in log.read_text(errors="replace"), log)


def up(cluster: Cluster, bench: Bench) -> None:
    """Brings a cluster up, with all servers, and waits until it is stable."""
    cluster.up()
    try:
        for host in cluster.plan.members:
            start_echo(cluster, host.name)
        cluster.wait_stable(seconds=bench.stable_seconds)
    except BaseException:
        cluster.down()
        raise


def bring_back(cluster: Cluster, bench: Bench, host: str) -> None:
    """Whatever a host lacks is started; waits until all are stable."""
    start_echo(cluster, host)
    cluster.start_host(host)
    cluster.wait_stable(seconds=bench.stable_seconds)


# Faults: what happens to a host, and what ends it (what does not run is started afterwards in all cases).

def kill_daemon(cluster: Cluster, host: str) -> None:
    """lbd dies."""
    for process in cluster.processes(f"lbd {host}"):
        process.signal(signal.SIGKILL)


def stop_host(cluster: Cluster, host: str) -> None:
    """All processes stand still."""
    for process in cluster.inhabitants(host):
        process.signal(signal.SIGSTOP)


def continue_host(cluster: Cluster, host: str) -> None:
    """They go on."""
    for process in cluster.inhabitants(host):
        process.signal(signal.SIGCONT)


def unplug(cluster: Cluster, host: str) -> None:
    """The cable is pulled."""
    machine.ip(cluster.space(host), "link set wire down")


def plug(cluster: Cluster, host: str) -> None:
    """It is plugged in again."""
    machine.ip(cluster.space(host), "link set wire up")


def kill_nic(cluster: Cluster, host: str) -> None:
    """The NIC dies."""
    for process in cluster.of_program(host, "hashgate-softnic", "lbsim"):
        process.signal(signal.SIGKILL)


def nic_is_missed(cluster: Cluster, host: str) -> None:
    """Host path and daemon notice that it is gone, and end."""
    gone = machine.wait_until(lambda: not cluster.of_program(host, "hashgate-hostpath", "lbd"), 20)
    if not gone:
        left = ", ".join(Path(f"/proc/{process.pid}/exe").readlink().name for process in cluster.of_program(host, "hashgate-hostpath", "lbd"))
        raise MachineError(f"the NIC of {host} is gone for 20 s, and {left} goes on")


def power_off(cluster: Cluster, host: str) -> None:
    """All processes die at once."""
    for process in cluster.inhabitants(host):
        process.signal(signal.SIGKILL)


def nothing(_cluster: Cluster, _host: str) -> None:
    """Nothing ends it."""


FAULT_ACTIONS: dict[str, tuple[Callable[[Cluster, str], None], Callable[[Cluster, str], None]]] = {
    "daemon_killed": (kill_daemon, nothing),
    "host_stopped": (stop_host, continue_host),
    "link_down": (unplug, plug),
    "nic_killed": (kill_nic, nic_is_missed),
    "host_gone": (power_off, nothing),
}

# For what runs in a namespace and is too small for a file: arguments are those of sys.argv.
SEND = """
import socket, sys, time
vip, port, rate, count, hexes = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5].split(",")
datagrams = [bytes.fromhex(one) for one in hexes]
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
began, sent = time.monotonic(), 0
while sent < count:
    due = min(count, int((time.monotonic() - began) * rate) + 1)
    while sent < due:
        sender.sendto(datagrams[sent % len(datagrams)], (vip, port))
        sent += 1
    time.sleep(0.001)
print(sent)
"""
FETCH = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())
"""


def metric(cluster: Cluster, host: str, name: str, labels: str = "") -> float:
    """The sum of a metric's series with these labels, from a host's page."""
    page = cluster.run(host, sys.executable, "-c", FETCH, "http://127.0.0.1:9504/metrics").stdout
    return sum_of(page, name, labels)


def sum_of(page: str, name: str, labels: str = "") -> float:
    """The sum of the series with this name and text in its labels."""
    total = 0.0
    for line in page.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and labels in series:
            total += float(value)
    return total


