"""The turns of a request, whichever dialect it speaks: chat messages, completion prompts, response
items, Anthropic messages, embedding inputs. Pure; an odd shape loses its content, never raises.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_SYSTEM: Final = ("system", "developer")
_TOOL: Final = ("tool", "function")
_IMAGES: Final = ("image_url", "input_image", "image")
_AUDIO: Final = ("input_audio", "audio")
_TEXTS: Final = ("text", "input_text", "output_text", "refusal", "thinking")
_DEEPEST: Final = 4  # parts within parts; a tool's result is the deepest that dialects define


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One message: its text, and counts of what is no text."""

    role: str  # system, user, assistant or tool; anything else as it came
    text: str = ""
    images: int = 0
    audio: int = 0
    token_ids: int = 0  # of a prompt that came tokenised
    calls: frozenset[str] = frozenset()  # ids of the tool calls it makes
    results: frozenset[str] = frozenset()  # ids of the tool calls it answers


@dataclass
class _Content:
    """What has been found in a message's content so far."""

    texts: list[str]
    images: int = 0
    audio: int = 0
    token_ids: int = 0
    calls: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    def add(self, value: object, depth: int = 0) -> None:
        """Takes in a string, a part, a token id, or a list of these."""
        if isinstance(value, str):
            self.texts.append(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            self.token_ids += 1
        elif depth > _DEEPEST:
            return
        elif isinstance(value, list):
            for one in value:
                self.add(one, depth + 1)
        elif isinstance(value, dict):
            self._add_part(value, depth)

    def _add_part(self, part: dict[str, Any], depth: int) -> None:
        kind = part.get("type")
        if kind in _IMAGES:
            self.images += 1
        elif kind in _AUDIO:
            self.audio += 1
        elif kind == "tool_use":
            self.calls += (_name(part.get("id")),)
        elif kind == "tool_result":
            self.results += (_name(part.get("tool_use_id")),)
            self.add(part.get("content"), depth + 1)
        elif kind in _TEXTS or kind is None:
            text = part.get("text", part.get("thinking"))
            self.texts.append(text if isinstance(text, str) else "")

    def turn(self, role: str) -> Turn:
        return Turn(
            role=role,
            text="\n".join(self.texts),
            images=self.images,
            audio=self.audio,
            token_ids=self.token_ids,
            calls=frozenset(self.calls),
            results=frozenset(self.results),
        )


def read_turns(document: Mapping[str, Any]) -> tuple[Turn, ...]:
    """The turns in their order; system text that stands beside the messages comes first."""
    turns = [
        _turn("system", document[name]) for name in ("system", "instructions") if name in document
    ]
    messages = document.get("messages")
    if isinstance(messages, list):
        return (*turns, *map(_message, messages))
    items = document.get("input")
    if isinstance(items, list) and any(isinstance(item, dict) for item in items):
        return (*turns, *map(_message, items))
    for name in ("input", "prompt", "query", "documents"):
        if name in document:
            turns.append(_turn("user", document[name]))
    return tuple(turns)


def _turn(role: str, content: object) -> Turn:
    found = _Content([])
    found.add(content)
    return found.turn(role)


def _message(message: object) -> Turn:
    """A chat message, an Anthropic message or a response item."""
    if not isinstance(message, dict):
        return _turn("user", message if isinstance(message, str) else "")
    kind = message.get("type")
    if kind == "function_call":
        call = frozenset({_name(message.get("call_id"))})
        return Turn(role="assistant", text=_name(message.get("arguments")), calls=call)
    if kind == "function_call_output":
        found = _Content([], results=(_name(message.get("call_id")),))
        found.add(message.get("output"))
        return found.turn("tool")
    if kind in ("reasoning", "item_reference"):
        return Turn(role="assistant")
    role = message.get("role")
    found = _Content([])
    found.add(message.get("content"))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        found.calls += (_name(call.get("id") if isinstance(call, dict) else None),)
    if isinstance(message.get("function_call"), dict):
        found.calls += ("",)
    if role in _TOOL:
        found.results += (_name(message.get("tool_call_id")),)
        return found.turn("tool")
    if role in _SYSTEM:
        return found.turn("system")
    if found.results:
        # Anthropic lets the user's turn carry what the tools said.
        return found.turn("tool")
    return found.turn(role if isinstance(role, str) else "user")


def _name(value: object) -> str:
    return value if isinstance(value, str) else ""
