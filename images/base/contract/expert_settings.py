"""What infrastructure tells an expert's runner."""

from pydantic import Field

from contract.base import Document
from contract.gateway_settings import Capability


class Rung(Document):
    """One step of a failover ladder, best first."""

    name: str = Field(
        description="Model id, e.g. lfm2.5-350m:q4_k_m; becomes llama-server's alias."
    )
    path: str = Field(description="Absolute path of the GGUF file on this host; it may be missing.")
    size: int | None = Field(
        default=None, description="Expected size in bytes; a file of another size is not tried."
    )


class ExpertSettings(Document):
    """One expert on one host; plain, it stands readable in the jobspec."""

    expert: str = Field(description="Name of the expert, for logs.")
    llama_server: str = Field(description="Absolute path of the llama-server binary.")
    ladder: list[Rung] = Field(min_length=1, description="Rungs, best first.")
    capabilities: list[Capability] = Field(
        default=[Capability.CHAT], description="What it is asked for; decides how it is started."
    )
    context_tokens: int = Field(gt=0, description="Context of one slot, in tokens.")
    slots: int = Field(gt=0, description="Requests served at once.")
    threads: int = Field(gt=0, description="CPU threads.")
    batch_tokens: int = Field(default=512, gt=0, description="Logical batch (-b).")
    ubatch_tokens: int = Field(default=128, gt=0, description="Physical batch (-ub).")
    prompt_cache_mib: int = Field(
        default=0, ge=0, description="Host prompt cache (--cache-ram), MiB."
    )
    memory_limit_mib: int = Field(gt=0, description="Memory the job may use, MiB.")
    memory_reserve_mib: int = Field(
        default=512, ge=0, description="Memory of the host to leave free, MiB."
    )
    start_timeout_s: float = Field(
        default=300.0, gt=0, description="Longest time a rung may take to become ready."
    )
    retry_after_s: float = Field(
        default=300.0, gt=0, description="First back-off of a failed rung; doubles at each failure."
    )
    state_file: str = Field(description="Where failed rungs are remembered across restarts; JSON.")
