"""Stand-ins for Pulumi plugins where the official ones cannot be downloaded.

Owns the entry point that launchers call. Does not own any plugin: each is imported only when its
name is asked for, because an unchanged `pulumi up` starts four of these processes.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """Runs the plugin `name` until the engine ends it.

    `name` is a key of `versions.VERSIONS` or `python` (the language host); `argv` is what follows
    the program's name, by default that of this process. Returns the exit code; 2 for an unknown
    name.
    """
    from toolchain.plugins.dispatch import run

    return run(name, argv)
