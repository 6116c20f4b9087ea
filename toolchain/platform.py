"""Which machine this is, in the words the different vendors use.

Owns the mapping from the kernel's names. Does not own which archives exist (lock.toml).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from toolchain.errors import UnsupportedPlatformError

_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_GO_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Platform:
    """One supported machine: `machine` is the kernel's name (x86_64 or aarch64)."""

    machine: str

    @property
    def go_arch(self) -> str:
        """amd64 or arm64: the name in Go, in Nomad archives and in plugin archives."""
        return _GO_ARCH[self.machine]

    @property
    def tag(self) -> str:
        """linux-x86_64 or linux-aarch64: the name in our cache."""
        return f"linux-{self.machine}"

    @classmethod
    def named(cls, system: str, machine: str) -> Platform:
        """Raises UnsupportedPlatformError for anything but Linux on x86-64 or 64-bit Arm."""
        known = _MACHINES.get(machine.lower())
        if system.lower() != "linux" or known is None:
            raise UnsupportedPlatformError(
                f"{system} on {machine} is not supported",
                fix="use Linux on x86_64 or aarch64",
            )
        return cls(known)

    @classmethod
    def current(cls) -> Platform:
        """The machine this process runs on."""
        uname = os.uname()
        return cls.named(uname.sysname, uname.machine)
