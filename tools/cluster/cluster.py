# SPDX-License-Identifier: Apache-2.0
"""A cluster on one machine: hosts in network namespaces on a Linux bridge, each with a simulated NIC, `lbd` and a web server, and a namespace of clients. For `run.py` and the end-to-end tests."""

import contextlib
import json
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import machine
from machine import MachineError, Process, Record
from plan import BIG_BYTES, PAGE_BYTES, Plan, activation, cluster_toml, nginx_conf, page

ROOT = Path(__file__).resolve().parent.parent.parent
NEEDED = ("lbd", "lbctl", "hashgate-hostpath")
STABLE_SECONDS = 60.0
# Of the sockets of programs that start.
READY_SECONDS = 30.0


def programs_folder(given: str | None, device: str) -> Path:
    """Where the programs are; refuses a folder that lacks one."""
    folder = Path(given).resolve() if given else ROOT / "target" / "release"
    needed = (*NEEDED, "hashgate-softnic" if device == "soft" else "lbsim")
    lacking = [name for name in needed if not os.access(folder / name, os.X_OK)]
    if lacking:
        raise MachineError(f"{folder} has no {', '.join(lacking)}: cargo build --locked --release")
    return folder


class Cluster:
    """One cluster. Use it as a context: whatever happens, nothing of it is left."""

    def __init__(self, plan: Plan, programs: Path, say: Callable[[str], None] = lambda _text: None) -> None:
        self.plan = plan
        self.programs = programs
        self.say = say
        self.record = Record(plan.run / "record.json")
        self.up_hosts: set[str] = set()

    def __enter__(self) -> "Cluster":
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # Up and down

    def up(self, hosts: Sequence[str] | None = None) -> None:
        """Makes everything and starts all hosts, or those named; what was made is removed if it fails."""
        self.prepare()
        try:
            for host in [host.name for host in self.plan.members] if hosts is None else hosts:
                self.start_host(host)
        except BaseException:
            self.down()
            raise

    def prepare(self) -> None:
        """Files and network, nothing that runs."""
        plan = self.plan
        plan.runs.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            plan.run.mkdir(mode=0o755)
        except FileExistsError:
            raise MachineError(f"cluster {plan.name} is there already: make cluster-down (or tools/cluster/run.py down "
                               f"--name {plan.name})") from None
        self.record.options = {"hosts": plan.hosts, "device": plan.device, "mode": plan.mode, "number": plan.number,
                               "bridge": plan.bridge, "programs": str(self.programs)}
        self.record.save()
        try:
            self.write_files()
            self.network()
        except BaseException:
            self.down()
            raise

    def write_files(self) -> None:
        """Keys, configuration, web pages, programs of the shell."""
        plan = self.plan
        for key in (plan.auth_key(), plan.control_key()):
            write(key, secrets.token_hex(32) + "\n", 0o600)
        www = plan.run / "www"
        www.mkdir()
        (www / "page").write_bytes(page(PAGE_BYTES))
        for name, size in (("big", BIG_BYTES), ("10m", 10_000_000), ("5m", 5_000_000), ("1m", 1_000_000)):
            block = page(1_000_000)
            with (www / name).open("wb") as file:
                for _ in range(size // len(block)):
                    file.write(block)
        programs = plan.run / "bin"
        programs.mkdir()
        for name, text in activation(plan, self.programs).items():
            write(programs / name, text, 0o755)
        for host in plan.members:
            folder = plan.run / host.name
            folder.mkdir()
            write(folder / "nginx.conf", nginx_conf(folder, www, host.name))
        self.configure(cluster_toml(plan))

    def configure(self, text: str, hosts: Sequence[str] | None = None) -> None:
        """Writes the configuration of all hosts, or those named."""
        for host in self.plan.members:
            if hosts is None or host.name in hosts:
                write(self.plan.config(host.name), text)

    def network(self) -> None:
        """Namespaces, bridge and cables."""
        plan = self.plan
        if plan.bridge and plan.bridge != plan.name:
            if not (machine.NETNS / plan.switch_space).exists():
                raise MachineError(f"there is no cluster {plan.bridge!r} whose bridge could be shared")
        else:
            self.say("bridge")
            self.record.add_space(plan.switch_space)
            snooping = "mcast_snooping 0"
            if plan.mode == "igmp":
                # A querier counts as there after this response time; the default is 10 s.
                snooping = ("mcast_snooping 1 mcast_query_response_interval 100 mcast_startup_query_interval 100 "
                            "mcast_query_interval 1000 mcast_querier 1")
            machine.run(machine.inside(plan.switch_space, ["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]))
            machine.ip(plan.switch_space, f"link add br0 type bridge forward_delay 0 {snooping}", "link set br0 up")
        for number, host in enumerate(plan.members, 1):
            self.say(f"network of host {number} of {plan.hosts}")
            space = plan.space(host.name)
            self.record.add_space(space)
            self.cable(space, "wire", host.name)
            # The kernel shall not take part: the wire is the NIC's. Without these it would answer ARP for addresses
            # of the TAP device, and take broadcasts twice.
            machine.run(machine.inside(space, ["sysctl", "-qw", "net.ipv4.conf.wire.rp_filter=1"]))
            machine.ip(space, "link set wire arp off")
            if plan.mode == "igmp":
                # A Linux bridge looks IPv4 frames up by their IP destination. The VIP is no group, so it gives frames to the cluster MAC to ports of multicast routers only: the members' are.
                machine.ip(plan.switch_space, f"link set dev {plan.port(host.name)} type bridge_slave mcast_router 2")
        self.say("clients")
        space = plan.client_space
        self.record.add_space(space)
        self.cable(space, "lan", "client")
        machine.run(machine.inside(space, ["sysctl", "-qw", "net.ipv6.conf.lan.disable_ipv6=0",
                                           "net.ipv4.conf.all.arp_announce=2"]))
        machine.ip(space, f"addr add {plan.gateway}/24 dev lan", *(f"addr add {addr}/32 dev lo" for addr in plan.clients),
                   *(f"addr add {addr}/64 dev lan nodad" for addr in plan.clients6))

    def cable(self, space: str, device: str, what: str) -> None:
        """Plugs a namespace into the bridge."""
        self.record.add_link(self.plan.switch_space, self.plan.port(what))
        machine.cable(space, device, self.plan.switch_space, self.plan.port(what))

    def down(self) -> None:
        """Removes everything; may be called again. Signals wait meanwhile."""
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        try:
            self.record.remove()
            shutil.rmtree(self.plan.run, ignore_errors=True)
            with contextlib.suppress(OSError):
                # If this was the last one.
                self.plan.runs.rmdir()
            self.up_hosts.clear()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    # Hosts

    def start_host(self, name: str, environment: dict[str, str] | None = None) -> None:
        """Starts what does not run on a host: its NIC, web server and daemon."""
        folder = self.plan.run / name
        running = {process.what for process in self.record.processes if process.alive()}
        if self.plan.device == "verilated" and f"nic {name}" not in running:
            self.say(f"{name}: Verilated NIC")
            socket = self.plan.nic_socket(name)
            socket.unlink(missing_ok=True)
            command = [str(self.programs / "lbsim"), "serve", "--socket", str(socket), "--port", "raw:wire"]
            process = self.start(name, f"nic {name}", command, folder / "nic.log")
            self.ready(process, socket.exists, folder / "nic.log")
        if f"nginx {name}" not in running:
            self.say(f"{name}: nginx")
            conf = folder / "nginx.conf"
            command = [machine.find("nginx") or "nginx", "-e", str(folder / "nginx.log"), "-c", str(conf), "-p", str(folder)]
            process = self.start(name, f"nginx {name}", command, folder / "nginx.out")
            self.ready(process, (folder / "nginx.pid").exists, folder / "nginx.log")
        if f"lbd {name}" not in running:
            self.start_lbd(name, environment)
        self.up_hosts.add(name)

    def start_lbd(self, name: str, environment: dict[str, str] | None = None) -> Process:
        """Starts the daemon of a host, and tells its kernel where the clients are."""
        self.say(f"{name}: lbd")
        folder, plan = self.plan.run / name, self.plan
        command = [str(self.programs / "lbd"), "--config", str(plan.config(name)), "--host", name, "--run-dir", str(folder)]
        process = self.start(name, f"lbd {name}", command, folder / "lbd.log", environment)
        self.ready(process, lambda: self.listens(name), folder / "lbd.log")
        route = ["ip", "-n", plan.space(name), "route", "replace", plan.client_net, "via", plan.gateway, "dev", "hg0"]
        self.ready(process, lambda: machine.run(route, check=False).returncode == 0, folder / "lbd.log")
        self.up_hosts.add(name)
        return process

    def listens(self, name: str) -> bool:
        """Whether the daemon answers; a socket file may be that of a dead one."""
        return machine.run([str(self.programs / "lbctl"), "--socket", str(self.socket(name)), "--json", "status"],
                           check=False).returncode == 0

    def ready(self, process: Process, condition: Callable[[], bool], log: Path) -> None:
        """Waits until a program that was started is ready."""
        if machine.wait_until(lambda: condition() or not process.alive(), READY_SECONDS) and process.alive():
            return
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        what = "has ended" if not process.alive() else f"is not ready after {READY_SECONDS:.0f} s"
        raise MachineError(f"{process.what} {what}: {lines[-1] if lines else 'it says nothing'}")

    def start(self, host: str, what: str, command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> Process:
        """Starts a process on a host (or "client", "switch")."""
        return self.record.start(what, machine.inside(self.space(host), command), log, environment)

    def processes(self, what: str) -> list[Process]:
        """Processes with this name that run."""
        return [process for process in self.record.processes if process.what == what and process.alive()]

    def inhabitants(self, host: str) -> list[Process]:
        """All processes on a host, also those that its daemon has started."""
        return self.record.inhabitants(self.plan.space(host))

    def of_program(self, host: str, *programs: str) -> list[Process]:
        """Processes on a host that run one of these programs."""
        found = []
        for process in self.inhabitants(host):
            try:
                if Path(f"/proc/{process.pid}/exe").readlink().name.removesuffix(" (deleted)") in programs:
                    found.append(process)
            except OSError:
                continue
        return found

    def space(self, where: str) -> str:
        """Namespace of a host, "client" or "switch"."""
        if where == "client":
            return self.plan.client_space
        return self.plan.switch_space if where == "switch" else self.plan.space(self.plan.host(where).name)

    def run(self, where: str, *command: str, seconds: float = 30, check: bool = True):
        """Runs a command on a host, "client" or "switch"."""
        return machine.run(machine.inside(self.space(where), command), seconds=seconds, check=check)

    # Control

    def socket(self, host: str) -> Path:
        """Where a host's daemon listens."""
        return self.plan.run / host / "lbd.sock"

    def lbctl(self, host: str, *words: str, seconds: float = 60, check: bool = True):
        """Runs lbctl with the daemon of a host."""
        return self.run(host, str(self.programs / "lbctl"), "--socket", str(self.socket(host)), *words, seconds=seconds, check=check)

    def ask(self, host: str, *words: str) -> Any:
        """What lbctl says in JSON: an object, or a list if it prints several."""
        return read_json(self.lbctl(host, "--json", *words).stdout)

    def status(self, host: str) -> dict[str, Any] | None:
        """The cluster as a host sees it; None if its daemon does not answer."""
        done = self.lbctl(host, "--json", "status", check=False)
        try:
            return json.loads(done.stdout) if done.returncode == 0 else None
        except ValueError:
            return None

    def unstable(self, hosts: Sequence[str] | None = None) -> str:
        """Why the cluster of these hosts (all that are up) is not stable yet; empty if it is."""
        wanted = sorted(self.up_hosts if hosts is None else hosts)
        return first_difference(wanted, {host: self.status(host) for host in wanted})

    def wait_stable(self, hosts: Sequence[str] | None = None, seconds: float = STABLE_SECONDS) -> None:
        """Waits until all these hosts agree on a cluster of just them, and serve."""
        why = ""

        def stable() -> bool:
            nonlocal why
            why = self.unstable(hosts)
            return not why

        if not machine.wait_until(stable, seconds, 0.1):
            raise MachineError(f"not stable after {seconds:.0f} s: {why}")


def read_json(text: str) -> Any:
    """One object, on however many lines, or a list of those on a line each."""
    try:
        return json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def first_difference(wanted: Sequence[str], answers: dict[str, dict[str, Any] | None]) -> str:
    """What keeps these hosts from being a stable cluster, by the status of each; empty if nothing does."""
    committed = set()
    for host in wanted:
        status = answers[host]
        if status is None:
            return f"lbd of {host} does not answer"
        members = sorted(member["name"] for member in status.get("members", []) if member.get("state") in ("self", "member"))
        if status.get("phase") != "stable":
            problems = "; ".join(status.get("problems", []))
            return f"{host} is {status.get('phase')}{f' ({problems})' if problems else ''}"
        if members != sorted(wanted):
            return f"{host} sees {', '.join(members) or 'nobody'}, not {', '.join(sorted(wanted))}"
        if status.get("lease_seconds") is None:
            return f"{host} has no lease"
        committed.add((status.get("epoch"), status.get("digest")))
    return "" if len(committed) == 1 else f"maps differ: {sorted(committed, key=str)}"


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a file, whole or not at all, nobody else may read more of than said."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "w") as file:
        file.write(text)
    # Whatever the umask says.
    new.chmod(mode)
    new.replace(path)


def find(name: str, runs: Path | None = None) -> Cluster | None:
    """The cluster of this name that another process has made; None if there is none."""
    plan = Plan(name) if runs is None else Plan(name, runs=runs)
    if not plan.run.exists():
        return None
    path = plan.run / "record.json"
    if not path.exists():
        # Its maker was stopped right at the start.
        shutil.rmtree(plan.run, ignore_errors=True)
        return None
    record = Record.load(path)
    options = record.options
    plan = Plan(name, int(options["hosts"]), str(options["device"]), str(options["mode"]), int(options["number"]),
                str(options["bridge"]), plan.runs)
    cluster = Cluster(plan, Path(str(options["programs"])))
    cluster.record = record
    cluster.up_hosts = {process.what.split()[1] for process in record.processes if process.what.startswith("lbd ") and process.alive()}
    return cluster
