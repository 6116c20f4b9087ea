"""A labelled set: prompts with the expert each should go to, for offline evaluation."""

from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import Field, TypeAdapter

from contract.base import Document
from contract.headers import SESSION
from gateway.routing.facts import Facts, read_facts

ENDPOINT: Final = "/v1/chat/completions"
_PIXEL: Final = "data:image/png;base64,iVBORw0KGgo="


class Labelled(Document):
    """One prompt."""

    text: str = Field(min_length=1, description="What the user says.")
    expert: str = Field(description="Who should answer.")
    image: bool = Field(default=False, description="Whether a picture comes with it.")
    request: dict[str, Any] = Field(default={}, description="More fields of the chat request.")

    def facts(self, session: str) -> Facts:
        """What routing sees of it, as the first turn of a conversation of this name."""
        parts: list[dict[str, object]] = [{"type": "text", "text": self.text}]
        if self.image:
            parts.append({"type": "image_url", "image_url": {"url": _PIXEL}})
        body = {"model": "auto", "messages": [{"role": "user", "content": parts}]} | self.request
        return read_facts(body, endpoint=ENDPOINT, headers={SESSION: session})


def read_labelled(path: Path) -> list[Labelled]:
    """The prompts of a YAML file.

    Raises:
        OSError, yaml.YAMLError, pydantic.ValidationError: it cannot be used.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return TypeAdapter(list[Labelled]).validate_python(document)
