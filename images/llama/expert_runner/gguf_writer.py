"""Writes small GGUF files with nothing but the standard library. Owns the container format and the
three number formats a CPU build must prove itself on; does not know what the weights mean.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

ALIGNMENT: Final = 32
BLOCK: Final = 32  # weights in one quantised block

_MAGIC: Final = b"GGUF"
_VERSION: Final = 3
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9

Value = bool | int | float | str | Sequence[str] | Sequence[int]


class Quant(Enum):
    """A number format: ggml's tensor type and the ``general.file_type`` that announces it."""

    F32 = (0, 0)
    F16 = (1, 1)
    Q4_0 = (2, 2)
    Q8_0 = (8, 7)

    def __init__(self, tensor_type: int, file_type: int) -> None:
        self.tensor_type = tensor_type
        self.file_type = file_type


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """``rows`` x ``columns`` weights, already encoded; a vector has no ``rows``."""

    name: str
    columns: int
    rows: int | None
    quant: Quant
    data: bytes


@dataclass(kw_only=True)
class GgufFile:
    """Metadata and tensors in the order they are written."""

    metadata: Mapping[str, Value]
    tensors: list[Tensor] = field(default_factory=list)

    def vector(self, name: str, values: Sequence[float]) -> None:
        """Adds a vector; llama.cpp wants norms in F32 whatever the matrices are."""
        self.tensors.append(
            Tensor(
                name=name,
                columns=len(values),
                rows=None,
                quant=Quant.F32,
                data=encode(values, Quant.F32),
            )
        )

    def matrix(self, name: str, rows: Sequence[Sequence[float]], quant: Quant) -> None:
        """Adds a matrix of equally long rows."""
        self.tensors.append(
            Tensor(
                name=name,
                columns=len(rows[0]),
                rows=len(rows),
                quant=quant,
                data=b"".join(encode(row, quant) for row in rows),
            )
        )

    def to_bytes(self) -> bytes:
        """The whole file. The same input gives the same bytes."""
        head = bytearray(_MAGIC)
        head += struct.pack("<IQQ", _VERSION, len(self.tensors), len(self.metadata))
        for key, value in self.metadata.items():
            head += _string(key) + _typed(value)
        offset = 0
        for tensor in self.tensors:
            shape = [tensor.columns] + ([] if tensor.rows is None else [tensor.rows])
            head += _string(tensor.name) + struct.pack("<I", len(shape))
            head += struct.pack(f"<{len(shape)}Q", *shape)
            head += struct.pack("<IQ", tensor.quant.tensor_type, offset)
            offset += _padded(len(tensor.data))
        body = bytearray(head.ljust(_padded(len(head)), b"\0"))
        for tensor in self.tensors:
            body += tensor.data.ljust(_padded(len(tensor.data)), b"\0")
        return bytes(body)


def encode(row: Sequence[float], quant: Quant) -> bytes:
    """One row in a number format. Quantised rows must be a multiple of ``BLOCK`` long."""
    match quant:
        case Quant.F32:
            return struct.pack(f"<{len(row)}f", *row)
        case Quant.F16:
            return struct.pack(f"<{len(row)}e", *row)
        case Quant.Q8_0:
            return b"".join(_q8_0(row[start : start + BLOCK]) for start in _blocks(row))
        case Quant.Q4_0:
            return b"".join(_q4_0(row[start : start + BLOCK]) for start in _blocks(row))


def _blocks(row: Sequence[float]) -> range:
    if len(row) % BLOCK:
        raise ValueError(f"a row of {len(row)} weights is no multiple of {BLOCK}")
    return range(0, len(row), BLOCK)


def _q8_0(block: Sequence[float]) -> bytes:
    scale = max(abs(value) for value in block) / 127
    steps = [round(value / scale) if scale else 0 for value in block]
    return struct.pack("<e32b", scale, *steps)


def _q4_0(block: Sequence[float]) -> bytes:
    # The largest weight maps to the end of the range that has one step more, so it stays exact.
    scale = max(block, key=abs) / -8
    steps = [min(15, round(value / scale + 8)) if scale else 8 for value in block]
    half = BLOCK // 2
    return struct.pack("<e", scale) + bytes(
        low | high << 4 for low, high in zip(steps[:half], steps[half:], strict=True)
    )


def _padded(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _typed(value: Value) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case int():
            return struct.pack("<II", _U32, value)
        case float():
            return struct.pack("<If", _F32, value)
        case str():
            return struct.pack("<I", _STRING) + _string(value)
        case _:
            return struct.pack("<I", _ARRAY) + _array(value)


def _array(values: Sequence[str] | Sequence[int]) -> bytes:
    if values and isinstance(values[0], str):
        return struct.pack("<IQ", _STRING, len(values)) + b"".join(map(_string, map(str, values)))
    return struct.pack(f"<IQ{len(values)}i", _I32, len(values), *map(int, values))
