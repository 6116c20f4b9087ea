"""The replicas of every expert, as the gateway knows them at this moment. Owns that state: who
exists, who answered last, what each serves and how much it has to do.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One registration in the catalogue."""

    id: str
    expert: str
    address: str
    port: int
    preferred: str | None

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"


@dataclass(kw_only=True, eq=False)
class Replica:
    """An endpoint and what is known of it. ``serving`` is the rung it last reported; ``misses``
    counts unanswered probes in a row; ``chosen`` orders replicas by their latest use.
    """

    endpoint: Endpoint
    live: bool = False
    serving: str | None = None
    misses: int = 0
    in_flight: int = 0
    chosen: int = 0

    @property
    def degraded(self) -> bool:
        """True when it serves another rung than the first of its ladder."""
        preferred = self.endpoint.preferred
        return preferred is not None and self.serving is not None and self.serving != preferred

    def answered(self, rung: str) -> None:
        """A probe succeeded."""
        self.live, self.serving, self.misses = True, rung, 0

    def failed(self) -> None:
        """It refused a connection or said it is not ready: nothing is sent there until it is."""
        self.live = False
        self.misses += 1

    def missed(self, allowed: int) -> None:
        """A probe went unanswered; a busy machine may miss ``allowed`` in a row."""
        self.misses += 1
        if self.misses > allowed:
            self.live = False


@dataclass
class Fleet:
    """All replicas, by expert."""

    _replicas: dict[str, dict[str, Replica]] = field(default_factory=dict)

    def update(self, expert: str, endpoints: Iterable[Endpoint]) -> None:
        """Takes over what the catalogue says of one expert. An endpoint that stays keeps what is
        known of it; requests in flight to one that went run on.
        """
        known = self._replicas.get(expert, {})
        self._replicas[expert] = {
            endpoint.id: _kept(known.get(endpoint.id), endpoint) for endpoint in endpoints
        }

    def of(self, expert: str) -> list[Replica]:
        """Every replica of an expert, live or not."""
        return list(self._replicas.get(expert, {}).values())

    def all(self) -> list[Replica]:
        """Every replica."""
        return [replica for replicas in self._replicas.values() for replica in replicas.values()]


def _kept(known: Replica | None, endpoint: Endpoint) -> Replica:
    if known is None or known.endpoint.url != endpoint.url:
        return Replica(endpoint=endpoint)
    known.endpoint = endpoint
    return known
