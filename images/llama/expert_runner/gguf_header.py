"""Reads what a GGUF header says about memory. Owns the parsing of one local file that may be
truncated, corrupt or hostile; reads no weights and estimates nothing.

Written out rather than taken from a library because the runner shares its memory with a model:
it skips what it does not need, so a vocabulary of 250,000 tokens costs milliseconds and no RAM.
"""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from expert_runner.errors import HeaderError

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_STRING: Final = 8
_ARRAY: Final = 9
_FORMATS: Final = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}

# Far above any real model; a header beyond them is corrupt, and each bounds time or memory.
_MAX_PAIRS: Final = 65_536
_MAX_KEY_BYTES: Final = 65_536
_MAX_NAME_BYTES: Final = 1_024
_MAX_STRINGS: Final = 4_000_000
_MAX_LAYERS: Final = 4_096
_MAX_COUNT: Final = 2**31

_SPLIT: Final = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True, kw_only=True)
class Header:
    """The sizes that decide a model's memory. ``kv_heads`` has one entry per layer; 0 marks a
    layer without a cache (a convolution of a hybrid model).
    """

    architecture: str
    layers: int
    embedding: int
    feed_forward: int
    vocabulary: int
    kv_heads: tuple[int, ...]
    key_length: int
    value_length: int
    file_bytes: int


def read_header(path: Path) -> Header:
    """The header of a model file, or of the first of its parts.

    Raises:
        HeaderError: the file is unreadable, no GGUF, damaged, or one of its parts is missing.
    """
    try:
        with path.open("rb") as file:
            metadata = _Reader(file).metadata()
        size = sum(part.stat().st_size for part in parts(path))
    except OSError as error:
        raise HeaderError(f"cannot read {error.filename or path}: {error.strerror}") from error
    return _header(metadata, size)


def parts(path: Path) -> list[Path]:
    """Every file of a model that llama.cpp loads when given ``path``."""
    found = _SPLIT.search(path.name)
    if found is None or not 0 < int(found[2]) <= _MAX_LAYERS:
        return [path]
    stem = path.name[: found.start()]
    total = int(found[2])
    return [path.with_name(f"{stem}-{n:05}-of-{total:05}.gguf") for n in range(1, total + 1)]


@dataclass(frozen=True)
class _Length:
    """Stands for an array whose items do not matter."""

    items: int


_Scalar = int | float | bool | str
_Value = _Scalar | tuple[int, ...] | _Length


class _Reader:
    """A cursor over the header that never trusts a length it has not held against the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def metadata(self) -> dict[str, _Value]:
        if self._take(4) != _MAGIC:
            raise HeaderError("not a GGUF file")
        version = self._number("I")
        if version not in _VERSIONS:
            raise HeaderError(f"GGUF version {version} is unknown")
        self._number("Q")  # tensors: their shapes repeat what the metadata says
        pairs = self._number("Q")
        if pairs > _MAX_PAIRS:
            raise HeaderError(f"{pairs} metadata entries are too many to be true")
        return dict(self._pair() for _ in range(pairs))

    def _pair(self) -> tuple[str, _Value]:
        key = self._text(_MAX_KEY_BYTES)
        kind = self._number("I")
        if kind == _STRING:
            return key, self._string(key)
        if kind == _ARRAY:
            return key, self._array(key)
        return key, self._scalar(kind)

    def _string(self, key: str) -> str:
        # Only the architecture is of use; chat templates run to hundreds of kilobytes.
        if key == "general.architecture":
            return self._text(_MAX_NAME_BYTES)
        self._skip(self._number("Q"))
        return ""

    def _array(self, key: str) -> tuple[int, ...] | _Length:
        kind, count = self._number("I"), self._number("Q")
        if kind == _STRING:
            if count > _MAX_STRINGS:
                raise HeaderError(f"{key} has {count} strings, too many to be true")
            for _ in range(count):
                self._skip(self._number("Q"))
            return _Length(count)
        form = _FORMATS.get(kind)
        if form is None:
            raise HeaderError(f"{key} is an array of unknown type {kind}")
        if count > _MAX_LAYERS or form in "fd":
            self._skip(count * struct.calcsize(f"<{form}"))
            return _Length(count)
        data = self._take(count * struct.calcsize(f"<{form}"))
        return tuple(int(value) for value in struct.unpack(f"<{count}{form}", data))

    def _scalar(self, kind: int) -> _Scalar:
        form = _FORMATS.get(kind)
        if form is None:
            raise HeaderError(f"unknown value type {kind}")
        value: _Scalar = struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))[0]
        return value

    def _number(self, form: str) -> int:
        return int(struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))[0])

    def _text(self, longest: int) -> str:
        length = self._number("Q")
        if length > longest:
            raise HeaderError(f"a name of {length} bytes is too long to be true")
        return self._take(length).decode("utf-8", "replace")

    def _take(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) != length:
            raise HeaderError("the file ends inside its header")
        return data

    def _skip(self, length: int) -> None:
        if length > self._size - self._file.tell():
            raise HeaderError("the file ends inside its header")
        self._file.seek(length, os.SEEK_CUR)


@dataclass(frozen=True)
class _Counts:
    """The metadata of one architecture, read as counts."""

    metadata: dict[str, _Value]
    architecture: str

    def largest(self, key: str, default: int | None = None) -> int:
        """A count, or the largest of one per layer."""
        return max(self.per_layer(key, 1, default))

    def per_layer(self, key: str, layers: int, default: int | None = None) -> tuple[int, ...]:
        """A count for each layer; files write one number where all layers are alike."""
        value = self.metadata.get(f"{self.architecture}.{key}", default)
        values = value if isinstance(value, tuple) else (value,) * layers
        numbers = tuple(n for n in values if isinstance(n, int) and 0 <= n < _MAX_COUNT)
        if not numbers or len(numbers) != len(values):
            raise HeaderError(f"{self.architecture}.{key} is missing or no count")
        return numbers


def _header(metadata: dict[str, _Value], size: int) -> Header:
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise HeaderError("general.architecture is missing")
    counts = _Counts(metadata, architecture)
    layers, embedding = counts.largest("block_count"), counts.largest("embedding_length")
    heads = counts.largest("attention.head_count")
    if not 0 < layers <= _MAX_LAYERS or heads == 0:
        raise HeaderError(f"{layers} layers with {heads} heads are no transformer")
    tokens = metadata.get("tokenizer.ggml.tokens")
    return Header(
        architecture=architecture,
        layers=layers,
        embedding=embedding,
        feed_forward=counts.largest("feed_forward_length", 0),
        vocabulary=counts.largest(
            "vocab_size", tokens.items if isinstance(tokens, _Length) else None
        ),
        kv_heads=counts.per_layer("attention.head_count_kv", layers, heads),
        key_length=counts.largest("attention.key_length", embedding // heads),
        value_length=counts.largest("attention.value_length", embedding // heads),
        file_bytes=size,
    )
