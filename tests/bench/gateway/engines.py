"""Real llama-servers with the tiny model: found, started pinned, ready, ended."""

import contextlib
import http.client
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.gateway.endpoint import exchange, is_free
from tests.bench.gateway.processes import Process
from tests.bench.gateway.systems import CannotStart
from tests.bench.gateway.tiny_model import write

FIRST_PORT = 9201
_VARIABLE = "HEARTH_LLAMA_SERVER"
_START_S = 60.0


def llama_server() -> str:
    """The program: as the environment names it, or the newest this checkout has built.

    Raises:
        CannotStart: there is none.
    """
    if named := os.environ.get(_VARIABLE):
        return named
    built = (Path.home() / ".cache/hearth/llama.cpp").glob("*/*/bin/llama-server")
    newest = max(built, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        raise CannotStart(f"no llama-server: make build, or set {_VARIABLE}")
    return str(newest)


@contextlib.contextmanager
def llama_servers(folder: Path, cores: Sequence[int]) -> Iterator[list[int]]:
    """Fresh servers with empty caches, one per core given; yields their ports."""
    program, model = llama_server(), folder / "tiny.gguf"
    if not model.exists():
        write(model)
    ports = [FIRST_PORT + number for number in range(len(cores))]
    if taken := [port for port in ports if not is_free(port)]:
        raise CannotStart(f"port {taken[0]} is taken")
    with contextlib.ExitStack() as running:
        for port, core in zip(ports, cores, strict=True):
            command = [
                *(program, "--model", str(model), "--host", "127.0.0.1", "--port", str(port)),
                *("--threads", "1", "--ctx-size", "16384", "--metrics"),
            ]
            process = Process(command, core=core, log=folder / f"llama-{port}.log")
            running.callback(process.stop)
        for port in ports:
            _wait(port)
        yield ports


def counter(port: int, name: str) -> int:
    """A total of ``/metrics``."""
    for line in exchange(port, "GET", "/metrics").text.splitlines():
        if line.startswith(f"llamacpp:{name} "):
            return round(float(line.split()[1]))
    return 0


def _wait(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if exchange(port, "GET", "/health").status == http.HTTPStatus.OK:
                return
        time.sleep(0.1)
    raise CannotStart(f"the llama-server on port {port} did not become healthy")
