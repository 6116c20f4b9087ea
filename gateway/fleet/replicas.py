"""The replicas of every expert, as the gateway knows them at this moment. Owns that state: who
exists, who answered last, what each serves and how much it has to do.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from contract import headers
from gateway.fleet.breaker import Breaker
from gateway.wire.heads import request_prefix
from gateway.wire.upstream import Pool

_REMEMBERED: Final = 256
_LONGEST_REMEMBERED: Final = 128
DEFAULT_SLOTS: Final = 8  # for servers that do not say how many requests they take at once


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One server, from the catalogue or from the settings. ``model`` is the name it demands,
    ``slots`` what the settings say it takes at once; both may be unknown.
    """

    id: str
    expert: str
    url: str
    preferred: str | None = None
    model: str | None = None
    slots: int | None = None

    @property
    def root(self) -> str:
        """The URL without the API's version at its end."""
        return self.url.rstrip("/").removesuffix("/v1")

    @property
    def tls(self) -> bool:
        """Whether to speak TLS."""
        return self.url.startswith("https://")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if self.tls else 80)


class Replica:
    """An endpoint and what is known of it.

    ``serving`` is the rung it last reported; ``misses`` counts unanswered probes in a row;
    ``chosen`` orders replicas by their latest use; ``deferred`` are requests that wait inside it.
    ``counts`` says that it is a llama-server, which counts its tokens unasked. ``prefixes`` and
    ``lines`` remember what ``request_prefix`` and ``lines_for`` made, by their arguments.
    """

    __slots__ = (
        "_upstream_key",
        "breaker",
        "chosen",
        "counts",
        "deferred",
        "endpoint",
        "in_flight",
        "lines",
        "live",
        "misses",
        "pool",
        "prefixes",
        "serving",
        "slots",
    )

    def __init__(self, endpoint: Endpoint, pool: Pool, upstream_key: str | None) -> None:
        self.endpoint = endpoint
        self.pool = pool
        self.live = False
        self.serving: str | None = None
        self.slots = endpoint.slots or DEFAULT_SLOTS
        self.counts = False
        self.misses = self.in_flight = self.chosen = self.deferred = 0
        self.breaker = Breaker()
        self._upstream_key = upstream_key
        self.prefixes: dict[tuple[str, bytes], bytes] = {}
        self.lines: dict[str, bytes] = {}

    @property
    def degraded(self) -> bool:
        """True when it serves another rung than the first of its ladder."""
        preferred = self.endpoint.preferred
        return preferred is not None and self.serving is not None and self.serving != preferred

    def answered(self, rung: str) -> None:
        """A probe succeeded."""
        if rung != self.serving:
            self.lines.clear()
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

    def request_prefix(self, path: str, content_type: bytes) -> bytes:
        """The head of a request to it, as far as all requests share it."""
        host = urlsplit(self.endpoint.url).netloc
        found = request_prefix(path, host, self._upstream_key, content_type)
        if len(self.prefixes) < _REMEMBERED and len(content_type) <= _LONGEST_REMEMBERED:
            self.prefixes[path, content_type] = found
        return found

    def lines_for(self, reason: str, *, show_host: bool) -> bytes:
        """The header lines that tell a client who answered, and why."""
        lines = {headers.EXPERT: self.endpoint.expert, headers.MODEL: self.serving or ""}
        if self.degraded:
            lines[headers.DEGRADED] = self.serving or ""
        lines[headers.REASON] = reason
        if show_host:
            lines[headers.HOST] = urlsplit(self.endpoint.url).netloc
        found = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode(
            "latin-1", "replace"
        )
        if len(self.lines) < _REMEMBERED:
            self.lines[reason] = found
        return found


class Fleet:
    """All replicas, by expert. ``connect`` makes the pool of a new one."""

    def __init__(
        self, connect: Callable[[Endpoint], Pool], *, upstream_key: str | None = None
    ) -> None:
        self._connect = connect
        self._upstream_key = upstream_key
        self._replicas: dict[str, list[Replica]] = {}

    def update(self, expert: str, endpoints: Iterable[Endpoint]) -> None:
        """Takes over what the catalogue says of one expert. An endpoint that stays keeps what is
        known of it; requests in flight to one that went run on.
        """
        known = {replica.endpoint.id: replica for replica in self.of(expert)}
        kept = [self._kept(known.pop(endpoint.id, None), endpoint) for endpoint in endpoints]
        for gone in known.values():
            gone.pool.close()
        self._replicas[expert] = kept

    def of(self, expert: str) -> list[Replica]:
        """Every replica of an expert, live or not."""
        return self._replicas.get(expert, [])

    def all(self) -> list[Replica]:
        """Every replica."""
        return [replica for replicas in self._replicas.values() for replica in replicas]

    def live(self, expert: str) -> bool:
        """Whether any replica of an expert answers."""
        return any(replica.live for replica in self.of(expert))

    def close(self) -> None:
        """Drops every idle connection."""
        for replica in self.all():
            replica.pool.close()

    def _kept(self, known: Replica | None, endpoint: Endpoint) -> Replica:
        if known is None or known.endpoint.url != endpoint.url:
            if known is not None:
                known.pool.close()
            return Replica(endpoint, self._connect(endpoint), self._upstream_key)
        known.endpoint = endpoint
        return known
