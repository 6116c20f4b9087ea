"""Compiles the C programs of this folder, once per content. Owns where the results are kept."""

import hashlib
import os
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent
CACHE = Path.home() / ".cache/hearth/bench"


def compiled(name: str) -> Path:
    """The program made of ``<name>.c``; compiled when that source or the header has changed.

    Raises:
        subprocess.CalledProcessError: it does not compile.
    """
    source = SOURCES / f"{name}.c"
    content = source.read_bytes() + (SOURCES / "client.h").read_bytes()
    target = CACHE / "bin" / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-o", str(fresh), str(source)], check=True, timeout=120)
        fresh.rename(target)  # whole or not at all, whoever else compiles at the same time
    return target
