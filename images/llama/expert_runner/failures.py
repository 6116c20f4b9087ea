"""Remembers which rungs failed, across restarts of the runner. Owns one small JSON file.

A failure belongs to a fingerprint: the model file, the binary and the flags it was tried with. When
one of them changes, the rung is new and is tried at once.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_LONGEST_REST_S: Final = 6 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A rung's latest failure. ``at`` is Unix time; ``count`` counts failures in a row."""

    fingerprint: str
    count: int
    at: float
    reason: str


class FailureMemory:
    """The failures of one expert, by rung. An unreadable file counts as an empty one: the worst
    that follows is one attempt too many.
    """

    def __init__(self, path: Path, *, first_rest_s: float, now: Callable[[], float]) -> None:
        self._path = path
        self._first_rest_s = first_rest_s
        self._now = now
        self._failures = _load(path)

    def get(self, rung: str, fingerprint: str) -> Failure | None:
        """The failure of a rung, unless it happened under other circumstances."""
        failure = self._failures.get(rung)
        return failure if failure and failure.fingerprint == fingerprint else None

    def retry_in_s(self, rung: str, fingerprint: str) -> float:
        """Seconds a rung still rests; each failure in a row doubles the rest."""
        failure = self.get(rung, fingerprint)
        if failure is None:
            return 0.0
        rest = min(self._first_rest_s * 2.0 ** min(failure.count - 1, 32), _LONGEST_REST_S)
        # A clock set back must not turn a rest of minutes into one of days.
        return min(max(0.0, failure.at + rest - self._now()), rest)

    def record(self, rung: str, fingerprint: str, reason: str) -> Failure:
        """Remembers a failure and returns it."""
        before = self.get(rung, fingerprint)
        failure = Failure(
            fingerprint=fingerprint,
            count=before.count + 1 if before else 1,
            at=self._now(),
            reason=reason,
        )
        self._failures[rung] = failure
        self._save()
        return failure

    def forget(self, rung: str) -> None:
        """A rung has proved itself."""
        if self._failures.pop(rung, None) is not None:
            self._save()

    def _save(self) -> None:
        document = {rung: asdict(failure) for rung, failure in sorted(self._failures.items())}
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        # Losing this memory costs one attempt; a full disk must not cost the expert.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(document, indent=1))
            partial.replace(self._path)


def fingerprint(files: Sequence[Path], flags: Sequence[str]) -> str:
    """Identifies the circumstances of an attempt: files by size and time, flags by text."""
    known: list[object] = [*flags]
    for file in files:
        try:
            status = file.stat()
        except OSError:
            known.append((str(file), None))
        else:
            known.append((str(file), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]


def _load(path: Path) -> dict[str, Failure]:
    try:
        document = json.loads(path.read_bytes())
        return {
            str(rung): Failure(
                fingerprint=str(entry["fingerprint"]),
                count=max(1, int(entry["count"])),
                at=float(entry["at"]),
                reason=str(entry["reason"]),
            )
            for rung, entry in document.items()
        }
    except (OSError, ValueError, OverflowError, TypeError, KeyError, AttributeError):
        return {}
