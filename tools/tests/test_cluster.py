# SPDX-License-Identifier: Apache-2.0
"""tools/cluster and tests/e2e: what can be tested without a cluster."""

import asyncio
import contextlib
import importlib.util
import io
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tools" / "cluster"), str(ROOT / "tests" / "e2e")]

import bench  # noqa: E402
import cluster  # noqa: E402
import load  # noqa: E402
import machine  # noqa: E402
import packets  # noqa: E402
import plan  # noqa: E402
import report  # noqa: E402

# By its path: there are other modules with this name.
SPEC = importlib.util.spec_from_file_location("cluster_run", ROOT / "tools" / "cluster" / "run.py")
run = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = run
SPEC.loader.exec_module(run)


class Planning(unittest.TestCase):
    """Names, addresses and files."""

    def test_what_cannot_be_is_refused_in_one_line(self):
        for options in ({"name": ""}, {"name": "a" * 9}, {"name": "a/b"}, {"hosts": 0}, {"hosts": 33}, {"device": "hard"}, {"mode": "broadcast"}, {"number": 25}):
            with self.assertRaises(plan.PlanError) as caught:
                plan.Plan(**options)
            self.assertEqual(len(str(caught.exception).splitlines()), 1)

    def test_addresses_of_clusters_on_a_bridge_differ(self):
        seen: set[str] = set()
        for number in range(plan.MAX_NUMBER + 1):
            made = plan.Plan(hosts=32, number=number)
            addresses = {made.vip, made.vip6, made.gateway, made.cluster_mac, *made.clients, *made.clients6}
            for host in made.members:
                addresses |= {host.address, host.address6, host.station_mac, made.mask_mac(host)}
            self.assertEqual(len(addresses), 4 + 256 + 16 + 4 * 32)
            self.assertFalse(seen & addresses)
            seen |= addresses

    def test_macs_of_the_modes(self):
        self.assertEqual([plan.Plan(mode=mode).cluster_mac for mode in plan.MODES], ["02:bf:0a:09:00:64", "03:bf:0a:09:00:64", "01:00:5e:7f:00:64"])
        made = plan.Plan()
        self.assertEqual(made.mask_mac(made.host("h3")), "02:03:0a:09:00:64")

    def test_interfaces_have_names_that_fit(self):
        made = plan.Plan("a" * 8, hosts=32)
        self.assertLessEqual(max(len(made.port(name)) for name in ("client", "h32", "no")), 15)

    def test_the_configuration_is_toml_with_all_hosts(self):
        made = plan.Plan(hosts=3, device="soft", weights={"h2": 50})
        read = tomllib.loads(plan.cluster_toml(made, (plan.Rule("one", 1, weights=(("h1", 3),)),), {"h1": 2, "h2": 1}))
        self.assertEqual([(host["name"], host["priority"], host["weight"]) for host in read["host"]], [("h1", 2, 100), ("h2", 1, 50), ("h3", 3, 100)])
        self.assertEqual(read["rule"][0]["weights"], {"h1": 3})
        self.assertEqual(read["cluster"]["auth"]["keys"], {"1": str(made.auth_key())})
        self.assertEqual(read["host"][0]["device"], "soft:wire")
        self.assertNotEqual(tomllib.loads(plan.cluster_toml(plan.Plan()))["host"][0]["device"], tomllib.loads(plan.cluster_toml(plan.Plan()))["host"][1]["device"])

    def test_pages_have_their_size_and_differ_all_over(self):
        for size in (0, 1, 7, 8, 10_240):
            self.assertEqual(len(plan.page(size)), size)
        content = plan.page(10_240)
        self.assertEqual(len({content[at:at + 8] for at in range(0, 10_240, 8)}), 1280)

    def test_keys_are_for_nobody_else(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "key")
            cluster.write(path, "first", 0o600)
            cluster.write(path, "key", 0o600)
            self.assertEqual((path.read_text(), path.stat().st_mode & 0o777, len(os.listdir(folder))), ("key", 0o600, 1))


