"""One changing command per checkout at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.errors import Busy


@contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """Hold the lock, or raise Busy naming who holds it. The kernel frees it when we die."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            msg = (
                f"another hearth command (process {holder}) is changing this checkout; "
                "wait for it to end, or end it, then run this again"
            )
            raise Busy(msg) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
