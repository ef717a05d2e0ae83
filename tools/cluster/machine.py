# SPDX-License-Identifier: Apache-2.0
"""What the cluster uses of the machine: network namespaces, links and processes, each recorded before it is made, so that all of it can be removed by whoever comes later.

A process is known by its id and start time, a namespace by its name and inode: what is not what was recorded is left alone.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

NETNS = Path("/run/netns")
# Capabilities by their bits in /proc/self/status.
NEEDED = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}
PROGRAMS = {"ip": "iproute2", "bridge": "iproute2", "ethtool": "ethtool", "nginx": "nginx-light"}
OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro")
KILL_SECONDS = 5.0


class MachineError(RuntimeError):
    """One line that says what could not be done."""


def missing() -> str | None:
    """Why clusters cannot run here, in one line; None if they can."""
    lacking = [f"{name} (Debian package {package})" for name, package in PROGRAMS.items() if not find(name)]
    if lacking:
        return f"there is no program {', '.join(lacking)}"
    effective = next((line.split()[1] for line in Path("/proc/self/status").read_text().splitlines()
                      if line.startswith("CapEff:")), "0")
    without = [name for name, bit in NEEDED.items() if not int(effective, 16) >> bit & 1]
    if without:
        return f"it needs root, or {', '.join(without)}"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun: TAP devices are needed"
    try:
        probe = subprocess.run(["unshare", "--net", "ip", "link", "add", "probe", "type", "bridge"], capture_output=True,
                               text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"network namespaces cannot be had: {error}"
    if probe.returncode:
        return f"network namespaces with a bridge cannot be had: {probe.stderr.strip()}"
    return None


def find(program: str) -> str | None:
    """Where a program is; those for root may be off a user's PATH."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def run(command: Sequence[str], text: str | None = None, seconds: float = 30, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; raises with its last line if it fails."""
    try:
        done = subprocess.run(list(command), input=text, stdin=None if text is not None else subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"{' '.join(command)}: no end after {seconds:.0f} s") from error
    except OSError as error:
        raise MachineError(f"{command[0]}: {error}") from error
    if check and done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise MachineError(f"{' '.join(command)}: {last}")
    return done


def inside(space: str, command: Sequence[str]) -> list[str]:
    """The command line that runs a command in a namespace, without a process between."""
    return ["ip", "netns", "exec", space, *command]


def ip(space: str, *lines: str) -> None:
    """Runs lines of `ip` in a namespace."""
    run(["ip", "-n", space, "-batch", "-"], "\n".join(lines) + "\n")


def start_time(pid: int) -> int | None:
    """When a process was started, in ticks since the machine was; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name is in parentheses and may have anything in it.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


@dataclass
class Process:
    """One that was started here."""

    pid: int
    start: int
    what: str

    def alive(self) -> bool:
        """Whether it still is the one that was recorded."""
        return start_time(self.pid) == self.start

    def signal(self, number: int) -> None:
        """Sends a signal, to this one only."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass


