# SPDX-License-Identifier: Apache-2.0
"""Gets QEMU, a kernel with its modules for VFIO and TAP devices, and busybox, all from Debian, into `.tools/guest`, once.

Nothing is installed and no rights are needed: apt-get downloads into a folder of its own, the packages are unpacked
there, and QEMU is started through the dynamic linker that came with it. About 80 MB are downloaded, 250 MB kept. A QEMU on
the PATH that is new enough is taken instead.
"""

import fcntl
import lzma
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

# The oldest suite whose QEMU has vfio-user-pci.
SUITE = "forky"
QEMU_NEEDED = (10, 1)
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# In the order in which they must be loaded. Newer kernels have no vfio_virqfd, and Debian's have no iommufd so far.
MODULES = ["irqbypass", "iommufd", "vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci",
           "tun"]
NEEDED_MODULES = {"vfio", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci"}
FETCH_SECONDS = 300


class CannotFetch(Exception):
    """What the guest needs cannot be had on this machine; the text says why."""


@dataclass
class Parts:
    """What a guest is made of."""

    qemu: list[str]
    version: str
    kernel: Path
    modules: list[Path]
    busybox: Path


def run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Runs a command and gives what it printed; CannotFetch with the end of its output if it fails."""
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotFetch(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise CannotFetch(f"{' '.join(command[:3])}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def qemu_version(command: list[str]) -> tuple[int, int] | None:
    """Version of a QEMU, None if it cannot be run."""
    try:
        found = re.search(r"version (\d+)\.(\d+)", run([*command, "--version"]))
    except CannotFetch:
        return None
    return (int(found[1]), int(found[2])) if found else None


class Apt:
    """apt-get with its own lists and packages, so that it neither needs nor changes those of the machine."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise CannotFetch("no apt-get and dpkg-deb on this machine")
        if not KEYRING.exists():
            raise CannotFetch(f"{KEYRING} is missing: its keys prove Debian's packages (package debian-archive-keyring)")
        targets = run(["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"])
        mirror = re.search(r"^Debian (\S+)$", targets, re.M)
        if not mirror:
            raise CannotFetch("apt-get knows no mirror of Debian on this machine")
        self.archives = folder / "archives"
        for name in ("state/lists/partial", "archives/partial"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text("")
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror[1]} {SUITE} main\n")
        settings = {
            "Dir::State": folder / "state", "Dir::State::status": folder / "status", "Dir::Cache": folder,
            "Dir::Cache::archives": self.archives, "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null", "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": "amd64", "APT::Architectures": "amd64", "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "", "Acquire::Languages": "none", "Debug::NoLocking": "true",
            "Acquire::Check-Valid-Until": "false",
        }
        (folder / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
        self.environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C"}
        run(["apt-get", "update", "--error-on=any"], self.environment)

    def packages(self) -> set[Path]:
        """What was downloaded so far."""
        return set(self.archives.glob("*.deb"))

    def with_dependencies(self, package: str) -> set[Path]:
        """Downloads a package and all that it depends on."""
        before = self.packages()
        run(["apt-get", "install", "--yes", "--download-only", package], self.environment)
        return self.packages() - before

    def alone(self, package: str) -> Path:
        """Downloads one package without what it depends on."""
        before = self.packages()
        uri = run(["apt-get", "download", "--print-uris", package], self.environment)
        name = uri.split()[1]
        done = subprocess.run(["apt-get", "download", package], cwd=self.archives, env=self.environment, capture_output=True,
                              text=True, timeout=FETCH_SECONDS, check=False)
        if done.returncode != 0:
            raise CannotFetch(f"apt-get download {package}: {done.stderr.strip()[-400:]}")
        return next(iter(self.packages() - before), self.archives / name)

    def dependencies(self, package: str, pattern: str) -> list[str]:
        """Names that a package depends on and that match."""
        listed = run(["apt-cache", "depends", package], self.environment)
        return [name for name in re.findall(r"Depends: (\S+)", listed) if re.fullmatch(pattern, name)]


def unpack_kernel(packages: list[Path], folder: Path) -> None:
    """Takes the kernel and the modules out of packages, the modules without their compression."""
    folder.mkdir()
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacked:
            with tarfile.open(fileobj=unpacked.stdout, mode="r|") as archive:
                for member in archive:
                    name = Path(member.name).name
                    content = archive.extractfile(member) if member.isfile() else None
                    module = re.fullmatch(r"(.+)\.ko(\.xz)?", name)
                    if content and name.startswith("vmlinuz"):
                        (folder / "vmlinuz").write_bytes(content.read())
                    elif content and module and module[1] in MODULES:
                        data = content.read()
                        (folder / f"{module[1]}.ko").write_bytes(lzma.decompress(data) if module[2] else data)
        if unpacked.returncode != 0:
            raise CannotFetch(f"dpkg-deb cannot read {package.name}")
    missing = {"vmlinuz"} - {path.name for path in folder.iterdir()} | NEEDED_MODULES - {path.stem for path in folder.iterdir()}
    if missing:
        raise CannotFetch(f"the kernel of Debian {SUITE} has no {', '.join(sorted(missing))}")


def is_complete(folder: Path) -> bool:
    """Whether everything was fetched, with the modules that are wanted now."""
    stamp = folder / "stamp"
    return stamp.exists() and stamp.read_text().splitlines()[1:] == [" ".join(MODULES)]


def download(target: Path, with_qemu: bool) -> None:
    """Fills the folder; what was there before stays until all is there."""
    what = f"{'QEMU, ' if with_qemu else ''}a kernel and busybox"
    print(f"guest: downloading {what} of Debian {SUITE} into .tools/guest (once)", flush=True)
    folder = target.with_suffix(".new")
    shutil.rmtree(folder, ignore_errors=True)
    apt = Apt(folder / "apt")
    root = folder / "root"
    image = apt.dependencies("linux-image-cloud-amd64", r"linux-image-\d.*")
    if not image:
        raise CannotFetch(f"Debian {SUITE} has no kernel")
    # Before Debian 14 all is in the first one.
    kernel = [image[0], *apt.dependencies(image[0], r"linux-(binary|modules)-\d.*")]
    unpack_kernel([apt.alone(name) for name in kernel], folder / "kernel")
    packages = {apt.alone("busybox-static")}
    if with_qemu:
        packages |= apt.with_dependencies("qemu-system-x86")
    for package in sorted(packages):
        run(["dpkg-deb", "--extract", str(package), str(root)])
    shutil.rmtree(folder / "apt")
    (folder / "stamp").write_text(f"{' '.join(kernel)}\n{' '.join(MODULES)}\n")
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)


def unpacked_qemu(root: Path) -> list[str]:
    """How to run the QEMU in the folder: its libraries are those of another Debian."""
    libraries = root / "usr/lib/x86_64-linux-gnu"
    linker = libraries / "ld-linux-x86-64.so.2"
    return [str(linker), "--library-path", str(libraries), str(root / "usr/bin/qemu-system-x86_64"),
            "-L", str(root / "usr/share/qemu"), "-L", str(root / "usr/share/seabios")]


def fetch(folder: Path) -> Parts:
    """All parts of a guest, downloaded if they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    system = ["qemu-system-x86_64"]
    own = (qemu_version(system) or (0, 0)) < QEMU_NEEDED
    root = folder / "fetched" / "root"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_complete(folder / "fetched") or (own and not (root / "usr/bin/qemu-system-x86_64").exists()):
            download(folder / "fetched", own)
    qemu = unpacked_qemu(root) if own else system
    version = qemu_version(qemu)
    if version is None or version < QEMU_NEEDED:
        raise CannotFetch(f"the QEMU of Debian {SUITE} cannot be run here or is older than {QEMU_NEEDED[0]}.{QEMU_NEEDED[1]}")
    kernel = folder / "fetched" / "kernel"
    modules = [kernel / f"{name}.ko" for name in MODULES]
    return Parts(qemu, f"{version[0]}.{version[1]}", kernel / "vmlinuz", [module for module in modules if module.exists()],
                 root / "usr/bin/busybox")
