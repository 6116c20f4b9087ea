"""Changes answers where the API promises what llama-server does not keep. Everything else passes
byte for byte. Pure.

Two promises: ``parallel_tool_calls: false`` means one call at most, and a stream carries its usage
only where the client asked for it.
"""

import json
import re
from typing import Any, Final

_DATA: Final = b"data:"
_EVENT: Final = re.compile(rb"(.*?)(\n\n|\r\n\r\n)", re.DOTALL)


class Rewrite:
    """What to change in one answer. ``one_call``: it may hold one tool call at most."""

    __slots__ = ("_held", "_without_usage", "one_call")

    def __init__(self, *, one_call: bool = False, without_usage: bool = False) -> None:
        self.one_call = one_call
        self._without_usage = without_usage
        self._held = b""

    def whole(self, text: bytes) -> bytes:
        """A JSON answer, mended; what is no JSON stays as it is."""
        if not self.one_call:
            return text
        try:
            document = json.loads(text)
        except ValueError:
            return text
        if not _keep_first_call(document):
            return text
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")

    def events(self, text: bytes, done: bool) -> bytes:
        """A piece of an event stream; an event that is not whole yet waits for the next piece."""
        text = self._held + text
        mended, place = [], 0
        for found in _EVENT.finditer(text):
            place = found.end()
            event = self._event(found[1])
            if event is not None:
                mended.append(event + found[2])
        self._held = b"" if done else text[place:]
        if done:
            mended.append(text[place:])
        return b"".join(mended)

    def _event(self, event: bytes) -> bytes | None:
        lines = event.split(b"\n")
        for place, line in enumerate(lines):
            if not line.startswith(_DATA):
                continue
            try:
                document = json.loads(line[len(_DATA) :])
            except ValueError:
                continue
            if not isinstance(document, dict):
                continue
            if self._without_usage and document.get("choices") == [] and document.get("usage"):
                return None
            if self.one_call and _drop_later_deltas(document):
                mended = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
                lines[place] = b"data: " + mended + (b"\r" if line.endswith(b"\r") else b"")
        return b"\n".join(lines)


def _keep_first_call(document: Any) -> bool:
    """Cuts every list of tool calls to its first; True when anything was cut."""
    changed = False
    for choice in _choices(document):
        message = choice.get("message")
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        if isinstance(calls, list) and len(calls) > 1:
            del calls[1:]
            changed = True
    return changed


def _drop_later_deltas(document: Any) -> bool:
    """Drops the pieces of every call but the first; True when anything was dropped."""
    changed = False
    for choice in _choices(document):
        delta = choice.get("delta")
        if not isinstance(delta, dict) or not isinstance(calls := delta.get("tool_calls"), list):
            continue
        first = [call for call in calls if not (isinstance(call, dict) and call.get("index"))]
        if len(first) < len(calls):
            changed = True
            if first:
                delta["tool_calls"] = first
            else:
                del delta["tool_calls"]
    return changed


def _choices(document: Any) -> list[dict[str, Any]]:
    choices = document.get("choices") if isinstance(document, dict) else None
    return [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
