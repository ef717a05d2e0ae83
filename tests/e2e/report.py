# SPDX-License-Identifier: Apache-2.0
"""Numbers of the end-to-end tests: what is computed from what was seen, the file and the tables."""

import json
import math
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAULTS = ("daemon_killed", "host_stopped", "link_down", "nic_killed", "host_gone")
CHANGES = ("join", "drain", "weights", "rolling_restart")
# Published: from a fault to service by others.
PUBLISHED_FAILOVER = (("NLB", "10 s"), ("ClusterXL", "2.5 s"), ("VRRP", "3..4 s"), ("MetalLB", "3 s"))
PUBLISHED_OCCUPANCY = "NLB, 10 KB pages: below 2 % of ports of 100 Mb/s"
# Of a standard normal distribution: once in 3.5 million good runs a bound is exceeded.
SIGMAS = 5.0


def chi_square(seen: Sequence[int], expected: Sequence[float]) -> tuple[float, float]:
    """How far counts are from what was expected, and the most that chance allows (Wilson and Hilferty's approximation)."""
    total, whole = sum(seen), sum(expected)
    if not total or whole <= 0:
        raise ValueError("nothing was counted or expected")
    value, classes = 0.0, 0
    for count, share in zip(seen, expected, strict=True):
        if share <= 0:
            if count:
                return math.inf, 0.0
            continue
        wanted = total * share / whole
        value += (count - wanted) ** 2 / wanted
        classes += 1
    free = classes - 1
    if free == 0:
        return value, 1e-9
    return value, free * (1 - 2 / (9 * free) + SIGMAS * math.sqrt(2 / (9 * free))) ** 3


def failover_seconds(probes: Sequence[Sequence[Any]], fault: float, end: float) -> float:
    """From the fault to the last new connection that failed, of those until `end`; 0 if none did. A probe: time, host, how it ended, ms."""
    failed = [probe[0] for probe in probes if fault - 1 <= probe[0] <= end and probe[2] != "ok" and not probe[2].startswith("request")
              and probe[0] + probe[3] / 1000 >= fault]
    return max(0.0, max(failed) - fault) if failed else 0.0


def probed(probes: Sequence[Sequence[Any]], begin: float, end: float) -> int:
    """Probes of this time."""
    return sum(begin <= probe[0] <= end for probe in probes)


def broken(events: Sequence[Sequence[Any]], begin: float, end: float) -> int:
    """Sessions that broke in this time. An event: time, host, why, since when the session was there."""
    return sum(begin <= event[0] <= end for event in events)


# The lease of the default profile, and some time for the daemon to be killed.
LEASE_SECONDS = 0.5


def of_survivors(events: Sequence[Sequence[Any]], faults: Sequence[tuple[float, str]]) -> list[Sequence[Any]]:
    """Sessions that broke although their host had no fault while they were there, and none just before they began: a NIC whose daemon is gone takes connections until its lease ends."""
    return [event for event in events
            if not any(host == event[1] and event[3] <= time + LEASE_SECONDS and time <= event[0] for time, host in faults)]


