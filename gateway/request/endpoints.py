"""The paths whose requests go to an expert, and what differs between them: a table."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from contract.gateway_settings import Capability


class Dialect(Enum):
    """Whose error bodies and stream events a path speaks."""

    OPENAI = auto()
    RESPONSES = auto()
    ANTHROPIC = auto()


class Conversation(Enum):
    """Where a body holds the text that replicas may have in their prompt cache."""

    MESSAGES = auto()
    INPUT = auto()
    PROMPT = auto()
    NONE = auto()


@dataclass(frozen=True, kw_only=True, eq=False)
class Endpoint:
    """One path. ``generates``: answers cost completion tokens; ``form``: the body is multipart;
    ``counting``: where llama-server counts the prompt of such a body.
    """

    path: str
    needs: Capability
    dialect: Dialect = Dialect.OPENAI
    conversation: Conversation = Conversation.NONE
    generates: bool = False
    form: bool = False
    counted: bool = True
    counting: str | None = None


_TABLE: Final = (
    Endpoint(
        path="/v1/chat/completions",
        needs=Capability.CHAT,
        conversation=Conversation.MESSAGES,
        generates=True,
        counting="/v1/chat/completions/input_tokens",
    ),
    Endpoint(
        path="/v1/completions",
        needs=Capability.CHAT,
        conversation=Conversation.PROMPT,
        generates=True,
    ),
    Endpoint(
        path="/v1/responses",
        needs=Capability.CHAT,
        dialect=Dialect.RESPONSES,
        conversation=Conversation.INPUT,
        generates=True,
        counting="/v1/responses/input_tokens",
    ),
    Endpoint(
        path="/v1/messages",
        needs=Capability.CHAT,
        dialect=Dialect.ANTHROPIC,
        conversation=Conversation.MESSAGES,
        generates=True,
        counting="/v1/messages/count_tokens",
    ),
    Endpoint(
        path="/v1/messages/count_tokens",
        needs=Capability.CHAT,
        dialect=Dialect.ANTHROPIC,
        counted=False,
    ),
    Endpoint(path="/v1/embeddings", needs=Capability.EMBEDDINGS),
    Endpoint(path="/v1/rerank", needs=Capability.RERANK),
    Endpoint(path="/v1/audio/transcriptions", needs=Capability.TRANSCRIPTION, form=True),
    Endpoint(path="/v1/audio/speech", needs=Capability.SPEECH),
)

ENDPOINTS: Final = {endpoint.path.encode(): endpoint for endpoint in _TABLE}
"""By the raw path of the request line."""

NAMES: Final = tuple(endpoint.path for endpoint in _TABLE)
