#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The driver over the kernel's VFIO, in a guest: a Linux kernel under QEMU sees a simulated NIC as a PCI device.

A server (the simulated NIC) offers the device on a vfio-user socket, QEMU puts it behind an emulated IOMMU, the kernel
of the guest gives it to vfio-pci, and the program `hashgate-guest` opens it there. A second NIC, whose wire ends in a
network namespace of the test's own (`wire.py`), belongs to the host path there. Nothing of the machine is changed and
no rights are needed, except to make that namespace. Where QEMU or a kernel cannot be had, the test is skipped with the
reason, and the part of the host path where a namespace or a TAP device cannot be had.
"""

import argparse
import gzip
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import wire
from fetch import CannotFetch, Parts, fetch

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = "x86_64-unknown-linux-gnu"
MEMORY = "256M"
SERVER_SECONDS = 60
# Place of the first NIC on the bus.
FIRST_SLOT = 4
# Bits of /proc/net/unix: the socket listens.
LISTENING = 0x10000
SERVE = "cargo run --locked --release --quiet -p lbsim -- serve --socket {socket} "

INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev
$b mount -t proc none /proc
$b mount -t sysfs none /sys
$b mount -t devtmpfs none /dev
for module in {modules}; do
    $b insmod /modules/$module.ko || echo "guest: module $module cannot be loaded"
done
for device in /sys/bus/pci/devices/*; do
    if [ "$($b cat $device/vendor):$($b cat $device/device)" = 0x1234:0x4847 ]; then
        addresses="$addresses ${{device##*/}}"
    fi
done
echo "guest: Linux $($b uname -r), NIC at${{addresses:- no address}}"
for address in $addresses; do
    echo vfio-pci >/sys/bus/pci/devices/$address/driver_override
    echo $address >/sys/bus/pci/drivers_probe
done
/guest $addresses
echo "guest: exit code $?"
$b poweroff -f
"""


