"""Reads what the gateway must know of a request body, and mends the one thing llama-server
misreads. Owns no HTTP. Whatever needs no mending is passed on byte for byte.
"""

import json
from dataclasses import dataclass
from typing import Any

from gateway.errors import BadRequest


@dataclass(frozen=True, kw_only=True)
class ChatBody:
    """A request body: the bytes to send on, and the model it asks for."""

    content: bytes
    model: str | None


def read_body(content: bytes) -> ChatBody:
    """Parses and, if needed, mends a body.

    Raises:
        BadRequest: it is no JSON object, or a field that steers it has the wrong type.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadRequest("We could not parse the JSON body of your request.") from error
    if not isinstance(document, dict):
        raise BadRequest("The request body must be a JSON object.")
    model = document.get("model")
    if model is not None and not isinstance(model, str):
        raise BadRequest("`model` must be a string.", param="model")
    mended = _mend_tool_choice(document)
    if mended is not None:
        content = json.dumps(mended, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return ChatBody(content=content, model=model)


def _mend_tool_choice(document: dict[str, Any]) -> dict[str, Any] | None:
    """llama-server takes a named choice for `auto`; `required` with only that tool works."""
    choice = document.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return None
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    tools = document.get("tools")
    named = [tool for tool in tools if _name(tool) == name] if isinstance(tools, list) else []
    if name is None or not named:
        raise BadRequest("`tool_choice` names a function that `tools` lacks.", param="tool_choice")
    return document | {"tool_choice": "required", "tools": named}


def _name(tool: object) -> object:
    function = tool.get("function") if isinstance(tool, dict) else None
    return function.get("name") if isinstance(function, dict) else None
