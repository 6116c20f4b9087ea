"""What infrastructure tells the gateway: one plain document, one secret document. A file written by
hand for ``python -m gateway --settings`` is the same plain document.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from contract.base import Document
from contract.routing_settings import AUTO, Routing

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Capability(StrEnum):
    """What an expert can be asked for."""

    CHAT = "chat"
    VISION = "vision"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    TRANSCRIPTION = "transcription"
    SPEECH = "speech"


class Upstream(Document):
    """A server that is always at the same address."""

    url: str = Field(
        pattern=r"^https?://[^/?#\s]+(/v1)?/?$",
        description="Where it listens, e.g. http://127.0.0.1:9931; /v1 at its end is understood.",
    )
    model: str | None = Field(
        default=None, description="Model name this server demands; default: what the client sent."
    )
    slots: int | None = Field(
        default=None,
        gt=0,
        description="Requests it serves at once; default: what it reports, or 8.",
    )


class ExpertRoute(Document):
    """One model name clients may ask for, and who answers to it."""

    capabilities: list[Capability] = Field(
        default=[Capability.CHAT], min_length=1, description="What it can be asked for."
    )
    description: str = Field(
        default="", description="What it is good at; people and the routing classifier read it."
    )
    upstreams: list[Upstream] = Field(
        default=[], description="Its servers; empty: they are looked up in Nomad's catalogue."
    )
    fallbacks: list[str] = Field(
        default=[], description="Experts that answer in its place when it has no live replica."
    )
    context_tokens: int | None = Field(
        default=None, gt=0, description="Longest prompt and answer together, in tokens."
    )
    input_price: float = Field(default=0.0, ge=0, description="Cost of a million prompt tokens.")
    output_price: float = Field(default=0.0, ge=0, description="Cost of a million answer tokens.")


class Admission(Document):
    """How many requests wait, and how long, when every slot is busy."""

    queue_length: int = Field(default=256, ge=0, description="Waiting requests per expert.")
    queue_length_per_key: int = Field(
        default=64, ge=0, description="Waiting requests per expert and key."
    )
    queue_wait_s: float = Field(default=30.0, ge=0, description="Longest wait for a slot.")
    restart_wait_s: float = Field(
        default=2.0, ge=0, description="Longest wait for an expert that has just lost its replicas."
    )


class Timeouts(Document):
    """The longest each phase of a request may take, in seconds."""

    request_s: float = Field(default=60.0, gt=0, description="Client: first to last byte it sends.")
    connect_s: float = Field(default=5.0, gt=0, description="Connecting to a replica.")
    first_byte_s: float = Field(default=600.0, gt=0, description="Replica: until it answers.")
    silence_s: float = Field(default=300.0, gt=0, description="Replica: silence within an answer.")
    stalled_client_s: float = Field(
        default=60.0, gt=0, description="Client: how long it may leave an answer unread."
    )
    drain_s: float = Field(default=25.0, ge=0, description="Finishing requests after SIGTERM.")


class ApiKey(Document):
    """A client key from a file: never the key itself, only what recognises it."""

    id: str = Field(description="Public prefix of the key, shown in logs and lists.")
    sha256: Digest = Field(description="SHA-256 of the whole key, lower-case hex.")


class GatewaySettings(Document):
    """The plain part; it stands readable in the jobspec, so it holds no secret."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=1, le=65535, description="TCP port to listen on.")
    workers: int = Field(default=1, ge=1, le=8, description="Processes that share the port.")
    nomad_address: str | None = Field(
        default=None, description="Base URL of the local Nomad agent, e.g. http://127.0.0.1:4646."
    )
    experts: dict[str, ExpertRoute] = Field(
        min_length=1, description="The model ids clients see, and who answers to each."
    )
    aliases: dict[str, str] = Field(
        default={}, description="Other names clients may use, each for one expert."
    )
    default_expert: str | None = Field(
        default=None, description="Answers an absent model; default: the first expert."
    )
    routing: Routing = Field(default=Routing(), description="How model `auto` chooses an expert.")
    admission: Admission = Field(default=Admission(), description="Waiting for a slot.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Longest phases of a request.")
    probe_interval_s: float = Field(
        default=2.0, gt=0, description="Seconds between two looks at catalogue and replicas."
    )
    max_body_bytes: int = Field(
        default=32 * 1024 * 1024, gt=0, description="Largest accepted request body."
    )
    data_dir: str | None = Field(
        default=None,
        description="Folder for keys and usage; without one, keys come from files and usage is "
        "forgotten at a restart.",
    )
    keys: list[ApiKey] = Field(default=[], description="Client keys known by their digests.")
    log_requests: bool = Field(
        default=True, description="A line of JSON for each request; false: for failed ones only."
    )
    show_hosts: bool = Field(
        default=False, description="Name the replica's address in the header x-hearth-host."
    )

    @property
    def default(self) -> str:
        """The expert that answers an absent model."""
        return self.default_expert or next(iter(self.experts))

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for name, expert in self.experts.items():
            for fallback in expert.fallbacks:
                if fallback not in self.experts or fallback == name:
                    msg = f"experts.{name}.fallbacks: there is no other expert {fallback!r}"
                    raise ValueError(msg)
            if not expert.upstreams and self.nomad_address is None:
                msg = f"experts.{name}: give it upstreams, or give nomad_address"
                raise ValueError(msg)
        for alias, target in self.aliases.items():
            if alias == AUTO:
                msg = f"aliases.{AUTO}: the name {AUTO!r} asks for a choice; use another"
                raise ValueError(msg)
            if target not in self.experts:
                msg = f"aliases.{alias}: there is no expert {target!r}"
                raise ValueError(msg)
            if alias in self.experts:
                msg = f"aliases.{alias}: an expert has this name already"
                raise ValueError(msg)
        if self.default not in self.experts:
            msg = f"default_expert: there is no expert {self.default_expert!r}"
            raise ValueError(msg)
        self.routing.check(self.experts)
        return self


class GatewaySecrets(Document):
    """The secret part; it reaches the gateway as a 0600 file rendered from a Nomad variable."""

    keys: list[ApiKey] = Field(default=[], description="Keys that may call the API.")
    upstream_key: str | None = Field(
        default=None, description="Bearer key the experts' llama-servers demand."
    )
    pepper: str | None = Field(
        default=None, min_length=32, description="Key of the HMAC under which keys are stored."
    )
    admin_key_sha256: Digest | None = Field(
        default=None, description="SHA-256 of the credential that may use /admin."
    )
