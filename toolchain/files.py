"""Writing files so that a reader never sees half of one.

Owns atomic replacement, placing one file in a second folder, and removing trees that hold
read-only folders. Does not own where anything belongs.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Creates parents, writes beside `path` and renames over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.chmod(mode)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def same_file(source: Path, target: Path) -> bool:
    """Whether `target` is `source` as `place` leaves it: a hard link, or a copy of its age."""
    try:
        theirs, ours = source.stat(), target.lstat()
    except OSError:
        return False
    if not stat.S_ISREG(ours.st_mode):
        return False
    if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino):
        return True
    return (theirs.st_size, theirs.st_mtime_ns) == (ours.st_size, ours.st_mtime_ns)


def place(source: Path, target: Path) -> None:
    """Puts `source` at `target`: a hard link where possible, else a copy.

    A symbolic link would not do: a program finds its own folder through the kernel, which
    names the link's target, and would look there for the files that belong beside it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        try:
            os.link(source, part)
        except OSError:
            shutil.copy2(source, part)
        part.replace(target)
    finally:
        # rename(2) of two links to one inode does nothing and leaves the first name behind.
        part.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Removes a folder even where its sub-folders are read-only, as Go's module cache is."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
    shutil.rmtree(path)
