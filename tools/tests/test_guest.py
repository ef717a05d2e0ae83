# SPDX-License-Identifier: Apache-2.0
"""tools/guest: what can be tested without a guest."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "guest"))

import fetch  # noqa: E402
import run  # noqa: E402


def entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Reads an archive as cpio(5) describes it."""
    found, at = {}, 0
    while True:
        assert archive[at:at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n:at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[at + 110:at + 110 + name_size - 1].decode()
        start = (at + 110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, archive[start:start + size])
        at = (start + size + 3) // 4 * 4


class Archive(unittest.TestCase):
    """What the kernel unpacks."""

    def test_files_and_their_folders(self):
        files = {"init": (0o755, b"#!"), "modules/a/b.ko": (0o644, b"12345"), "empty": (0o600, b"")}
        found = entries(run.cpio(files))
        self.assertEqual(list(found)[:2], ["modules", "modules/a"], "folders come before what is in them")
        self.assertEqual(found["modules"][0], 0o040755)
        self.assertEqual({name: found[name] for name in files},
                         {name: (0o100000 | mode, content) for name, (mode, content) in files.items()})


class Fetching(unittest.TestCase):
    """When there is no guest to be had."""

    def test_a_machine_without_apt_is_told_so(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(fetch.shutil, "which", return_value=None):
            with self.assertRaisesRegex(fetch.CannotFetch, "no apt-get"):
                fetch.fetch(Path(folder))

    def test_a_command_that_fails_says_why(self):
        with self.assertRaisesRegex(fetch.CannotFetch, "sh -c echo why >&2; exit 3: why"):
            fetch.run(["sh", "-c", "echo why >&2; exit 3"])
        with self.assertRaisesRegex(fetch.CannotFetch, "no-such-command"):
            fetch.run(["no-such-command"])

    def test_a_qemu_that_is_not_there_has_no_version(self):
        self.assertIsNone(fetch.qemu_version(["no-such-qemu"]))
        self.assertEqual(fetch.qemu_version(["echo", "QEMU emulator version 10.2.1"]), (10, 2))


class Server(unittest.TestCase):
    """The program that serves the NIC."""

    def test_a_server_that_ends_is_noticed(self):
        server = subprocess.Popen(["false"])
        server.wait()
        with self.assertRaisesRegex(RuntimeError, "exit code 1 before it listened"):
            run.wait_for_socket(Path("/no/such/socket"), server)

    def test_a_machine_without_namespaces_is_told_so(self):
        with mock.patch.object(run.shutil, "which", return_value=None):
            self.assertIn("no program unshare", run.start_wired(["true"], Path("/no/such/socket"), Path("/dev/null")))

    def test_why_there_is_no_tap_device_is_told(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(run, "start") as start:
            log = Path(folder, "log")
            log.write_text("no TAP device: [Errno 1] Operation not permitted\n")
            start.return_value = subprocess.Popen(["sh", "-c", f"exit {run.wire.SKIPPED}"])
            start.return_value.wait()
            self.assertEqual(run.start_wired(["true"], Path(folder, "socket"), log),
                             "no TAP device: [Errno 1] Operation not permitted")
            start.return_value = subprocess.Popen(["false"])
            start.return_value.wait()
            with self.assertRaises(run.ServerEnded):
                run.start_wired(["true"], Path(folder, "socket"), log)


if __name__ == "__main__":
    unittest.main()
