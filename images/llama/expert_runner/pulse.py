"""Watches one llama-server from a thread of its own, so that a request which hangs never delays
the runner's answer to a signal. Owns what is known of the server's health; acts on nothing.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from expert_runner.client import ServerClient
from expert_runner.errors import RungError


@dataclass(frozen=True, kw_only=True)
class PulseTiming:
    """Seconds. ``idle_check_s``: after that long without work the model itself is tried; not
    sooner, because the check takes the place of a conversation in the server's cache.
    """

    poll_s: float = 0.05
    beat_s: float = 2.0
    answer_s: float = 10.0
    idle_check_s: float = 300.0


class Pulse:
    """First waits for the model to load and produce a token, then keeps asking for life signs."""

    def __init__(
        self,
        client: ServerClient,
        *,
        start_timeout_s: float,
        timing: PulseTiming,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._start_timeout_s = start_timeout_s
        self._timing = timing
        self._clock = clock
        self._over = threading.Event()
        self._ready = threading.Event()
        self._failure: str | None = None
        self._idle = False
        self._last_answer = self._last_turn = clock()
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def ready(self) -> bool:
        """True once the model has produced a token."""
        return self._ready.is_set()

    @property
    def failure(self) -> str | None:
        """Why the model will not become ready."""
        return self._failure

    @property
    def idle(self) -> bool:
        """True when the latest life sign showed no request in work or waiting."""
        return self._idle

    def mute_s(self) -> float:
        """Seconds since the server last answered anything at all."""
        return self._clock() - self._last_answer

    def stuck_s(self) -> float:
        """Seconds since the loop that computes last turned, or the model last produced a token.
        One turn may take minutes on an old machine that reads a long prompt.
        """
        return self._clock() - self._last_turn

    def end(self) -> None:
        """No further requests; one under way may still end by itself."""
        self._over.set()

    def _run(self) -> None:
        try:
            self._await_model()
        except RungError as error:
            self._failure = str(error)
            return
        self._last_answer = self._last_turn = self._clock()
        self._ready.set()
        self._beat()

    def _await_model(self) -> None:
        deadline = self._clock() + self._start_timeout_s
        while not self._client.healthy(1.0):
            if self._clock() >= deadline:
                raise RungError(f"not ready after {self._start_timeout_s:.0f} s")
            if self._over.wait(self._timing.poll_s):
                raise RungError("stopped while starting")
        self._client.complete(max(1.0, deadline - self._clock()))

    def _beat(self) -> None:
        decoded, worked_at = -1, self._clock()
        while not self._over.wait(self._timing.beat_s):
            if self._client.healthy(self._timing.answer_s):
                self._last_answer = self._clock()
            try:
                load = self._client.load(self._timing.answer_s)
                if load.decoded != decoded or not load.idle:
                    decoded, worked_at = load.decoded, self._clock()
                elif self._clock() - worked_at >= self._timing.idle_check_s:
                    self._client.complete(self._start_timeout_s)
                    worked_at = self._clock()
            except RungError:
                self._idle = False
                continue
            self._idle = load.idle
            self._last_turn = self._clock()
