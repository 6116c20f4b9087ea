"""A preview in people's words: which resources change, and what in them. Pure."""

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_UNCHANGED: Final = ("same", "read", "refresh")
_SHOWN_LINES: Final = 12
_COMPONENT: Final = "hearth:"
_SYMBOLS: Final = {
    "create": "+",
    "update": "~",
    "delete": "-",
    "replace": "±",
    "create-replacement": "±",
    "delete-replaced": "-",
}


@dataclass(frozen=True)
class Change:
    """One resource that would change."""

    operation: str
    name: str
    type: str
    details: tuple[str, ...]

    @property
    def symbol(self) -> str:
        """One character for the operation."""
        return _SYMBOLS.get(self.operation, "?")


def problems(digest: dict[str, Any]) -> list[str]:
    """Errors of a preview digest, as text."""
    return [
        str(diagnostic["message"]).strip().removeprefix("error: ")
        for diagnostic in digest.get("diagnostics") or []
        if diagnostic.get("severity") == "error"
    ]


def changes(digest: dict[str, Any]) -> list[Change]:
    """The changes of a preview digest. Components are left out: their children say it all."""
    return [
        Change(
            operation=step["op"],
            name=step["urn"].rsplit("::", 1)[-1],
            type=_type_of(step["urn"]),
            details=tuple(_details(step)),
        )
        for step in digest.get("steps") or []
        if step["op"] not in _UNCHANGED
        and not _type_of(step["urn"]).startswith(_COMPONENT)
        and _type_of(step["urn"]) != "pulumi:pulumi:Stack"
    ]


def _type_of(urn: str) -> str:
    return str(urn.split("::")[2].rsplit("$", 1)[-1])


def _details(step: dict[str, Any]) -> Iterator[str]:
    if step["op"] not in ("update", "replace", "create-replacement"):
        return
    old = step.get("oldState", {}).get("inputs", {})
    new = step.get("newState", {}).get("inputs", {})
    for key in sorted({*old, *new}):
        if key.startswith("__") or old.get(key) == new.get(key):
            continue
        lines = list(_line_diff(_readable(old.get(key)), _readable(new.get(key))))
        yield f"{key}:"
        yield from (f"  {line}" for line in lines[:_SHOWN_LINES])
        if len(lines) > _SHOWN_LINES:
            yield f"  … {len(lines) - _SHOWN_LINES} more lines (pulumi preview --diff shows all)"


def _line_diff(old: str, new: str) -> Iterator[str]:
    for line in difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0):
        if not line.startswith(("---", "+++", "@@")):
            yield line[:1] + " " + line[1:].strip()


def _readable(value: Any) -> str:
    """A value as lines: jobspecs and the settings inside them are JSON in strings."""
    if value is None:
        return ""
    if isinstance(value, dict) and "4dabf18193072939515e22adb298388d" in value:
        return "(secret)"
    return json.dumps(_unfold(value), indent=1, ensure_ascii=False)


def _unfold(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unfold(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unfold(item) for item in value]
    if isinstance(value, str) and value[:1] in "{[" and value[-1:] in "}]":
        try:
            return _unfold(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, str) and "\n" in value:
        return value.splitlines()
    return value
