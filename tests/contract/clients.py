"""The official SDKs, pointed at a gateway. They try once, unless a test wants retries."""

from typing import Any, Final

import anthropic
import openai

from tests.contract.processes import KEY, GatewayProcess

HELLO: Final[Any] = [{"role": "user", "content": "Hello"}]


def openai_of(gateway: GatewayProcess, key: str = KEY, **options: Any) -> openai.OpenAI:
    options = {"max_retries": 0, "timeout": 30, **options}
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, **options)


def async_openai_of(gateway: GatewayProcess, key: str = KEY, **options: Any) -> openai.AsyncOpenAI:
    options = {"max_retries": 0, "timeout": 30, **options}
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, **options)


def anthropic_of(gateway: GatewayProcess, key: str = KEY, **options: Any) -> anthropic.Anthropic:
    options = {"max_retries": 0, "timeout": 30, **options}
    return anthropic.Anthropic(base_url=gateway.url, api_key=key, **options)


def tool(name: str) -> Any:
    """A function with one string argument, in OpenAI's form."""
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    }
    function = {"name": name, "description": f"Gets the {name}", "parameters": parameters}
    return {"type": "function", "function": function}


class Attempts:
    """Counts what an SDK really sends; hand ``hook`` to its HTTP client."""

    def __init__(self) -> None:
        self.count = 0

    def hook(self, _: Any) -> None:
        """Called with each request."""
        self.count += 1
