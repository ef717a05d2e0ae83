# SPDX-License-Identifier: Apache-2.0
"""What a cluster on one machine consists of: names, addresses and the files of its programs. Touches nothing."""

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

MODES = ("unicast", "multicast", "igmp")
DEVICES = ("soft", "verilated")
MAX_HOSTS = 32
# Third octets 10 n and 10 n + 1 are a cluster's.
MAX_NUMBER = 24
CLIENTS = 256
CLIENTS6 = 16
ECHO_PORT = 7007
WEB_PORT = 80
PAGE_BYTES = 10240
BIG_BYTES = 100_000_000
# What the configuration assumes of the link, for the occupancy: ports of 100 Mb/s.
LINK_BITS = 100_000_000


class PlanError(ValueError):
    """A cluster that cannot be: one line that says why."""


@dataclass(frozen=True)
class Host:
    """One member: host `number` (from 1) of the cluster."""

    name: str
    number: int
    address: str
    address6: str
    station_mac: str


@dataclass
class Plan:
    """A cluster: `number` tells clusters apart that share a bridge."""

    name: str = "main"
    hosts: int = 4
    device: str = "verilated"
    mode: str = "unicast"
    number: int = 0
    bridge: str = ""
    runs: Path = Path("/run/hashgate-clusters")
    weights: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The longest name of an interface is 15 bytes: NAME-client.
        if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", self.name):
            raise PlanError(f"name {self.name!r}: write 1 to 8 lower case letters and digits, a letter first")
        if self.bridge and not re.fullmatch(r"[a-z][a-z0-9]{0,7}", self.bridge):
            raise PlanError(f"bridge {self.bridge!r}: write the name of the cluster whose bridge it is")
        if not 1 <= self.hosts <= MAX_HOSTS:
            raise PlanError(f"{self.hosts} hosts are out of range: 1..{MAX_HOSTS}")
        if self.device not in DEVICES:
            raise PlanError(f"device {self.device!r}: write one of {', '.join(DEVICES)}")
        if self.mode not in MODES:
            raise PlanError(f"mode {self.mode!r}: write one of {', '.join(MODES)}")
        if not 0 <= self.number <= MAX_NUMBER:
            raise PlanError(f"number {self.number} is out of range: 0..{MAX_NUMBER}")

    @property
    def run(self) -> Path:
        """Everything of this cluster that is a file."""
        return self.runs / self.name

    @property
    def switch_space(self) -> str:
        """Network namespace with the bridge."""
        return f"hg-{self.bridge or self.name}-sw"

    @property
    def client_space(self) -> str:
        """Network namespace of the clients."""
        return f"hg-{self.name}-client"

    def space(self, host: str) -> str:
        """Network namespace of a host."""
        return f"hg-{self.name}-{host}"

    def port(self, what: str) -> str:
        """The bridge port that a namespace is plugged into."""
        return f"{self.name}-{what}"

    @property
    def members(self) -> list[Host]:
        """All hosts in the order of their priorities."""
        third = 10 * self.number
        return [Host(f"h{n}", n, f"10.9.{third}.{n}", six(self.number, n),
                     f"02:09:{self.number:02x}:00:00:{n:02x}") for n in range(1, self.hosts + 1)]

    def host(self, name: str) -> Host:
        """The member with this name."""
        for host in self.members:
            if host.name == name:
                return host
        raise PlanError(f"there is no host {name!r}: h1 to h{self.hosts}")

    @property
    def vip(self) -> str:
        """The primary IP."""
        return f"10.9.{10 * self.number}.100"

    @property
    def vip6(self) -> str:
        """The VIP of IPv6."""
        return six(self.number, 0x100)

    @property
    def gateway(self) -> str:
        """The clients' address on the network of the hosts: their own ones are routed by it."""
        return f"10.9.{10 * self.number}.254"

    @property
    def clients(self) -> list[str]:
        """Client addresses. They have a network of their own, so that a host needs one neighbour and not 256."""
        return [f"10.9.{10 * self.number + 1}.{n}" for n in range(CLIENTS)]

    @property
    def client_net(self) -> str:
        """The network of all client addresses."""
        return f"10.9.{10 * self.number + 1}.0/24"

    @property
    def clients6(self) -> list[str]:
        """Client addresses of IPv6, on the network of the hosts."""
        return [six(self.number, 0xC0000 + n) for n in range(CLIENTS6)]

    @property
    def subnets(self) -> list[str]:
        """Networks of the hosts."""
        return [f"10.9.{10 * self.number}.0/24", f"{six(self.number, 0)}/64"]

    @property
    def cluster_mac(self) -> str:
        """As docs/configuration.md has it."""
        octets = [int(part) for part in self.vip.split(".")]
        if self.mode == "igmp":
            return mac([0x01, 0x00, 0x5E, 0x7F, *octets[2:]])
        return mac([0x02 if self.mode == "unicast" else 0x03, 0xBF, *octets])

    def mask_mac(self, host: Host) -> str:
        """The source of a host's frames on the wire: masked in unicast mode."""
        if self.mode != "unicast":
            return host.station_mac
        return mac([0x02, host.number, *(int(part) for part in self.vip.split("."))])

    def control_key(self) -> Path:
        """Key of control datagrams and of heartbeats (each host has the same files)."""
        return self.run / "control.key"

    def auth_key(self) -> Path:
        """Key of the heartbeats."""
        return self.run / "auth.key"

    def nic_socket(self, host: str) -> Path:
        """Where a Verilated NIC listens."""
        return self.run / host / "vnic.sock"

    def config(self, host: str) -> Path:
        """A host's copy of the configuration."""
        return self.run / host / "cluster.toml"

    def device_of(self, host: str) -> str:
        """`device` in the configuration."""
        return "soft:wire" if self.device == "soft" else f"vfio-user:{self.nic_socket(host)}"