@dataclass
class Results:
    """What goes into the file."""

    failover: dict[str, list[float]] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    failed_host_broken: int = 0
    requests_failed: dict[str, int] = field(default_factory=dict)
    tried: int = 0
    doubles: int | None = None
    rates: dict[str, float] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The file: null where nothing was measured."""
        faults = {name: {"median": rounded(statistics.median(times)), "max": rounded(max(times)), "times": [rounded(time) for time in times]}
                  if (times := self.failover.get(name)) else {"median": None, "max": None, "times": []} for name in FAULTS}
        return {
            "results": {
                "failover_seconds": faults,
                "connections_broken": {name: self.broken.get(name) for name in (*CHANGES, "survivors_on_failure")},
                "connections_broken_of_failed_hosts": self.failed_host_broken,
                "requests_failed": {name: self.requests_failed.get(name) for name in (*CHANGES, "survivors_on_failure")},
                "connections_tried": self.tried,
                "double_syn_acks": self.doubles,
                "requests_per_second": {name: self.rates.get(name) for name in ("verilated", "soft")},
                **self.more,
            },
        }

    def tables(self) -> str:
        """For people."""
        lines = ["", "From the fault to the last failed new connection (s)      median     max   times measured"]
        for name in FAULTS:
            times = self.failover.get(name)
            if times:
                lines.append(f"  {name.replace('_', ' '):50}  {statistics.median(times):9.3f} {max(times):7.3f}   {len(times)}")
            else:
                lines.append(f"  {name.replace('_', ' '):50}  not measured")
        lines.append("  published: " + ", ".join(f"{who} {what}" for who, what in PUBLISHED_FAILOVER))
        lines += ["", "                                            connections broken  requests failed"]
        for name in (*CHANGES, "survivors_on_failure"):
            lines.append(f"  {name.replace('_', ' '):40} {shown(self.broken.get(name)):>20} {shown(self.requests_failed.get(name)):>16}")
        lines += ["", f"  connections tried {self.tried}, of failed hosts broken {self.failed_host_broken}, double SYN-ACKs {shown(self.doubles)}"]
        for name, rate in self.rates.items():
            lines.append(f"  requests a second, 10 kB pages, {name} NICs: {rate:.0f}")
        for mode, share in self.more.get("occupancy", {}).items():
            lines.append(f"  occupancy of a 100 Mb/s port by frames for other hosts, {mode}: {share['largest_share'] * 100:.2f} % "
                         f"at {share['requests_per_second']:.0f} requests a second ({PUBLISHED_OCCUPANCY})")
        for device, cost in self.more.get("daemon", {}).items():
            lines.append(f"  lbd with {device} NICs: {cost['cpu_share_idle'] * 100:.1f} % of a processor idle, {cost['cpu_share_converging'] * 100:.1f} % converging, "
                         f"{cost['memory_kilobytes'] / 1024:.0f} MB, {cost['start_to_stable_seconds']:.2f} s from its start until all are stable")
        return "\n".join(lines)


def rounded(seconds: float) -> float:
    """To a millisecond: no clock here is better."""
    return round(seconds, 3)


def shown(number: int | None) -> str:
    """A number, or that there is none."""
    return "not measured" if number is None else str(number)


def environment() -> dict[str, Any]:
    """Where this was measured."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cores": len(models) or None, "kernel": platform.release(),
            "python": platform.python_version()}


def write(path: Path, document: dict[str, Any]) -> None:
    """Writes the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document, indent=1) + "\n")
    new.replace(path)


# JSON Schema, as much of it as `lbctl schema` uses.

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def violation(schema: Any, value: Any, where: str = "$", root: Any = None, depth: int = 0) -> str | None:
    """Where a value is not what the schema says; None if it is."""
    root = schema if root is None else root
    if depth > 64:
        return f"{where}: nested too deep"
    if schema is True or schema == {}:
        return None
    if schema is False:
        return f"{where}: nothing is allowed here"
    if "$ref" in schema:
        target = root
        for part in filter(None, schema["$ref"].removeprefix("#").split("/")):
            target = target[part]
        return violation(target, value, where, root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if key in schema and all(violation(one, value, where, root, depth + 1) for one in schema[key]):
            return f"{where}: fits none of {key}"
    types = schema.get("type")
    if types is not None and not any(is_type(value, name) for name in ([types] if isinstance(types, str) else types)):
        return f"{where}: {type(value).__name__}, not {types}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where}: {value!r} is none of {schema['enum']}"
    if isinstance(value, dict):
        lacking = [name for name in schema.get("required", []) if name not in value]
        if lacking:
            return f"{where}: lacks {', '.join(lacking)}"
        known = schema.get("properties", {})
        for name, entry in value.items():
            inner = known.get(name, schema.get("additionalProperties", True))
            found = violation(inner, entry, f"{where}.{name}", root, depth + 1)
            if found:
                return found
    if isinstance(value, list) and "items" in schema:
        for number, entry in enumerate(value):
            found = violation(schema["items"], entry, f"{where}[{number}]", root, depth + 1)
            if found:
                return found
    return None


def is_type(value: Any, name: str) -> bool:
    """Whether a value has a type of JSON Schema."""
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])
