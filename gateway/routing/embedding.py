"""The bodies of /v1/embeddings: texts out, unit vectors in. Pure."""

import json
import math
from collections.abc import Sequence
from typing import Any, Final

Vector = tuple[float, ...]  # of length 1

PATH: Final = "/v1/embeddings"
# Embedding models read a few hundred tokens; what a prompt is about stands at its beginning.
_READ_CHARACTERS: Final = 1000


class BadEmbeddings(ValueError):
    """An answer that holds no usable vectors."""


def request_body(embedder: str, texts: Sequence[str]) -> bytes:
    """Asks for one vector per text."""
    document = {
        "model": embedder,
        "input": [text[:_READ_CHARACTERS] for text in texts],
        "encoding_format": "float",
    }
    return json.dumps(document).encode()


def read_vectors(answer: bytes, count: int) -> list[Vector]:
    """The vectors of an answer, in the order of the texts, scaled to length 1.

    Raises:
        BadEmbeddings: there are not ``count`` of one dimension, or they are no numbers.
    """
    try:
        rows: list[Any] = json.loads(answer)["data"]
        # The order of the list is not promised; the index is.
        ordered = sorted(rows, key=lambda row: row["index"])
        vectors = [unit(row["embedding"]) for row in ordered]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BadEmbeddings(f"unreadable embeddings: {error!r}"[:200]) from error
    if len(vectors) != count or len(set(map(len, vectors))) != 1:
        raise BadEmbeddings(f"{len(vectors)} embeddings of unequal shape for {count} texts")
    return vectors


def unit(numbers: Sequence[float]) -> Vector:
    """The vector scaled to length 1.

    Raises:
        BadEmbeddings: it has no direction, or holds something that is no finite number.
    """
    length = math.hypot(*numbers)
    if not math.isfinite(length) or length == 0:
        raise BadEmbeddings("an embedding without a direction")
    return tuple(number / length for number in numbers)