@dataclass
class Record:
    """What a cluster has made: kept in a file."""

    path: Path
    spaces: dict[str, int] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    # Links in namespaces of others: [namespace, link].
    links: list[list[str]] = field(default_factory=list)
    options: dict[str, str | int] = field(default_factory=dict)

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        text = json.dumps({"spaces": self.spaces, "processes": [asdict(process) for process in self.processes],
                           "links": self.links, "options": self.options}, indent=1)
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Reads it again."""
        try:
            raw = json.loads(path.read_text())
            return cls(path, dict(raw["spaces"]), [Process(**entry) for entry in raw["processes"]],
                       [list(link) for link in raw["links"]], dict(raw["options"]))
        except (ValueError, KeyError, TypeError) as error:
            raise MachineError(f"{path} cannot be read ({error}): remove it and the namespaces hg-* by hand") from error

    def add_space(self, name: str) -> None:
        """Makes a namespace. One that is there and is nobody's record is refused."""
        if (NETNS / name).exists():
            raise MachineError(f"network namespace {name} is there already: ip netns del {name}")
        # 0: intended. If this process ends here, the name is ours all the same.
        self.spaces[name] = 0
        self.save()
        run(["ip", "netns", "add", name])
        self.spaces[name] = (NETNS / name).stat().st_ino
        self.save()
        ip(name, "link set lo up")

    def add_link(self, space: str, link: str) -> None:
        """Records a link in a namespace that is not this cluster's."""
        self.links.append([space, link])
        self.save()

    def start(self, what: str, command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> Process:
        """Starts a process of its own session that prints into a file, and records it."""
        with log.open("ab") as output:
            child = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                     start_new_session=True, env={**os.environ, **(environment or {})})
        CHILDREN.append(child)
        process = Process(child.pid, start_time(child.pid) or 0, what)
        self.processes = [known for known in self.processes if known.alive()] + [process]
        self.save()
        return process

    def is_ours(self, space: str) -> bool:
        """Whether a namespace is the one that was made."""
        try:
            inode = (NETNS / space).stat().st_ino
        except OSError:
            return False
        return self.spaces.get(space) in (0, inode)

    def inhabitants(self, space: str) -> list[Process]:
        """All processes in a namespace of ours."""
        if not self.is_ours(space):
            return []
        pids = [int(pid) for pid in run(["ip", "netns", "pids", space], check=False).stdout.split()]
        own = {os.getpid(), os.getppid()}
        found = [(pid, start_time(pid)) for pid in pids if pid not in own]
        return [Process(pid, start, space) for pid, start in found if start is not None]

    def remove(self) -> None:
        """Ends all processes and removes all namespaces and links; not the file. May be called again."""
        every = [process for process in self.processes if process.alive()]
        for space in self.spaces:
            known = {process.pid for process in every}
            every += [process for process in self.inhabitants(space) if process.pid not in known]
        end(every)
        for space, link in self.links:
            run(["ip", "-n", space, "link", "del", link], check=False)
        for space in self.spaces:
            if self.is_ours(space):
                run(["ip", "netns", "del", space])
        self.spaces, self.processes, self.links = {}, [], []


# Of this process, to be waited for.
CHILDREN: list[subprocess.Popen[bytes]] = []


def reap() -> None:
    """Takes notice of children that have ended."""
    CHILDREN[:] = [child for child in CHILDREN if child.poll() is None]


def end(processes: list[Process], grace: float = 2.0) -> None:
    """Ends processes: first asked, then not. Stopped ones as well."""
    for process in processes:
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGCONT)
    if not wait_until(lambda: not any(process.alive() for process in processes), grace):
        for process in processes:
            process.signal(signal.SIGKILL)
        if not wait_until(lambda: not any(process.alive() for process in processes), KILL_SECONDS):
            left = ", ".join(f"{process.pid} ({process.what})" for process in processes if process.alive())
            raise MachineError(f"processes do not end: {left}")
    reap()


def wait_until(condition, seconds: float, pause: float = 0.05) -> bool:
    """Looks again and again whether something has come true; whether it did in time."""
    limit = time.monotonic() + seconds
    while True:
        if condition():
            return True
        if time.monotonic() > limit:
            return False
        reap()
        time.sleep(pause)


def cable(space: str, device: str, switch: str, port: str) -> None:
    """A veth pair into the bridge `br0`, without offloads: frames on it are what a wire would carry."""
    run(["ip", "link", "add", device, "netns", space, "type", "veth", "peer", "name", port, "netns", switch])
    for where, name in ((space, device), (switch, port)):
        run(inside(where, ["sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1"]))
        # What an old kernel does not know it does not do either.
        for offload in OFFLOADS:
            run(inside(where, ["ethtool", "-K", name, offload, "off"]), check=False)
        ip(where, f"link set {name} txqueuelen 4096")
    ip(switch, f"link set {port} master br0", f"link set {port} up")
    ip(space, f"link set {device} up")
