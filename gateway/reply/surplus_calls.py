"""One tool call at most, in the answers of all three APIs, whole or in events. Pure, but for what a
stream has shown so far.
"""

from typing import Any, Final

_CALLS: Final = ("tool_use", "function_call")


class SurplusCalls:
    """Drops every call but the first of one answer."""

    __slots__ = ("_dropped", "_met")

    def __init__(self) -> None:
        self._met = False
        self._dropped: set[int] = set()

    def cut(self, document: Any) -> bool:
        """Cuts a whole answer; True when anything was cut."""
        changed = False
        if not isinstance(document, dict):
            return False
        for choice in _choices(document):
            message = choice.get("message")
            calls = message.get("tool_calls") if isinstance(message, dict) else None
            if isinstance(calls, list) and len(calls) > 1:
                del calls[1:]
                changed = True
        for field in ("content", "output"):
            items = document.get(field)
            if isinstance(items, list):
                kept = _first_call_only(items)
                changed |= len(kept) < len(items)
                document[field] = kept
        return changed

    def drops(self, document: dict[str, Any]) -> bool:
        """Whether an event of the stream belongs to a later call as a whole."""
        place = document.get("index", document.get("output_index"))
        if not isinstance(place, int):
            return False
        item = document.get("content_block", document.get("item"))
        kind = document.get("type")
        if kind in ("content_block_start", "response.output_item.added") and _is_call(item):
            if self._met:
                self._dropped.add(place)
            self._met = True
        return "choices" not in document and place in self._dropped

    def trim(self, document: dict[str, Any]) -> bool:
        """Takes later calls out of an event that holds more; True when there were any."""
        changed = self.cut(document.get("response"))
        for choice in _choices(document):
            delta = choice.get("delta")
            calls = delta.get("tool_calls") if isinstance(delta, dict) else None
            if not isinstance(delta, dict) or not isinstance(calls, list):
                continue
            first = [call for call in calls if not (isinstance(call, dict) and call.get("index"))]
            if len(first) < len(calls):
                changed = True
                if first:
                    delta["tool_calls"] = first
                else:
                    del delta["tool_calls"]
        return changed


def _is_call(item: object) -> bool:
    return isinstance(item, dict) and item.get("type") in _CALLS


def _first_call_only(items: list[Any]) -> list[Any]:
    first = next((item for item in items if _is_call(item)), None)
    return [item for item in items if item is first or not _is_call(item)]


def _choices(document: dict[str, Any]) -> list[dict[str, Any]]:
    choices = document.get("choices")
    return [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