class ServerEnded(RuntimeError):
    """A server that is not there any more."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the server ended with exit code {code} before it listened")
        self.code = code


def cpio(files: dict[str, tuple[int, bytes]]) -> bytes:
    """An archive as the kernel unpacks it (newc): name, mode, content; folders are made from the names."""
    folders = sorted({str(parent) for name in files for parent in Path(name).parents if str(parent) != "."})
    entries = [(name, 0o040755, b"") for name in folders]
    entries += [(name, 0o100000 | mode, content) for name, (mode, content) in files.items()]
    archive = io.BytesIO()
    for inode, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        for part in (b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name.encode() + b"\0", content):
            archive.write(part)
            archive.write(b"\0" * (-archive.tell() % 4))
    return archive.getvalue()


def initrd(parts: Parts, program: Path, host_path: Path) -> bytes:
    """All that is in the guest: busybox, the modules, the programs and what starts them."""
    init = INIT.format(modules=" ".join(module.stem for module in parts.modules))
    files = {
        "init": (0o755, init.encode()),
        "guest": (0o755, program.read_bytes()),
        "hostpath": (0o755, host_path.read_bytes()),
        "bin/busybox": (0o755, parts.busybox.read_bytes()),
    }
    files.update({f"modules/{module.name}": (0o644, module.read_bytes()) for module in parts.modules})
    return gzip.compress(cpio(files), compresslevel=1)


def build_programs() -> Path:
    """The folder with the programs for the guest, without shared libraries: there are none."""
    flags = f"{os.environ.get('RUSTFLAGS', '')} -C target-feature=+crt-static -C strip=symbols".strip()
    # A folder of its own: other flags would throw away what is built for the host.
    folder = ROOT / "target" / "guest"
    command = ["cargo", "build", "--locked", "--release", "--target", TARGET, "--target-dir", str(folder), "--bins",
               "-p", "hashgate-guest", "-p", "hashgate-hostpath"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "RUSTFLAGS": flags}, check=True)
    return folder / TARGET / "release"


def listens(path: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether somebody listens at a socket in the network namespace of a process. A connection would tell as well, but it may take one only."""
    for line in Path(f"/proc/{process.pid}/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[-1] == str(path) and int(fields[3], 16) & LISTENING:
            return True
    return False


def wait_for_socket(path: Path, server: subprocess.Popen[bytes]) -> None:
    """Returns when the server, or what it has started, listens."""
    end = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            raise ServerEnded(server.returncode)
        try:
            if listens(path, server):
                return
        except OSError:
            # It has ended meanwhile.
            pass
        time.sleep(0.05)
    raise RuntimeError(f"the server does not listen on {path} after {SERVER_SECONDS} s")


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Starts a server that prints into a file."""
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                start_new_session=True)


def start_wired(command: list[str], socket: Path, log: Path) -> subprocess.Popen[bytes] | str:
    """Starts a server whose NIC has a wire with a client at its end; why not, if that cannot be done here."""
    if not shutil.which("unshare"):
        return "there is no program unshare (package util-linux)"
    # As another user than root, only a user namespace gives the right to make another one.
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = Path(__file__).with_name("wire.py")
    server = start(["unshare", *user, "--net", sys.executable, str(script), *command], log)
    try:
        wait_for_socket(socket, server)
    except ServerEnded as error:
        last = (log.read_text(errors="replace").splitlines() or ["it said nothing"])[-1]
        # Exit code 1 with this word: no namespace.
        if error.code == wire.SKIPPED or last.startswith("unshare:"):
            return last
        raise
    except RuntimeError:
        stop(server)
        raise
    return server


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that this script started, with all that it started itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_guest(parts: Parts, image: Path, sockets: list[Path], seconds: int) -> tuple[bool, str]:
    """Runs the guest to its end, with a NIC for each socket in this order; whether it ended in time, and what it printed."""
    nics = [{"driver": "vfio-user-pci", "addr": str(FIRST_SLOT + number), "socket": {"type": "unix", "path": str(socket)}}
            for number, socket in enumerate(sockets)]
    devices = [word for nic in nics for word in ("-device", json.dumps(nic))]
    command = [*parts.qemu, "-M", "q35,memory-backend=m0", "-object", f"memory-backend-memfd,id=m0,size={MEMORY},share=on",
               "-m", MEMORY, "-cpu", "max", "-accel", "tcg", "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot",
               "-device", "intel-iommu,caching-mode=on", *devices, "-kernel", str(parts.kernel), "-initrd", str(image),
               "-append", "console=ttyS0 intel_iommu=on panic=-1 quiet"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          start_new_session=True) as qemu:
        late = threading.Event()

        def end() -> None:
            late.set()
            stop(qemu)

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            # A serial line ends its lines with \r\n.
            output = qemu.stdout.read().decode(errors="replace").replace("\r", "") if qemu.stdout else ""
        finally:
            timer.cancel()
            stop(qemu)
    return not late.is_set(), output


def main() -> int:
    """Exit code 0 if the guest says that all is well, or if the test cannot be run here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="serves the NIC; {socket} stands for the socket (default: the Verilated NIC)",
                        default=SERVE + "--port loop --port loop")
    parser.add_argument("--wired", help="serves the NIC of the host path, plugged into TAP device wire0 (default: as well)",
                        default=SERVE + f"--port tap:{wire.NAME.decode()}")
    parser.add_argument("--program", type=Path, help="static program to run in the guest (default: builds hashgate-guest)")
    parser.add_argument("--seconds", type=int, default=240, help="most that the guest may take")
    arguments = parser.parse_args()
    if os.uname().machine != "x86_64":
        print("skipped: the guest is an x86-64 one and its program is built for this machine")
        return 0
    try:
        parts = fetch(ROOT / ".tools" / "guest")
    except CannotFetch as error:
        print(f"skipped: {'; '.join(str(error).splitlines())}")
        return 0
    programs = build_programs()
    with tempfile.TemporaryDirectory(prefix="hashgate-guest-") as folder:
        image, sockets = Path(folder, "initrd.gz"), [Path(folder, "nic"), Path(folder, "wired")]
        logs = [socket.with_suffix(".log") for socket in sockets]
        image.write_bytes(initrd(parts, arguments.program or programs / "hashgate-guest", programs / "hashgate-hostpath"))
        looped, wired = ([part.format(socket=socket) for part in shlex.split(command)]
                         for command, socket in zip((arguments.server, arguments.wired), sockets, strict=True))
        servers = []
        began = time.monotonic()
        try:
            servers.append(start(looped, logs[0]))
            wait_for_socket(sockets[0], servers[0])
            second = start_wired(wired, sockets[1], logs[1])
            if isinstance(second, str):
                print(f"skipped: the host path in the guest: {second}")
                del sockets[1]
            else:
                servers.append(second)
            began = time.monotonic()
            in_time, printed = run_guest(parts, image, sockets, arguments.seconds)
        except RuntimeError as error:
            in_time, printed = True, f"{error}\n"
        finally:
            for server in servers:
                stop(server)
        took = time.monotonic() - began
        print(printed, end="" if printed.endswith("\n") else "\n")
        if not in_time:
            print(f"the guest was stopped: it did not end in {arguments.seconds} s")
        if in_time and re.search(r"^guest: exit code 0$", printed, re.M):
            passed = len(re.findall(r"^ok ", printed, re.M))
            print(f"summary: {passed} checks in a guest under QEMU {parts.version}, {took:.0f} s")
            return 0
        for log in filter(Path.exists, logs):
            print(f"what the server of {log.stem} printed:")
            print(log.read_text(errors="replace")[-4000:])
        return 1


if __name__ == "__main__":
    sys.exit(main())
