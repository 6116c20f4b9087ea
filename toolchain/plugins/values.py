"""Property values as they travel: plain JSON with marked objects for secrets, unknowns and assets.

Values stay in that form, so that whatever this code does not touch passes through unchanged.
"""

from typing import Any, Final, cast

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

Properties = dict[str, Any]

_EXACT: Final = 2**53  # numbers travel as doubles


def from_struct(struct: Struct) -> Properties:
    """A message as a mapping. Whole numbers become int, as people wrote them."""
    return cast(Properties, _whole(MessageToDict(struct)))


def to_struct(properties: Properties) -> Struct:
    """A mapping as a message."""
    struct = Struct()
    struct.update(properties)
    return struct


def secret(value: Any) -> Properties:
    """Mark a value secret; what is marked already stays as it is."""
    return value if is_secret(value) else {SIGNATURE: SECRET, "value": value}


def is_secret(value: Any) -> bool:
    """Whether the value itself is marked."""
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def reveal(value: Any) -> Any:
    """The value without secret marks, at any depth."""
    if is_secret(value):
        return reveal(value["value"])
    if isinstance(value, dict):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def has_unknown(value: Any) -> bool:
    """Whether anything in the value is not known yet."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return bool(value == UNKNOWN)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value
