"""Whether a model fits on this host. Owns the reading of the host's memory and the translation of
a GGUF header into the shared estimate; the formula itself is ``contract.memory``.
"""

from pathlib import Path
from typing import Final

from contract.expert_settings import ExpertSettings
from contract.memory import MIB, SAFETY, ModelFacts, required_mib
from expert_runner.gguf_header import Header

_F16_BYTES: Final = 2
_ALWAYS_MIB: Final = 64  # enough for the built-in model, so that even a full machine answers


def model_facts(header: Header) -> ModelFacts:
    """What the estimate needs, from a file's own header."""
    per_head = (header.key_length + header.value_length) * _F16_BYTES
    return ModelFacts(
        weights_bytes=header.file_bytes,
        kv_bytes_per_token=sum(header.kv_heads) * per_head,
        vocabulary=header.vocabulary,
        embedding=header.embedding,
        feed_forward=header.feed_forward,
    )


def needed_mib(header: Header, settings: ExpertSettings) -> int:
    """MiB this model takes with these settings; the job's limit holds a margin above it."""
    return required_mib(
        model_facts(header),
        context_tokens=settings.context_tokens,
        slots=settings.slots,
        ubatch_tokens=settings.ubatch_tokens,
        prompt_cache_mib=settings.prompt_cache_mib,
    )


def budget_mib(settings: ExpertSettings, *, available_mib: int, held_mib: int) -> int:
    """MiB a rung may use: the job's limit or what the host has left, whichever is less.
    ``held_mib`` is what the present server gives back before the next one starts.
    """
    free = available_mib + held_mib - settings.memory_reserve_mib
    # The estimate may be too low by its margin; the job's limit already contains that margin.
    return min(max(int(free / SAFETY), _ALWAYS_MIB), settings.memory_limit_mib)


class HostMemory:
    """This machine's memory as Linux reports it."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def available_mib(self) -> int:
        """MiB that new programs may take without swapping."""
        return self._kib(self._proc / "meminfo", "MemAvailable") * 1024 // MIB

    def held_mib(self, pid: int) -> int:
        """MiB that would come free if the process ended; 0 when it is gone."""
        return self._kib(self._proc / str(pid) / "status", "RssAnon") * 1024 // MIB

    def _kib(self, path: Path, field: str) -> int:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            return 0
        for line in lines:
            name, _, rest = line.partition(":")
            if name == field:
                return int(rest.split()[0])
        return 0
