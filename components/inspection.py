"""Facts read from this machine: its hardware, and digests of source folders. Reads only."""

import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path

from components.plan.cpu import detect
from components.plan.spec import HardwareFacts

_MIB = 1024 * 1024


def inspect_hardware(proc: Path = Path("/proc"), sys_fs: Path = Path("/sys")) -> HardwareFacts:
    """CPU class, physical cores and memory of this machine.

    Raises ValueError for an architecture Hearth does not build for.
    """
    cpuinfo = (proc / "cpuinfo").read_text()
    return HardwareFacts(
        cpu_class=detect(platform.machine(), _cpu_flags(cpuinfo)),
        cores=_physical_cores(cpuinfo),
        memory_mib=min(_installed_mib(proc), _cgroup_limit_mib(sys_fs)),
    )


def digest_of(folders: Sequence[Path]) -> str:
    """SHA-256 over names and contents of the files below the folders, caches left out."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                content = file.read_bytes()
                name = f"{folder.name}/{file.relative_to(folder)}"
                digest.update(f"{name}\0{len(content)}\0".encode())
                digest.update(content)
    return digest.hexdigest()


def _cpu_flags(cpuinfo: str) -> list[str]:
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return value.split()
    return []


def _physical_cores(cpuinfo: str) -> int:
    """Distinct (package, core) pairs; ARM and some virtual machines name none: all processors."""
    pairs = set()
    package = "0"
    processors = 0
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        match key.strip():
            case "processor":
                processors += 1
            case "physical id":
                package = value.strip()
            case "core id":
                pairs.add((package, value.strip()))
    return len(pairs) or processors or 1


def _installed_mib(proc: Path) -> int:
    for line in (proc / "meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    msg = f"{proc / 'meminfo'} names no MemTotal"
    raise ValueError(msg)


def _cgroup_limit_mib(sys_fs: Path) -> int:
    """The memory limit of this container, or a number larger than any machine."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (sys_fs / "fs" / "cgroup" / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            return int(text) // _MIB
    return 1 << 40
