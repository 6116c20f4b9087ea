"""Reading the vendors' archives and writing our own.

Owns tar and zip, and that nothing lands outside its folder. Does not own verification.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from toolchain.errors import ArchiveError

# One fixed time for every file we pack or unpack: the same source gives the same bytes.
_EPOCH = 1_577_836_800


def _write(stream: IO[bytes], target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        shutil.copyfileobj(stream, out, 1 << 20)
    target.chmod(mode)


def extract_programs(archive: Path, members: Sequence[str], into: Path) -> list[Path]:
    """Takes the members with these file names, from whatever folder, as executables.

    Raises ArchiveError if the first member (the program itself) is missing or the archive is
    damaged; later members are optional.
    """
    wanted = set(members)
    found: dict[str, Path] = {}
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as packed:
                for info in packed.infolist():
                    name = PurePosixPath(info.filename).name
                    if name in wanted and not info.is_dir():
                        with packed.open(info) as stream:
                            _write(stream, into / name, 0o755)
                        found[name] = into / name
        else:
            with tarfile.open(archive) as tar:
                for member in tar:
                    name = PurePosixPath(member.name).name
                    if name in wanted and member.isfile():
                        content = tar.extractfile(member)
                        assert content is not None
                        with content:
                            _write(content, into / name, 0o755)
                        found[name] = into / name
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ArchiveError(f"{archive.name}: {error}") from error
    if members[0] not in found:
        raise ArchiveError(f"{archive.name}: holds no {members[0]}")
    return [found[name] for name in members if name in found]


def _wanted(path: PurePosixPath, keep: Sequence[str], drop: Sequence[str]) -> bool:
    return path.parts[0] in keep and not any(path.is_relative_to(item) for item in drop)


def extract_subtree(
    archive: Path, subtree: str, keep: Sequence[str], drop: Sequence[str], into: Path
) -> int:
    """Unpacks the regular files below `<top folder>/<subtree>` that `keep` and `drop` allow.

    `subtree` is empty for the whole top folder; a path in `keep` is a first component below
    it. Links are left out. Returns the number of files; raises ArchiveError.
    """
    prefix = PurePosixPath(subtree).parts
    count = 0
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                parts = PurePosixPath(member.name).parts[1:]
                inner = parts[len(prefix) :]
                if not member.isfile() or parts[: len(prefix)] != prefix or not inner:
                    continue
                if ".." in inner:
                    raise ArchiveError(f"{archive.name}: {member.name} points outside")
                relative = PurePosixPath(*inner)
                if not _wanted(relative, keep, drop):
                    continue
                content = tar.extractfile(member)
                assert content is not None
                target = into / relative
                with content:
                    _write(content, target, 0o755 if member.mode & 0o100 else 0o644)
                os.utime(target, (_EPOCH, _EPOCH))
                count += 1
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveError(f"{archive.name}: {error}") from error
    if count == 0:
        raise ArchiveError(f"{archive.name}: nothing below {subtree or 'its top folder'}")
    return count


def pack_tree(tree: Path, target: Path) -> None:
    """Writes a tar.gz of the folder's regular files: sorted, one time, no owner."""
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in paths:
            info = tarfile.TarInfo(str(path.relative_to(tree)))
            status = path.stat()
            info.size = status.st_size
            info.mode = 0o755 if status.st_mode & 0o100 else 0o644
            info.mtime = _EPOCH
            with path.open("rb") as stream:
                tar.addfile(info, stream)
