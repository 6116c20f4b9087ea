"""The examples' vectors on disk, so that a restart does not embed them again. Blocking."""

import hashlib
import json
import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.routing.embedding import Vector

_FORMAT: Final = 1
_FLOAT: Final = "f"


def fingerprint(embedder: str, texts: Sequence[str]) -> str:
    """Changes with the embedder's name and with any text."""
    document = json.dumps([_FORMAT, embedder, list(texts)]).encode()
    return hashlib.blake2b(document, digest_size=16).hexdigest()


def save(path: Path, mark: str, vectors: Sequence[Vector]) -> None:
    """Replaces the file as a whole; a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = array(_FLOAT, [number for vector in vectors for number in vector])
    head = {"mark": mark, "count": len(vectors)}
    # Several gateway processes may write at once, each its own draft.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(json.dumps(head).encode() + b"\n" + numbers.tobytes())
    draft.replace(path)


def load(path: Path, mark: str) -> list[Vector] | None:
    """The vectors saved under this fingerprint; None when there are none, or they are damaged."""
    try:
        head, _, data = path.read_bytes().partition(b"\n")
        document = json.loads(head)
        if document["mark"] != mark:
            return None
        count = int(document["count"])
        numbers = array(_FLOAT)
        numbers.frombytes(data)
        dimension, rest = divmod(len(numbers), count)
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError):
        return None
    if rest or not dimension:
        return None
    return [tuple(numbers[n * dimension : (n + 1) * dimension]) for n in range(count)]