class Records(unittest.TestCase):
    """What was made, and whether it is still that."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.record = machine.Record(Path(folder.name, "record.json"))

    def test_a_process_is_ended_by_another_reader_of_the_record(self):
        process = self.record.start("sleeper", ["sleep", "600"], self.record.path.with_name("log"))
        self.assertTrue(process.alive())
        again = machine.Record.load(self.record.path)
        self.assertEqual(again.processes, [process])
        again.remove()
        self.assertFalse(process.alive())
        again.remove()

    def test_a_stopped_process_ends_too(self):
        process = self.record.start("sleeper", ["sleep", "600"], self.record.path.with_name("log"))
        process.signal(signal.SIGSTOP)
        machine.end([process])
        self.assertFalse(process.alive())

    def test_a_process_with_the_same_id_is_left_alone(self):
        with subprocess.Popen(["sleep", "600"]) as child:
            other = machine.Process(child.pid, machine.start_time(child.pid) - 1, "another one")
            machine.end([other])
            self.assertIsNone(child.poll())
            child.kill()

    def test_a_namespace_of_somebody_else_is_left_alone(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(machine, "NETNS", Path(folder)):
            Path(folder, "hg-x").touch()
            self.record.spaces = {"hg-x": Path(folder, "hg-x").stat().st_ino + 1}
            self.assertFalse(self.record.is_ours("hg-x"))
            self.assertEqual(self.record.inhabitants("hg-x"), [])
            with self.assertRaisesRegex(machine.MachineError, "is there already"):
                self.record.add_space("hg-x")

    def test_a_record_that_cannot_be_read_says_so(self):
        for text in ("", "[]", '{"spaces": {}}'):
            self.record.path.write_text(text)
            with self.assertRaises(machine.MachineError):
                machine.Record.load(self.record.path)

    def test_a_command_that_fails_says_why(self):
        with self.assertRaisesRegex(machine.MachineError, "why"):
            machine.run(["sh", "-c", "echo why >&2; exit 3"])
        with self.assertRaisesRegex(machine.MachineError, "no-such-command"):
            machine.run(["no-such-command"])
        with self.assertRaisesRegex(machine.MachineError, "no end after"):
            machine.run(["sleep", "600"], seconds=0.1)


class Down(unittest.TestCase):
    """Where nothing is."""

    def test_down_where_nothing_is_does_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIsNone(cluster.find("none", Path(folder)))
            Path(folder, "half").mkdir()
            self.assertIsNone(cluster.find("half", Path(folder)), "its maker was stopped at the start")
            self.assertFalse(Path(folder, "half").exists())

    def test_a_machine_without_programs_is_told_so_in_one_line(self):
        said = io.StringIO()
        with mock.patch.object(machine, "find", return_value=None), contextlib.redirect_stderr(said), \
                mock.patch.object(sys, "argv", ["run.py", "up", "--name", "nothing"]):
            self.assertEqual(run.main(), 2)
        self.assertRegex(said.getvalue(), r"\Acluster: there is no program ip[^\n]*\n\Z")


class Stability(unittest.TestCase):
    """When a cluster is one."""

    def status(self, **changes: object) -> dict[str, object]:
        members = [{"name": "h1", "state": "self"}, {"name": "h2", "state": "member"}, {"name": "h3", "state": "silent"}]
        return {"phase": "stable", "members": members, "lease_seconds": 1.0, "epoch": 4, "digest": "d", "problems": [], **changes}

    def test_all_have_to_agree(self):
        good = self.status()
        self.assertEqual(cluster.first_difference(["h1", "h2"], {"h1": good, "h2": good}), "")
        for other in (None, self.status(phase="idle"), self.status(lease_seconds=None), self.status(epoch=5), self.status(members=[])):
            self.assertNotEqual(cluster.first_difference(["h1", "h2"], {"h1": good, "h2": other}), "")
        self.assertIn("h3", cluster.first_difference(["h1", "h2", "h3"], {"h1": good, "h2": good, "h3": good}))


def pcap(frames: list[tuple[float, bytes]], order: str = "<", magic: int = 0xA1B2C3D4) -> bytes:
    """A capture with these frames."""
    data = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
    for time, frame in frames:
        data += struct.pack(f"{order}IIII", int(time), round(time % 1 * 1e6), len(frame), len(frame)) + frame
    return data


def tcp(flags: int, sequence: int, port: int = 40_000, six: bool = False) -> bytes:
    """A segment from a server to a client."""
    segment = struct.pack(">HHIIBB", 80, port, sequence, 1, 0x50, flags) + bytes(6)
    if six:
        return bytes(12) + b"\x86\xdd" + b"\x60\0\0\0\0\x14\x06\x40" + bytes(32) + segment
    return bytes(12) + b"\x08\0" + b"\x45" + bytes(8) + b"\x06" + bytes(10) + segment


class Captures(unittest.TestCase):
    """What is read of them."""

    def frames(self, data: bytes) -> list[packets.Frame]:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return list(packets.read_pcap(Path(file.name)))

    def test_both_byte_orders_and_a_cut_end(self):
        for order in "<>":
            data = pcap([(1.5, b"a" * 60), (2.25, b"b" * 60)], order)
            self.assertEqual([(frame.time, frame.data[:1]) for frame in self.frames(data)], [(1.5, b"a"), (2.25, b"b")])
            for cut in range(24, len(data)):
                self.assertLessEqual(len(self.frames(data[:cut])), 1)
        self.assertEqual(self.frames(b""), [])
        with self.assertRaises(ValueError):
            self.frames(bytes(24))

    def test_two_hosts_that_accept_are_seen(self):
        for six in (False, True):
            good = [(1.0, tcp(0x12, 7, six=six)), (1.2, tcp(0x12, 7, six=six)), (1.3, tcp(0x12, 9, 40_001, six)), (1.4, tcp(0x10, 8, six=six))]
            self.assertEqual(packets.double_syn_acks(packets.syn_acks(self.frames(pcap(good)))), 0)
            bad = [*good, (2.0, tcp(0x12, 8, six=six))]
            self.assertEqual(packets.double_syn_acks(packets.syn_acks(self.frames(pcap(bad)))), 1)
            later = [*good, (100.0, tcp(0x12, 8, six=six))]
            self.assertEqual(packets.double_syn_acks(packets.syn_acks(self.frames(pcap(later)))), 0, "the ports are used again")

    def test_short_frames_do_no_harm(self):
        whole = tcp(0x12, 7)
        self.assertEqual(list(packets.syn_acks(packets.Frame(0, whole[:length]) for length in range(14, 48))), [])


class Figures(unittest.TestCase):
    """What is computed."""

    def test_shares(self):
        value, limit = report.chi_square([250, 252, 249, 249], [1, 1, 1, 1])
        self.assertLess(value, limit)
        value, limit = report.chi_square([400, 200, 200, 200], [1, 1, 1, 1])
        self.assertGreater(value, limit)
        self.assertEqual(report.chi_square([1, 1], [1, 0])[0], math.inf, "a host without buckets got some")
        self.assertEqual(report.chi_square([5, 0], [1, 0])[0], 0)
        with self.assertRaises(ValueError):
            report.chi_square([0, 0], [1, 1])

    def test_failover_is_that_of_the_last_failed_connection(self):
        probes = [[9.9, "", "no answer", 200], [10.0, "h1", "ok", 1], [10.4, "", "no answer", 200], [10.5, "", "request: EOFError", 3],
                  [10.6, "h1", "ok", 1], [20.0, "", "no answer", 200]]
        self.assertAlmostEqual(report.failover_seconds(probes, 10.0, 15.0), 0.4)
        self.assertEqual(report.failover_seconds(probes[:2], 10.0, 15.0), 0)
        self.assertEqual(report.failover_seconds(probes, 12.0, 15.0), 0)

    def test_sessions_of_failed_hosts_may_break(self):
        events = [[10.5, "h1", "reset", 1.0], [10.6, "h1", "reset", 10.2], [10.5, "h2", "reset", 1.0], [12.5, "h1", "reset", 10.9], [9.0, "h1", "reset", 1.0]]
        self.assertEqual(report.of_survivors(events, [(10.0, "h1")]), events[2:])

    def test_the_document_has_every_key(self):
        empty = report.Results().document()["results"]
        self.assertEqual(set(empty["failover_seconds"]), set(bench.FAULT_ACTIONS))
        self.assertIsNone(empty["double_syn_acks"])
        self.assertEqual(set(empty["requests_per_second"]), {"verilated", "soft"})
        full = report.Results(failover={"link_down": [0.5, 0.7, 0.6]}, broken={"join": 0}, doubles=0)
        self.assertEqual((full.document()["results"]["failover_seconds"]["link_down"]["median"], full.document()["results"]["failover_seconds"]["link_down"]["max"]), (0.6, 0.7))
        self.assertIn("10 s", full.tables())

    def test_schemas(self):
        schema = {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"type": ["string", "null"]}, "c": {"type": "array", "items": {"type": "integer"}}},
                  "$defs": {"n": {"anyOf": [{"type": "number"}, {"enum": ["x"]}]}}}
        for good in ({"a": 1}, {"a": "x", "b": None}, {"a": 1.5, "b": "", "c": [1, 2]}):
            self.assertIsNone(report.violation(schema, good))
        for bad in ({}, [], {"a": "y"}, {"a": 1, "b": 2}, {"a": 1, "c": [1, "2"]}, {"a": 1, "c": [True]}):
            self.assertIsNotNone(report.violation(schema, bad))
        endless = {"$ref": "#"}
        self.assertIsNotNone(report.violation(endless, 1))

    def test_metrics(self):
        page = '# HELP x y\nx_total{a="1"} 2\nx_total{a="2"} 3.5\nxy_total 7\n'
        self.assertEqual(bench.sum_of(page, "x_total"), 5.5)
        self.assertEqual(bench.sum_of(page, "x_total", 'a="2"'), 3.5)


class Responses(unittest.TestCase):
    """HTTP as the clients read it."""

    def get(self, said: bytes) -> tuple[int, dict[str, str], bytes]:
        async def both() -> tuple[int, dict[str, str], bytes]:
            near, far = socket.socketpair()
            with near, far:
                near.setblocking(False)
                far.sendall(said)
                far.shutdown(socket.SHUT_WR)
                return await load.get(asyncio.get_running_loop(), near, "/")
        return asyncio.run(both())

    def test_a_response(self):
        self.assertEqual(self.get(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Host: h1\r\n\r\nabc"), (200, {"content-length": "3", "x-host": "h1"}, b"abc"))

    def test_what_is_none(self):
        for said in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"):
            with self.assertRaises(EOFError):
                self.get(said)
        for said in (b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 70_000):
            with self.assertRaises(ValueError):
                self.get(said)


if __name__ == "__main__":
    unittest.main()
