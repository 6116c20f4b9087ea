"""Keeps one expert answering with the best model that works here. Owns the order of events: walk
the ladder, serve, watch, change rungs, stop. Facts, choices and processes live in their modules.
"""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from contract.expert_settings import ExpertSettings, Rung
from expert_runner import ladder
from expert_runner.client import ServerClient
from expert_runner.errors import ConfigurationError, RungError
from expert_runner.failures import FailureMemory
from expert_runner.flags import Listen, llama_flags
from expert_runner.log import Log
from expert_runner.memory import HostMemory
from expert_runner.pulse import Pulse, PulseTiming
from expert_runner.server import ServerProcess
from expert_runner.survey import Survey


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds, and how often a rung may die young before the next one takes over."""

    tick_s: float = 0.1
    look_s: float = 5.0
    stable_s: float = 60.0
    young_deaths: int = 2
    drain_s: float = 25.0
    mute_s: float = 60.0
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    port_wait_s: float = 10.0
    pulse: PulseTiming = field(default_factory=PulseTiming)


@dataclass(kw_only=True)
class _Serving:
    """A rung at work."""

    rung: Rung
    mark: str
    server: ServerProcess
    pulse: Pulse
    since: float
    proven: bool = False


class Runner:
    """Runs until told to stop, or until no rung of the ladder works."""

    def __init__(
        self,
        settings: ExpertSettings,
        listen: Listen,
        *,
        key: str,
        memory: HostMemory,
        failures: FailureMemory,
        log: Log,
        timing: Timing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._listen = listen
        self._client = ServerClient(host=listen.host, port=listen.port, key=key)
        self._memory = memory
        self._failures = failures
        self._survey = Survey(settings, memory=memory, failures=failures)
        self._log = log
        self._timing = timing
        self._clock = clock
        self._stopping = threading.Event()
        self._hurried = threading.Event()
        self._young_deaths: dict[str, int] = {}
        self._restless = 0  # young deaths in a row, of whatever rung

    def stop(self) -> None:
        """Safe in a signal handler. The second call ends requests that are still in flight."""
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()

    def run(self) -> int:
        """Serves. Returns 0 after ``stop``, 1 when no rung works."""
        while not self._stopping.is_set():
            serving = self._climb()
            if serving is None:
                return 0 if self._stopping.is_set() else 1
            self._serve(serving)
        self._log.info("stopped")
        return 0

    def _climb(self) -> _Serving | None:
        """Starts the best rung that works. None: none does, or the runner is to stop."""
        failed: dict[str, str] = {}
        while not self._stopping.is_set():
            verdicts = self._survey.look()
            choice = ladder.choose(verdicts, tried=frozenset(failed))
            if choice is None:
                self._report(verdicts, failed)
                return None
            for verdict in verdicts[: verdicts.index(choice)]:
                if verdict.rung.name not in failed:
                    self._log.warning("not tried", rung=verdict.rung.name, why=verdict.reason)
            mark = self._survey.fingerprint(choice.rung)
            try:
                return self._start(choice, mark)
            except RungError as error:
                if self._stopping.is_set():
                    return None
                failed[choice.rung.name] = str(error)
                self._note_failure(choice.rung, mark, str(error))
        return None

    def _start(self, choice: ladder.Verdict, mark: str) -> _Serving:
        rung = choice.rung
        self._await_port()
        self._log.info("starting", rung=rung.name, memory=choice.reason)
        began = self._clock()
        argv = [self._settings.llama_server, *llama_flags(self._settings, rung, self._listen)]
        server = ServerProcess(argv)
        pulse = Pulse(
            self._client,
            start_timeout_s=self._settings.start_timeout_s,
            timing=self._timing.pulse,
            clock=self._clock,
        )
        try:
            self._await_ready(server, pulse)
        except RungError:
            pulse.end()
            server.kill()
            raise
        now = self._clock()
        self._log.info("serving", rung=rung.name, ready_after_s=now - began)
        return _Serving(rung=rung, mark=mark, server=server, pulse=pulse, since=now)

    def _await_ready(self, server: ServerProcess, pulse: Pulse) -> None:
        while not pulse.ready:
            end = server.ended()
            if end is not None:
                raise RungError(end)
            if pulse.failure is not None:
                raise RungError(pulse.failure)
            if self._stopping.wait(self._timing.tick_s / 2):
                raise RungError("told to stop while starting")

    def _await_port(self) -> None:
        """Waits for the address to be free, so that no rung is blamed for a busy port."""
        deadline = self._clock() + self._timing.port_wait_s
        while True:
            try:
                family = socket.AF_INET6 if ":" in self._listen.host else socket.AF_INET
                with socket.socket(family, socket.SOCK_STREAM) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((self._listen.host, self._listen.port))
                return
            except OSError as error:
                if self._stopping.is_set():
                    raise RungError("told to stop while waiting for the port") from error
                if self._clock() >= deadline:
                    where = f"{self._listen.host}:{self._listen.port}"
                    raise ConfigurationError(f"cannot use {where}: {error.strerror}") from error
            self._stopping.wait(self._timing.tick_s)

    def _serve(self, serving: _Serving) -> None:
        """Returns once this server is to be replaced, has died, or was stopped."""
        looked, seen, better = self._clock(), "", None
        while not self._stopping.wait(self._timing.tick_s):
            now = self._clock()
            end = serving.server.ended() or self._stall(serving.pulse)
            if end is not None:
                self._bury(serving, end)
                return
            if not serving.proven and now - serving.since >= self._timing.stable_s:
                self._prove(serving)
            if now - looked >= self._timing.look_s:
                looked, before = now, seen
                better = self._better(serving)
                seen = self._survey.fingerprint(better.rung) if better else ""
                if seen != before:
                    better = None  # it may still be on its way onto the disk
            if better is not None and serving.pulse.idle and self._idle():
                self._log.info("a better rung can serve", rung=better.rung.name, why=better.reason)
                self._end(serving)
                return
        self._log.info("stopping", rung=serving.rung.name, grace_s=self._timing.drain_s)
        self._end(serving)

    def _stall(self, pulse: Pulse) -> str | None:
        longest = self._settings.start_timeout_s
        if pulse.mute_s() >= self._timing.mute_s:
            return f"no answer to anything for {self._timing.mute_s:.0f} s"
        if pulse.stuck_s() >= longest:
            return f"no progress for {longest:.0f} s"
        return None

    def _prove(self, serving: _Serving) -> None:
        serving.proven = True
        self._restless = 0
        self._young_deaths.pop(serving.rung.name, None)
        self._failures.forget(serving.rung.name)

    def _better(self, serving: _Serving) -> ladder.Verdict | None:
        held = self._memory.held_mib(serving.server.pid)
        return ladder.better(self._survey.look(held), serving.rung.name)

    def _idle(self) -> bool:
        """Asked again at the last moment: the pulse's answer may be seconds old."""
        try:
            return self._client.load(1.0).idle
        except RungError:
            return False

    def _end(self, serving: _Serving) -> None:
        serving.pulse.end()
        serving.server.stop(self._timing.drain_s, self._hurried)

    def _bury(self, serving: _Serving, end: str) -> None:
        """Decides what a death means for the rung: restarted, or left alone for a while."""
        serving.pulse.end()
        serving.server.kill()
        name, served = serving.rung.name, self._clock() - serving.since
        if serving.proven:
            self._log.warning("died, restarting", rung=name, served_s=served, why=end)
            return
        self._restless += 1
        deaths = self._young_deaths[name] = self._young_deaths.get(name, 0) + 1
        if deaths <= self._timing.young_deaths:
            self._log.warning("died young, restarting", rung=name, served_s=served, why=end)
        else:
            self._young_deaths.pop(name)
            reason = f"died {deaths} times soon after start: {end}"
            self._note_failure(serving.rung, serving.mark, reason)
        pause = self._timing.first_pause_s * 2.0 ** min(self._restless - 1, 16)
        self._stopping.wait(min(pause, self._timing.longest_pause_s))

    def _note_failure(self, rung: Rung, mark: str, reason: str) -> None:
        self._failures.record(rung.name, mark, reason)
        rest = self._failures.retry_in_s(rung.name, mark)
        self._log.warning("failed", rung=rung.name, why=reason, next_try_in_s=rest)

    def _report(self, verdicts: list[ladder.Verdict], failed: dict[str, str]) -> None:
        width = max(len(verdict.rung.name) for verdict in verdicts)
        rows = [
            f"  {place}. {verdict.rung.name:<{width}}  "
            + failed.get(verdict.rung.name, verdict.reason)
            for place, verdict in enumerate(verdicts, start=1)
        ]
        self._log.error("\n".join(["no rung of the ladder works", *rows]))
