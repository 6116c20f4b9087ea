"""What this machine has to have before anything else: compilers, and Python's venv module.

Owns finding out what is missing and the package manager's command for it. Does not own asking
the person or running the command (bootstrap). Standard library only: it runs before the
virtual environment exists.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Which = Callable[[str], str | None]


@dataclass(frozen=True)
class Manager:
    """A package manager: `refresh` is run once when `install` fails, for empty lists."""

    name: str
    install: tuple[str, ...]
    refresh: tuple[str, ...]


_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get")
MANAGERS = (
    Manager("apt-get", (*_APT, "install", "-y", "--no-install-recommends"), (*_APT, "update")),
    Manager("dnf", ("dnf", "install", "-y"), ("dnf", "makecache")),
    Manager("pacman", ("pacman", "-S", "--noconfirm", "--needed"), ("pacman", "-Sy")),
)


@dataclass(frozen=True)
class Need:
    """Something that is missing: `packages` maps a manager's name to what supplies it."""

    what: str
    packages: Mapping[str, tuple[str, ...]]


_C_COMPILER = Need(
    "a C compiler", {"apt-get": ("gcc", "libc6-dev"), "dnf": ("gcc",), "pacman": ("gcc",)}
)
_CXX_COMPILER = Need(
    "a C++ compiler", {"apt-get": ("g++",), "dnf": ("gcc-c++",), "pacman": ("gcc",)}
)
_GIT = Need("git", {"apt-get": ("git",), "dnf": ("git",), "pacman": ("git",)})


def _venv_need() -> Need:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Need(
        "Python's venv module",
        {"apt-get": (f"python{version}-venv",), "dnf": ("python3",), "pacman": ("python",)},
    )


def _venv_usable() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip"))


def missing(
    which: Which,
    environ: Mapping[str, str],
    *,
    git: bool,
    venv: bool,
    venv_usable: Callable[[], bool] = _venv_usable,
) -> list[Need]:
    """What has to be installed: compilers always, git and the venv module where asked for."""

    def absent(variable: str, *commands: str) -> bool:
        chosen = environ.get(variable, "").split()
        return not any(which(name) for name in (*chosen[:1], *commands))

    needs: list[Need] = []
    if absent("CC", "cc", "gcc", "clang"):
        needs.append(_C_COMPILER)
    if absent("CXX", "c++", "g++", "clang++"):
        needs.append(_CXX_COMPILER)
    if git and which("git") is None:
        needs.append(_GIT)
    if venv and not venv_usable():
        needs.append(_venv_need())
    return needs


def manager(which: Which) -> Manager | None:
    """The package manager of this machine, or None if it has none that we know."""
    return next((known for known in MANAGERS if which(known.name)), None)


def packages(needs: Sequence[Need], known: Manager) -> list[str]:
    """The manager's package names, each once, in order."""
    return list(dict.fromkeys(name for need in needs for name in need.packages[known.name]))
