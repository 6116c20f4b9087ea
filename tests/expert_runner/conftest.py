"""A scene for the runner: model files, a fake llama-server, and a runner in a thread."""

import contextlib
import http.client
import io
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contract.expert_settings import ExpertSettings, Rung
from expert_runner import selftest
from expert_runner.errors import RunnerError
from expert_runner.failures import FailureMemory
from expert_runner.flags import Listen
from expert_runner.log import Log
from expert_runner.memory import HostMemory
from expert_runner.pulse import PulseTiming
from expert_runner.runner import Runner, Timing

KEY = "sk-upstream-for-tests"
FAKE = Path(__file__).with_name("fake_llama_server.py")

FAST = Timing(
    tick_s=0.02,
    look_s=0.05,
    stable_s=0.6,
    drain_s=1.0,
    mute_s=0.5,
    first_pause_s=0.01,
    longest_pause_s=0.05,
    port_wait_s=0.3,
    pulse=PulseTiming(poll_s=0.01, beat_s=0.03, answer_s=0.2, idle_check_s=60.0),
)


@dataclass
class Scene:
    """One expert on one machine."""

    folder: Path
    port: int
    model: bytes
    available_mib: int = 4096
    rungs: list[Rung] = field(default_factory=list)
    overrides: dict[str, object] = field(default_factory=dict)
    now: Callable[[], float] = time.time

    def rung(self, name: str, *, present: bool = True, **behaviour: object) -> Path:
        """Adds a rung to the ladder and, unless absent, its file."""
        path = self.folder / f"{name}.gguf"
        self.rungs.append(Rung(name=name, path=str(path)))
        if present:
            path.write_bytes(self.model)
        self.behave(name, **behaviour)
        return path

    def behave(self, name: str, **behaviour: object) -> None:
        """Sets how the fake server behaves with this model from now on."""
        (self.folder / f"{name}.gguf.behaviour").write_text(json.dumps(behaviour))

    @property
    def settings(self) -> ExpertSettings:
        fields = {
            "expert": "general",
            "llama_server": str(self.folder / "llama-server"),
            "ladder": self.rungs,
            "context_tokens": 1024,
            "slots": 2,
            "threads": 1,
            "memory_limit_mib": 2048,
            "start_timeout_s": 5.0,
            "state_file": str(self.folder / "state" / "failures.json"),
        }
        return ExpertSettings.model_validate(fields | self.overrides)

    def failures(self) -> FailureMemory:
        """What the runner remembers, read from disk."""
        settings = self.settings
        return FailureMemory(
            Path(settings.state_file), first_rest_s=settings.retry_after_s, now=self.now
        )

    def write_files(self) -> tuple[Path, Path]:
        """The settings and the key as files, for a runner in a process of its own."""
        settings = self.folder / "settings.json"
        settings.write_text(self.settings.model_dump_json())
        return settings, self.folder / "key"

    def server_pid(self) -> int:
        """The process id of the llama-server, fake or real, on this scene's port."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (
                    (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                )
                if b"--alias" in words and str(self.port).encode() in words:
                    found.append(int(entry.name))
        assert len(found) == 1, found
        return found[0]

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {KEY}"})
            response = connection.getresponse()
            return response.status, response.read()

    def serving(self) -> str | None:
        """The rung that answers on the port."""
        try:
            status, body = self.get("/v1/models")
        except OSError:
            return None
        return json.loads(body)["data"][0]["id"] if status == 200 else None


class _Memory(HostMemory):
    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self._scene = scene

    def available_mib(self) -> int:
        return self._scene.available_mib


class Running:
    """A runner at work in a thread of its own."""

    def __init__(self, scene: Scene, timing: Timing) -> None:
        settings = scene.settings
        self._log = io.StringIO()
        self._scene = scene
        self.runner = Runner(
            settings,
            Listen(host="127.0.0.1", port=scene.port, api_key_file=str(scene.folder / "key")),
            key=KEY,
            memory=_Memory(scene),
            failures=scene.failures(),
            log=Log(self._log, expert="general", now=scene.now),
            timing=timing,
        )
        self.code: int | None = None
        self.error: RunnerError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.code = self.runner.run()
        except RunnerError as error:
            self.error = error

    @property
    def log(self) -> str:
        return self._log.getvalue()

    def wait_for(self, what: Callable[[], object], seconds: float = 10.0) -> None:
        """Returns once ``what`` is true."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, f"waited {seconds} s in vain; log:\n{self.log}"
            time.sleep(0.01)

    def wait_serving(self, rung: str) -> None:
        self.wait_for(lambda: f"info serving expert=general rung={rung}" in self.log)
        assert self._scene.serving() == rung

    def end(self, seconds: float = 10.0) -> int | None:
        self.runner.stop()
        return self.join(seconds)

    def join(self, seconds: float = 10.0) -> int | None:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"the runner did not end; log:\n{self.log}"
        return self.code


@pytest.fixture(scope="session")
def model() -> bytes:
    return selftest.build()


@pytest.fixture
def scene(tmp_path: Path, model: bytes) -> Scene:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "key").write_text(f"{KEY}\n")
    program = tmp_path / "llama-server"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {FAKE} "$@"\n')
    program.chmod(0o755)
    return Scene(folder=tmp_path, port=port, model=model)


@pytest.fixture
def run(scene: Scene) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(timing: Timing = FAST) -> Running:
        started.append(Running(scene, timing))
        return started[-1]

    yield start
    for running in started:
        running.runner.stop()
        running.runner.stop()
    for running in started:
        running.join()


@pytest.fixture
def fast() -> Timing:
    return FAST
