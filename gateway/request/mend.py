"""Changes requests where llama-server does not do what the API says. Everything else passes byte
for byte, and of a changed body only the named fields are other than the client's. Pure.
"""

from typing import Any, Final

import msgspec

from gateway.errors import BadRequest
from gateway.reply.rewrite import Rewrite
from gateway.request.body import Body
from gateway.request.endpoints import Dialect, Endpoint

_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.encode


def mend(content: bytes, body: Body, endpoint: Endpoint) -> tuple[bytes, Rewrite | None]:
    """The body to send, and what must be changed in its answer.

    A named tool choice is taken for `auto` by llama-server; asking for any tool and offering only
    that one does what was meant. One call at a time is not enforced, so the surplus is dropped.

    Raises:
        BadRequest: the chosen tool is none of those offered, or a value cannot be read.
    """
    choice = bytes(body.tool_choice)
    one_call = body.parallel_tool_calls is False
    fields = None
    if choice[:1] == b"{":
        chosen = _decoded(choice, "tool_choice")
        one_call |= chosen.get("disable_parallel_tool_use") is True
        fields = _mended_choice(chosen, bytes(body.tools), endpoint.dialect)
    rewrite = Rewrite(one_call=True) if one_call and body.tools else None
    return (replaced(content, fields) if fields else content), rewrite


def replaced(content: bytes, fields: dict[str, Any]) -> bytes:
    """A JSON object with some fields set; the text of all others stays as it was."""
    known: dict[str, Any] = _decode_fields(content)
    return _encode(known | fields)


def _decoded(text: bytes, field: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        # Valid JSON, but with a number that no double holds, or too deep to look into.
        raise BadRequest(f"`{field}` holds a value that cannot be read.", param=field) from None


def _mended_choice(chosen: dict[str, Any], tools: bytes, dialect: Dialect) -> dict[str, Any] | None:
    name = _chosen_name(chosen)
    if name is None:
        return None
    offered = _decoded(tools, "tools") if tools else []
    named = [tool for tool in offered if _tool_name(tool) == name] if _is_list(offered) else []
    if not named:
        msg = "`tool_choice` names a function that `tools` lacks."
        raise BadRequest(msg, param="tool_choice")
    if dialect is Dialect.ANTHROPIC:
        return {"tool_choice": {**chosen, "type": "any"}, "tools": named}
    return {"tool_choice": "required", "tools": named}


def _chosen_name(choice: dict[str, Any]) -> str | None:
    """The one tool a choice names, in any API's form; None when it names none."""
    kind, function = choice.get("type"), choice.get("function")
    if kind == "function" and isinstance(function, dict):
        return str(function.get("name"))
    if kind in ("function", "tool"):
        return str(choice.get("name"))
    return None


def _tool_name(tool: object) -> object:
    if not isinstance(tool, dict):
        return None
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else tool.get("name")


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def adapt(
    content: bytes,
    body: Body,
    endpoint: Endpoint,
    rewrite: Rewrite | None,
    *,
    model: str | None,
    counts: bool,
) -> tuple[bytes, Rewrite | None]:
    """The same body for a server that is no llama-server: it may know the model by another name,
    and unless it ``counts`` by itself it tells the tokens of a stream only when asked to.
    Options that cannot be read are left to that server: nothing may be raised here, where a
    connection is held already.
    """
    fields: dict[str, Any] = {}
    if model is not None and not endpoint.form:
        fields["model"] = model
    if not counts and body.stream and endpoint.generates and endpoint.dialect is Dialect.OPENAI:
        options = _options(bytes(body.stream_options))
        if options is not None and not options.get("include_usage"):
            fields["stream_options"] = options | {"include_usage": True}
            one_call = rewrite is not None and rewrite.one_call
            rewrite = Rewrite(one_call=one_call, without_usage=True)
    return (replaced(content, fields) if fields else content), rewrite


def _options(text: bytes) -> dict[str, Any] | None:
    """Stream options as an object, empty where there are none; None where they cannot be read."""
    try:
        options = msgspec.json.decode(text) if text else {}
    except (msgspec.DecodeError, RecursionError):
        return None
    return options if isinstance(options, dict) else {}
