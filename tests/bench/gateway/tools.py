"""The fake upstream and the load generators, as Python sees them. Owns the request bodies."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.bench.gateway.endpoint import exchange
from tests.bench.gateway.processes import Process
from tests.bench.gateway.programs import compiled
from tests.bench.gateway.systems import TOOLS_CORE, UPSTREAM_PORT

Report = dict[str, Any]
_MARKER: Final = "@" * 16  # the load generator counts requests here
_WORDS: Final = "Hearth keeps a fire for everyone who comes in from the cold and asks a question. "


class Tools:
    """What stands around a gateway: one upstream behind it, one client before it."""

    def __init__(self, folder: Path) -> None:
        """``folder`` keeps bodies and logs."""
        self._folder = folder
        self._upstream: Process | None = None
        self._load = compiled("load")
        self._streams = compiled("streams")

    @property
    def upstream(self) -> Process:
        """The running upstream."""
        assert self._upstream is not None
        return self._upstream

    def start(self) -> None:
        """Starts the upstream."""
        program = [str(compiled("fake_upstream")), str(UPSTREAM_PORT)]
        self._upstream = Process(program, core=TOOLS_CORE, log=self._folder / "upstream.log")

    def stop(self) -> None:
        """Ends it."""
        if self._upstream is not None:
            self._upstream.stop()

    def body(self, size: int, *, stream: bool = False, **options: int) -> Path:
        """A chat request of about ``size`` bytes; the options are what the upstream obeys."""
        wishes = " ".join(f"x_{name}={value}" for name, value in options.items())
        chat: dict[str, Any] = {
            "model": "fake",
            "messages": [
                {"role": "system", "content": f"Answer briefly. {_MARKER} {wishes}"},
                {"role": "user", "content": ""},
            ],
            "max_tokens": 512,
            "temperature": 0.7,
        }
        if stream:
            chat["stream"] = True
        missing = size - len(json.dumps(chat, separators=(",", ":")))
        chat["messages"][1]["content"] = (_WORDS * (missing // len(_WORDS) + 1))[: max(missing, 8)]
        path = self._folder / f"body-{size}-{int(stream)}-{wishes.replace(' ', '-')}.json"
        path.write_text(json.dumps(chat, separators=(",", ":")))
        return path

    def load(self, mode: str, limit_s: float, **options: object) -> Report:
        """Runs ``load`` to its end.

        Raises:
            subprocess.SubprocessError: it failed, or took longer than the limit.
        """
        return _last_line(_run([str(self._load), mode, *_flags(options)], limit_s))

    def streams(self, mode: str, limit_s: float, **options: object) -> Report:
        """Runs ``streams`` to its end; raises as ``load`` does."""
        return _last_line(_run([str(self._streams), mode, *_flags(options)], limit_s))

    @contextmanager
    def held_streams(self, limit_s: float, **options: object) -> Iterator[Iterator[Report]]:
        """The reports of ``streams hold`` one by one: the first comes when all are open."""
        command = [*_pin(), str(self._streams), "hold", *_flags(options)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            watchdog = threading.Timer(limit_s, process.kill)
            watchdog.start()
            try:
                assert process.stdout is not None
                yield (json.loads(line) for line in process.stdout)
            finally:
                watchdog.cancel()
                process.kill()

    def control(self, what: str) -> Any:
        """What the upstream's control route says."""
        return json.loads(exchange(UPSTREAM_PORT, "GET", f"/control/{what}").text)


def _pin() -> list[str]:
    return ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(TOOLS_CORE)]


def _run(command: list[str], limit_s: float) -> str:
    return subprocess.run(
        [*_pin(), *command], check=True, stdout=subprocess.PIPE, text=True, timeout=limit_s
    ).stdout


def _last_line(text: str) -> Report:
    report: Report = json.loads(text.strip().splitlines()[-1])
    return report


def _flags(options: dict[str, object]) -> Iterator[str]:
    for name, value in options.items():
        yield f"--{name.replace('_', '-')}"
        yield str(value)
