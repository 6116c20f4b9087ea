"""How much memory one llama-server takes. Used before a download (sizes from the catalogue) and
before a start (sizes from the file's own header), so that both decide by one formula.
"""

import math
from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024
SAFETY: Final = 1.1  # the estimate was within 10 % of every measured model
PROCESS_MIB: Final = 25  # the server itself, measured without a model
CONTEXT_STEP: Final = 256  # llama.cpp rounds the context up to this


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What decides a model's memory. Bytes and counts."""

    weights_bytes: int
    kv_bytes_per_token: int
    vocabulary: int
    embedding: int = 2048
    feed_forward: int = 8192


def required_mib(
    model: ModelFacts, *, context_tokens: int, slots: int, ubatch_tokens: int, prompt_cache_mib: int
) -> int:
    """MiB to serve ``slots`` requests of ``context_tokens`` each: weights, cache, buffers."""
    total = -(-context_tokens * slots // CONTEXT_STEP) * CONTEXT_STEP
    widest = max(model.vocabulary + 2 * model.embedding, 4 * model.feed_forward)
    compute = ubatch_tokens * (4 * widest + 2 * total)
    need = model.weights_bytes + model.kv_bytes_per_token * total + compute
    return -(-need // MIB) + PROCESS_MIB + prompt_cache_mib


def limit_mib(need_mib: int) -> int:
    """MiB to grant a job for a need: the estimate and its error."""
    return math.ceil(need_mib * SAFETY)