def six(number: int, host: int) -> str:
    """An IPv6 address of a cluster, as tools print it."""
    return str(ipaddress.IPv6Address((0xFD09 << 112) + (number << 64) + host))


def mac(octets: list[int]) -> str:
    """As tools print it."""
    return ":".join(f"{octet:02x}" for octet in octets)


@dataclass(frozen=True)
class Rule:
    """A rule for TCP; `weights` of hosts that have others than their own."""

    name: str
    port: int
    affinity: str = "none"
    weights: tuple[tuple[str, int], ...] = ()


RULES = (Rule("web", WEB_PORT), Rule("echo", ECHO_PORT))


def cluster_toml(plan: Plan, rules: tuple[Rule, ...] = RULES, priorities: dict[str, int] | None = None) -> str:
    """The configuration file of all hosts. `priorities`: others than the hosts' numbers, for tests of what must not be."""
    lines = [
        f"# Cluster {plan.name} on one machine, made by tools/cluster.",
        "[cluster]",
        f'primary_ip = "{plan.vip}"',
        f'mode = "{plan.mode}"',
        # Four simulated NICs on a few cores are late now and then.
        *(['profile = "compatible"'] if plan.device == "verilated" else []),
        "subnets = [" + ", ".join(f'"{net}"' for net in plan.subnets) + "]",
        "",
        "[cluster.auth]",
        "sign = 1",
        f'keys = {{ "1" = "{plan.auth_key()}" }}',
        "",
        "[nic]",
        "build = 64",
        "clock_hz = 156_250_000",
        "",
        "[control]",
        "remote = true",
        f'key_file = "{plan.control_key()}"',
        "",
        "[metrics]",
        'listen = "127.0.0.1:9504"',
        f"link_bits_per_second = {LINK_BITS}",
        "",
        "[[vip]]",
        f'address = "{plan.vip6}"',
        "",
    ]
    for host in plan.members:
        priority = (priorities or {}).get(host.name, host.number)
        lines += [
            "[[host]]",
            f'name = "{host.name}"',
            f"priority = {priority}",
            f'station_mac = "{host.station_mac}"',
            f'dedicated_ip = ["{host.address}", "{host.address6}"]',
            f'device = "{plan.device_of(host.name)}"',
            f"weight = {plan.weights.get(host.name, 100)}",
            "",
        ]
    for rule in rules:
        lines += ["[[rule]]", f'name = "{rule.name}"', f"ports = {rule.port}", 'protocol = "tcp"',
                  f'affinity = "{rule.affinity}"',
                  # Short, so that a host that drains is done soon.
                  "timeouts = { half_open = 10, reset = 2, closing = 3 }"]
        if rule.weights:
            lines.append("weights = { " + ", ".join(f"{host} = {weight}" for host, weight in rule.weights) + " }")
        lines.append("")
    return "\n".join(lines)


def nginx_conf(run: Path, www: Path, host: str) -> str:
    """A web server in the foreground, all of it in its own folder."""
    return f"""# Web server of host {host}, made by tools/cluster.
daemon off;
user root;
worker_processes 1;
pid {run}/nginx.pid;
error_log {run}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 600;
    keepalive_requests 1000000;
    client_body_temp_path {run}/nginx.body;
    proxy_temp_path {run}/nginx.proxy;
    fastcgi_temp_path {run}/nginx.fastcgi;
    uwsgi_temp_path {run}/nginx.uwsgi;
    scgi_temp_path {run}/nginx.scgi;
    server {{
        listen 80 backlog=4096;
        listen [::]:80 backlog=4096;
        root {www};
        add_header X-Host {host} always;
        location = /host {{ default_type text/plain; return 200 "{host}\\n"; }}
    }}
}}
"""


def page(size: int) -> bytes:
    """The content of a page: the same on all hosts, no part of it like another."""
    words = (b"%08x" % (n * 2654435761 % 2**32) for n in range((size + 7) // 8))
    return b"".join(words)[:size]


def activation(plan: Plan, programs: Path) -> dict[str, str]:
    """Small programs for the shell, by name."""
    return {
        "lbctl": f'#!/bin/sh\nexec ip netns exec {plan.space("h1")} "{programs}/lbctl" "$@"\n',
        "on": f"""#!/bin/sh
# on HOST COMMAND...: runs the command on another host (or: client, switch).
[ $# -ge 2 ] || {{ echo "usage: on HOST COMMAND..." >&2; exit 2; }}
host=$1; shift
space=hg-{plan.name}-$host
case $host in switch) space={plan.switch_space};; esac
[ -e "/run/netns/$space" ] || {{ echo "on: there is no host $host" >&2; exit 2; }}
[ ! -d "{plan.run}/$host" ] || export HASHGATE_SOCKET="{plan.run}/$host/lbd.sock"
PATH="{programs}:$PATH"
exec ip netns exec "$space" "$@"
""",
    }
