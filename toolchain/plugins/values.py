"""Property values as Python sees them, and their form on the wire.

Owns decoding and encoding `google.protobuf.Struct`: secrets, unknowns, outputs, assets, archives
and resource references. Does not own any resource's schema. Plain values are None, bool, int,
float, str, list and dict with str keys; the rest are the classes below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from google.protobuf import struct_pb2

Value: TypeAlias = object
Props: TypeAlias = dict[str, Value]

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

# One marker per type exists; readers treat them alike and writers use the one for strings.
_UNKNOWNS: Final = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


@dataclass(frozen=True)
class Unknown:
    """A value that only the update itself will bring."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that the state encrypts and the engine hides. Its repr hides it as well."""

    value: Value

    def __repr__(self) -> str:
        return "Secret([hidden])"


@dataclass(frozen=True)
class Asset:
    """One file: exactly one of `path`, `text`, `uri` is set unless only the hash is known."""

    hash: str = ""
    path: str | None = None
    text: str | None = None
    uri: str | None = None


@dataclass(frozen=True)
class Archive:
    """A tree of files: `path` or `uri` of a folder or packed file, or `assets` by name."""

    hash: str = ""
    path: str | None = None
    uri: str | None = None
    assets: Mapping[str, Value] | None = None


@dataclass(frozen=True)
class ResourceRef:
    """A reference to another resource; `id` is None for a component."""

    urn: str
    id: Value = None
    package_version: str = ""


def _signed(fields: Mapping[str, Value], signature: Value) -> Value:
    """The special value that a signed object stands for."""

    def text(key: str) -> str | None:
        value = fields.get(key)
        return value if isinstance(value, str) else None

    if signature == SECRET:
        return Secret(fields.get("value"))
    if signature == OUTPUT:
        value = fields.get("value", UNKNOWN)
        return Secret(value) if fields.get("secret") is True else value
    if signature == ASSET:
        return Asset(text("hash") or "", text("path"), text("text"), text("uri"))
    if signature == ARCHIVE:
        assets = fields.get("assets")
        members = assets if isinstance(assets, dict) else None
        return Archive(text("hash") or "", text("path"), text("uri"), members)
    if signature == RESOURCE:
        return ResourceRef(
            text("urn") or "", fields.get("id"), str(fields.get("packageVersion") or "")
        )
    return {**fields, SIGNATURE: signature}


def _decode(value: struct_pb2.Value) -> Value:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text: str = value.string_value
        return UNKNOWN if text in _UNKNOWNS else text
    if kind == "number_value":
        number: float = value.number_value
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if kind == "bool_value":
        return bool(value.bool_value)
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind == "struct_value":
        fields: Props = {key: _decode(item) for key, item in value.struct_value.fields.items()}
        if SIGNATURE in fields:
            return _signed(fields, fields.pop(SIGNATURE))
        return fields
    return None


def decode(struct: struct_pb2.Struct) -> Props:
    """The properties that a message carries; whole numbers come as int."""
    return {key: _decode(value) for key, value in struct.fields.items()}


def _write_signed(signature: str, fields: Mapping[str, Value], into: struct_pb2.Value) -> None:
    target = into.struct_value.fields
    target[SIGNATURE].string_value = signature
    for key, value in fields.items():
        if value is not None:
            _encode(value, target[key])


def _encode(value: Value, into: struct_pb2.Value) -> None:
    match value:
        case None:
            into.null_value = struct_pb2.NULL_VALUE
        case bool():
            into.bool_value = value
        case int() | float():
            into.number_value = value
        case str():
            into.string_value = value
        case list() | tuple():
            into.list_value.SetInParent()
            for item in value:
                _encode(item, into.list_value.values.add())
        case Unknown():
            into.string_value = UNKNOWN_STRING
        case Secret():
            target = into.struct_value.fields
            target[SIGNATURE].string_value = SECRET
            _encode(value.value, target["value"])
        case Asset():
            fields = {"hash": value.hash, "path": value.path, "text": value.text, "uri": value.uri}
            _write_signed(ASSET, fields, into)
        case Archive():
            members = None if value.assets is None else dict(value.assets)
            fields = {"hash": value.hash, "path": value.path, "uri": value.uri, "assets": members}
            _write_signed(ARCHIVE, fields, into)
        case ResourceRef():
            version = value.package_version or None
            fields = {"urn": value.urn, "id": value.id, "packageVersion": version}
            _write_signed(RESOURCE, fields, into)
        case Mapping():
            into.struct_value.SetInParent()
            for key, item in value.items():
                _encode(item, into.struct_value.fields[str(key)])
        case _:
            raise TypeError(f"{type(value).__name__} is not a property value")


def encode(props: Mapping[str, Value]) -> struct_pb2.Struct:
    """The message form. Raises TypeError for a class that is no property value."""
    struct = struct_pb2.Struct()
    for key, value in props.items():
        _encode(value, struct.fields[key])
    return struct


def plain(value: Value) -> Value:
    """The same without any secret marker, at any depth."""
    match value:
        case Secret():
            return plain(value.value)
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def plain_props(props: Mapping[str, Value]) -> Props:
    """`plain` for a whole set of properties."""
    return {key: plain(value) for key, value in props.items()}


def has_unknown(value: Value) -> bool:
    """Whether anything in `value`, at any depth, is not known yet."""
    match value:
        case Unknown():
            return True
        case Secret():
            return has_unknown(value.value)
        case Mapping():
            return any(has_unknown(item) for item in value.values())
        case list():
            return any(has_unknown(item) for item in value)
        case Archive():
            return value.assets is not None and has_unknown(value.assets)
        case _:
            return False


def same(left: Value, right: Value) -> bool:
    """Equality as the engine sees it: a bool is no number, an unknown equals nothing, a file is
    its hash, a secret equals only a secret."""
    match left, right:
        case (Unknown(), _) | (_, Unknown()):
            return False
        case (Secret(), Secret()):
            return same(left.value, right.value)
        case (dict(), dict()):
            return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
        case (list(), list()):
            return len(left) == len(right) and all(map(same, left, right))
        case (Asset(), Asset()) | (Archive(), Archive()) if left.hash and right.hash:
            return left.hash == right.hash
        case (bool(), _) | (_, bool()):
            return left is right
        case _:
            return left == right
