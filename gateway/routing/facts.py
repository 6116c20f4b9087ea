"""What routing knows of a request. Pure: a decoded JSON object in, frozen facts out.

Two spans matter. What a conversation is about (its language, code, size) is read from its
beginning, so that every turn of it, also after a restart, is judged alike. What it needs (images,
tools, room) is read from the whole request, because the expert must be able to serve it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.routing.code_signs import holds_code
from gateway.routing.conversation import Turn, read_turns
from gateway.routing.language import language_of

_BYTES_PER_TOKEN: Final = 3.5  # in UTF-8: prose has more, code and most other scripts about this
_IMAGE_TOKENS: Final = 1000
_TURN_TOKENS: Final = 4  # what a chat template puts around a message
_ANSWER_TOKENS: Final = 512  # room for an answer whose length the client leaves open
_MOST_ANSWER_TOKENS: Final = 2048  # clients ask for the largest answer any model could give
_JSON_FORMATS: Final = ("json_object", "json_schema")
_ANSWER_LIMITS: Final = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n_predict",
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One request, as routing sees it."""

    endpoint: str = "/v1/chat/completions"
    messages: int = 0
    has_images: bool = False
    has_audio: bool = False
    tools: int = 0
    tool_loop: bool = False  # a tool has just answered, or has been called and has not
    wants_json: bool = False
    reasoning: str = ""  # the effort asked for; empty: nothing said
    text_length_chars: int = 0
    estimated_tokens: int = 0  # prompt and room for the answer
    opening_tokens: int = 0  # up to the first user message
    has_code: bool = False  # in the first user message
    language: str = "unknown"  # of the first user message
    system_text: str = field(default="", repr=False)
    first_user_text: str = field(default="", repr=False)
    last_user_text: str = field(default="", repr=False)
    texts: tuple[str, ...] = field(default=(), repr=False)  # of every turn
    key_id: str = ""
    key_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # lower-case names

    def summary(self) -> dict[str, object]:
        """JSON for people: no text of the user's, no header, no key."""
        names = (
            "endpoint messages has_images has_audio has_code text_length_chars estimated_tokens "
            "opening_tokens language tools tool_loop wants_json reasoning"
        )
        return {name: getattr(self, name) for name in names.split()}


def read_facts(
    document: object,
    *,
    endpoint: str,
    headers: Mapping[str, str] | None = None,
    key_id: str = "",
    key_name: str = "",
) -> Facts:
    """The facts of a decoded body. Odd shapes count as absent; nothing raises.

    ``headers`` has lower-case names; ``key_id`` separates the conversations of two keys.
    """
    body: Mapping[str, Any] = document if isinstance(document, dict) else {}
    turns = read_turns(body)
    users = [turn.text for turn in turns if turn.role == "user" and turn.text.strip()]
    first = users[0] if users else ""
    tools = _tools(body)
    tool_tokens = _tokens_of_bytes(_size(tools))
    return Facts(
        endpoint=endpoint,
        messages=sum(turn.role != "system" for turn in turns),
        has_images=any(turn.images for turn in turns),
        has_audio=any(turn.audio for turn in turns),
        tools=len(tools),
        tool_loop=_is_tool_loop(turns),
        wants_json=_wants_json(body),
        reasoning=_reasoning(body),
        text_length_chars=sum(len(turn.text) for turn in turns),
        estimated_tokens=tool_tokens + _tokens(turns) + _answer_room(body),
        opening_tokens=tool_tokens + _tokens(_opening(turns)),
        has_code=holds_code(first),
        language=language_of(first),
        system_text="\n".join(turn.text for turn in turns if turn.role == "system"),
        first_user_text=first,
        last_user_text=users[-1] if users else "",
        texts=tuple(turn.text for turn in turns if turn.text),
        key_id=key_id,
        key_name=key_name,
        headers=headers or {},
    )


def _opening(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    for place, turn in enumerate(turns):
        if turn.role == "user":
            return turns[: place + 1]
    return turns


def _is_tool_loop(turns: tuple[Turn, ...]) -> bool:
    if not turns:
        return False
    if turns[-1].role == "tool" or turns[-1].calls:
        return True
    waiting: frozenset[str] = frozenset()
    for turn in turns:
        waiting = (turn.calls if turn.calls else waiting) - turn.results
    return bool(waiting)


def _tokens(turns: Iterable[Turn]) -> int:
    return sum(
        _TURN_TOKENS
        + turn.token_ids
        + turn.images * _IMAGE_TOKENS
        + _tokens_of_bytes(_utf8_length(turn.text))
        for turn in turns
    )


def _tokens_of_bytes(count: int) -> int:
    return int(count / _BYTES_PER_TOKEN)


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _answer_room(body: Mapping[str, Any]) -> int:
    for name in _ANSWER_LIMITS:
        limit = body.get(name)
        if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0:
            return min(limit, _MOST_ANSWER_TOKENS)
    return _ANSWER_TOKENS


def _tools(body: Mapping[str, Any]) -> list[object]:
    for name in ("tools", "functions"):
        tools = body.get(name)
        if isinstance(tools, list):
            return tools
    return []


def _size(value: object) -> int:
    """Characters a JSON value takes, roughly; without recursion, so depth is no danger."""
    size, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            size += len(one) + 3
        elif isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            left += one
        else:
            size += 4
    return size


def _wants_json(body: Mapping[str, Any]) -> bool:
    formats = (
        body.get("response_format"),
        _inner(body, "text", "format"),
        body.get("output_format"),
        _inner(body, "output_config", "format"),
    )
    return any(isinstance(one, dict) and one.get("type") in _JSON_FORMATS for one in formats) or (
        isinstance(body.get("json_schema"), dict)
    )


def _reasoning(body: Mapping[str, Any]) -> str:
    for effort in (body.get("reasoning_effort"), _inner(body, "reasoning", "effort")):
        if isinstance(effort, str) and effort:
            return effort[:16]
    return "enabled" if _inner(body, "thinking", "type") == "enabled" else ""


def _inner(body: Mapping[str, Any], outer: str, name: str) -> object:
    value = body.get(outer)
    return value.get(name) if isinstance(value, dict) else None
