"""Changes answers where the API promises what llama-server does not keep. Everything else passes
byte for byte. Pure.

Two promises: ``parallel_tool_calls: false`` means one call at most, and a stream carries its usage
only where the client asked for it.
"""

import json
import re
from typing import Final

from gateway.reply.surplus_calls import SurplusCalls

_DATA: Final = b"data:"
_EVENT: Final = re.compile(rb"(.*?)(\n\n|\r\n\r\n)", re.DOTALL)


class Rewrite:
    """What to change in one answer. ``one_call``: it may hold one tool call at most."""

    __slots__ = ("_held", "_surplus", "_without_usage", "one_call")

    def __init__(self, *, one_call: bool = False, without_usage: bool = False) -> None:
        self.one_call = one_call
        self._surplus = SurplusCalls()
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
        if not self._surplus.cut(document):
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
            if self.one_call and self._surplus.drops(document):
                return None
            if self.one_call and self._surplus.trim(document):
                mended = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
                lines[place] = b"data: " + mended + (b"\r" if line.endswith(b"\r") else b"")
        return b"\n".join(lines)
