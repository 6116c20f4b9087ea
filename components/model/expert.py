"""One expert: a model ladder served under one name."""

from pydantic import Field, field_validator

from components.model.base import Name, Section
from contract.gateway_settings import Capability


class Expert(Section):
    """What clients see as one model."""

    ladder: list[str] = Field(
        min_length=1,
        description="Models, best first; the first that works serves. `selftest` is always last.",
    )
    context_tokens: int = Field(
        default=8192, ge=256, le=1_048_576, description="Context of one request, in tokens."
    )
    slots: int = Field(default=2, ge=1, le=64, description="Requests served at once.")
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads; default: the host's cores."
    )
    prompt_cache_mib: int = Field(default=256, ge=0, description="Memory for cached prompts, MiB.")
    start_timeout_s: int = Field(
        default=300, ge=5, description="Longest time one model may take to become ready, seconds."
    )
    description: str = Field(
        default="", description="What it is good at; people and the routing classifier read it."
    )
    capabilities: list[Capability] = Field(
        default=[Capability.CHAT], min_length=1, description="What it can be asked for."
    )
    fallbacks: list[Name] = Field(
        default=[], description="Experts that answer in its place when none of its models does."
    )
    input_price: float = Field(default=0.0, ge=0, description="Cost of a million prompt tokens.")
    output_price: float = Field(default=0.0, ge=0, description="Cost of a million answer tokens.")
    host: Name | None = Field(default=None, description="Pin to this host; default: where it fits.")

    @field_validator("ladder")
    @classmethod
    def _rungs_are_unique(cls, ladder: list[str]) -> list[str]:
        repeated = sorted({rung for rung in ladder if ladder.count(rung) > 1})
        if repeated:
            msg = f"{', '.join(repeated)} stands twice in the ladder; name each model once"
            raise ValueError(msg)
        return ladder

    @field_validator("capabilities")
    @classmethod
    def _one_server_does_one_thing(cls, capabilities: list[Capability]) -> list[Capability]:
        if Capability.RERANK in capabilities and len(capabilities) > 1:
            msg = "an expert that reranks can do nothing else; make it an expert of its own"
            raise ValueError(msg)
        return capabilities
