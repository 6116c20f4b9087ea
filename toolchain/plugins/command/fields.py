"""What inputs the command types know, and the refusals the official plugin words so."""

from collections.abc import Mapping
from typing import Any, Final

from toolchain.plugins.resource import Failure
from toolchain.plugins.values import UNKNOWN, Properties, reveal

TEXT: Final = "string"
FLAG: Final = "bool"
MAP: Final = "map"
LIST: Final = "list"
ANY: Final = "any"

COMMAND: Final[Mapping[str, str]] = {
    "create": TEXT,
    "update": TEXT,
    "delete": TEXT,
    "stdin": TEXT,
    "environment": MAP,
    "triggers": ANY,
    "addPreviousOutputInEnv": FLAG,
    "logging": TEXT,
}
LOCAL: Final[Mapping[str, str]] = {
    **COMMAND,
    "interpreter": LIST,
    "dir": TEXT,
    "assetPaths": LIST,
    "archivePaths": LIST,
}
REMOTE: Final[Mapping[str, str]] = {**COMMAND, "connection": ANY}
COPY: Final[Mapping[str, str]] = {
    "connection": ANY,
    "source": ANY,
    "remotePath": TEXT,
    "triggers": ANY,
}

_TYPES: Final[Mapping[str, type]] = {TEXT: str, FLAG: bool, MAP: dict, LIST: list}
_GO_NAMES: Final[Mapping[type, str]] = {str: "string", bool: "bool", dict: "map", list: "slice"}


def refusals(kind: str, fields: Mapping[str, str], inputs: Properties) -> list[Failure]:
    """Why inputs are refused; ``kind`` is the name of the inputs in messages."""
    failures = []
    for name, value in inputs.items():
        if name.startswith("__"):
            continue
        if name not in fields:
            failures.append(Failure(name, f"Unrecognized field '{name}' on '{kind}'"))
            continue
        wanted = fields[name]
        plain = reveal(value)
        if wanted == ANY or plain in (UNKNOWN, None):
            continue
        if not isinstance(plain, _TYPES[wanted]):
            reason = f"Field '{name}' on '{kind}' must be a '{wanted}'; got '{_go(plain)}' instead"
            failures.append(Failure(name, reason))
        elif isinstance(plain, dict):
            failures += [
                Failure(
                    f"{name}[{key}]",
                    f"Field '{name}[{key}] value' on '{kind}' must be a 'string'; "
                    f"got '{_go(item)}' instead",
                )
                for key, item in plain.items()
                if not isinstance(item, str)
            ]
    return failures


def _go(value: Any) -> str:
    return _GO_NAMES.get(type(value), "float64")
