"""Which expert a request means and which replica takes it. Pure: no I/O, no clock."""

from collections.abc import Collection, Iterable
from typing import Final

from contract.gateway_settings import GatewaySettings
from gateway.errors import ModelNotFound
from gateway.replicas import Replica

AUTO: Final = "auto"


def resolve_expert(model: str | None, settings: GatewaySettings) -> str:
    """The expert that answers to a model name; an absent name means the default.

    Raises:
        ModelNotFound: no expert and no alias has this name.
    """
    if model is None or model in ("", AUTO):
        return settings.default_expert
    if model in settings.experts:
        return model
    expert = settings.aliases.get(model)
    if expert is None:
        raise ModelNotFound(model)
    return expert


def choose_replica(replicas: Iterable[Replica], *, tried: Collection[str] = ()) -> Replica | None:
    """The live replica to send to, or None. The best model goes before an idle machine; between
    equals the least busy takes it, then the one used longest ago.
    """
    candidates = [r for r in replicas if r.live and r.endpoint.id not in tried]
    return min(candidates, key=lambda r: (r.degraded, r.in_flight, r.chosen), default=None)
