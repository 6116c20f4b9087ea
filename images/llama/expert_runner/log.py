"""One line per event, for people and for ``key=value`` parsers. Owns nothing but the form."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO


class Log:
    """Writes events of one expert to a stream.

    A line is ``2026-01-31T12:00:00Z info serving expert=general rung=selftest``.
    """

    def __init__(self, stream: TextIO, *, expert: str, now: Callable[[], float]) -> None:
        self._stream = stream
        self._expert = expert
        self._now = now

    def info(self, message: str, **fields: object) -> None:
        """Something that is as it should be."""
        self._write("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Something an owner should know, while the expert still answers or may answer soon."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """The expert does not answer."""
        self._write("error", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        time = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        known = "".join(f" {key}={_plain(value)}" for key, value in fields.items())
        head, newline, rest = message.partition("\n")
        line = f"{time} {level} {head} expert={self._expert}{known}{newline}{rest}"
        print(line, file=self._stream, flush=True)


def _plain(value: object) -> str:
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return json.dumps(text) if not text or any(c in text for c in ' "=\n') else text
