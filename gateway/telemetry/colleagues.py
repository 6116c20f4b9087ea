"""The other workers of this gateway: tells them this one's figures and reads theirs, so that
whichever is asked answers for all. Owns the files in which they meet.
"""

import contextlib
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from gateway.telemetry.figures import Figures, total

_PREFIX: Final = "figures-"
_LEFT_BEHIND_S: Final = 3600.0

_log = logging.getLogger("gateway.telemetry")


class Colleagues:
    """``folder`` is the same for all workers of one gateway; None: there is only this one. What a
    worker with this number counted before it died is part of this one's figures.
    """

    def __init__(self, folder: Path | None, worker: int) -> None:
        self._folder = folder
        self._own = None if folder is None else folder / str(worker)
        before = None if self._own is None else _read(self._own)
        self._before = [] if before is None else [before.counted()]
        self._failing = False

    @property
    def any(self) -> bool:
        """Whether there are others."""
        return self._folder is not None

    def tell(self, own: Figures) -> None:
        """Lets the others know."""
        if self._own is None:
            return
        new = self._own.with_suffix(".new")
        try:
            new.write_bytes(msgspec.msgpack.encode(total(own, self._before)))
            os.replace(new, self._own)
        except OSError as error:
            if not self._failing:
                _log.error("figures for the other workers: %s: %s", self._own, error.strerror)
            self._failing = True
        else:
            self._failing = False

    def together(self, own: Figures) -> Figures:
        """The figures of all: one's own as they are, the others' as they were a second ago."""
        if self._folder is None:
            return own
        try:
            paths = sorted(self._folder.iterdir())
        except OSError:
            paths = []
        others = [_read(path) for path in paths if path != self._own and not path.suffix]
        return total(own, [*self._before, *(figures for figures in others if figures)])


def meeting_place(folder: Path | None) -> Path | None:
    """A new folder in this one (None: where temporary files go) for the workers that are about to
    start, and an end of those that killed gateways left behind. None when there can be none: then
    each worker shows its own figures.
    """
    try:
        for old in [] if folder is None else folder.glob(f"{_PREFIX}*"):
            if time.time() - old.stat().st_mtime > _LEFT_BEHIND_S:
                leave(old)
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
    except OSError as error:
        _log.error("workers cannot exchange figures: %s", error)
        return None


def leave(folder: Path | None) -> None:
    """The gateway ends."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _read(path: Path) -> Figures | None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.msgpack.decode(path.read_bytes(), type=Figures)
    return None
