"""The command line of llama-server, for the one llama.cpp commit Hearth builds. Pure."""

from dataclasses import dataclass
from typing import Final

from contract.expert_settings import ExpertSettings, Rung
from contract.gateway_settings import Capability

ENVIRONMENT: Final = {"GGML_NO_BACKTRACE": "1"}
"""Without it an abort starts a debugger first and fails over a second later."""


@dataclass(frozen=True, kw_only=True)
class Listen:
    """Where llama-server listens, and which file holds the key it demands."""

    host: str
    port: int
    api_key_file: str


def llama_flags(settings: ExpertSettings, rung: Rung, listen: Listen) -> list[str]:
    """Arguments after the program's name. Everything llama-server would otherwise size by itself
    is given: its defaults take 8 GiB of prompt cache and the model's whole context.
    """
    return [
        *("-m", rung.path),
        *("--alias", rung.name),
        *("--host", listen.host),
        *("--port", str(listen.port)),
        *("--api-key-file", listen.api_key_file),
        *sizing_flags(settings),
        # A real allocation, so that a model too large for the job's limit fails at start and not
        # by crawling through the page cache.
        *("-lm", "none"),
        "--metrics",
        "--no-ui",
        "--offline",
        # The default answers every web page's origin with credentials allowed.
        *("--cors-origins", "localhost"),
    ]


def sizing_flags(settings: ExpertSettings) -> list[str]:
    """The flags that decide memory and speed, thus whether a rung that failed deserves a retry."""
    return [
        *("-c", str(settings.context_tokens * settings.slots)),
        *("-np", str(settings.slots)),
        *("-t", str(settings.threads)),
        *("-b", str(settings.batch_tokens)),
        *("-ub", str(settings.ubatch_tokens)),
        *("--cache-ram", str(settings.prompt_cache_mib)),
        *_purpose_flags(settings),
    ]


def _purpose_flags(settings: ExpertSettings) -> list[str]:
    """What a server must be told at its start to embed or to rerank. An input longer than the
    physical batch is refused, so that one takes as much as the logical one.
    """
    if Capability.RERANK in settings.capabilities:
        return ["--rerank", "-ub", str(settings.batch_tokens)]
    if Capability.EMBEDDINGS in settings.capabilities:
        return ["--embeddings", "--pooling", "mean", "-ub", str(settings.batch_tokens)]
    return []
