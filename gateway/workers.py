"""Several processes behind one port. Owns their start, their replacement when one dies, and their
end; what they share (keys, limits, usage, figures) is in files of the data folder.
"""

import logging
import multiprocessing
import signal
import socket
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import uvicorn

from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.access.access import data_folder
from gateway.documents import read_document
from gateway.errors import GatewayError
from gateway.serving import create_worker, prepare_process, server_config
from gateway.telemetry.colleagues import leave, meeting_place

_PACE_S: Final = 0.2
_FASTEST_DEATH_S: Final = 5.0
_DEATHS_ALLOWED: Final = 5
_GRACE_S: Final = 5.0

_log = logging.getLogger("gateway.workers")


def serve_workers(settings: GatewaySettings, settings_file: Path, secrets_file: Path | None) -> int:
    """Serves until SIGTERM. Returns 0 after that, 1 when the port or the data folder cannot be had
    or the workers die again and again.
    """
    try:
        folder = data_folder(settings)
    except GatewayError as error:
        print(f"gateway: {error.message}", file=sys.stderr)
        return 1
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        print(f"gateway: {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    listener.listen(4096)
    listener.set_inheritable(True)
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    context = multiprocessing.get_context("spawn")
    meeting = meeting_place(folder)

    def start(worker: int) -> BaseProcess:
        process = context.Process(
            target=_work,
            args=(worker, listener, settings_file, secrets_file, meeting),
            daemon=False,
        )
        process.start()
        return process

    running = {worker: (start(worker), time.monotonic()) for worker in range(settings.workers)}
    deaths = 0
    while not stopping and deaths < _DEATHS_ALLOWED:
        time.sleep(_PACE_S)
        for worker, (process, began) in list(running.items()):
            if process.is_alive() or stopping:
                continue
            _log.error("worker %d ended with %s; starting another", worker, process.exitcode)
            deaths = deaths + 1 if time.monotonic() - began < _FASTEST_DEATH_S else 0
            running[worker] = (start(worker), time.monotonic())
    listener.close()
    _end([process for process, _ in running.values()], settings.timeouts.drain_s + _GRACE_S)
    leave(meeting)
    return 0 if stopping else 1


def _end(processes: list[BaseProcess], patience_s: float) -> None:
    for process in processes:
        process.terminate()
    until = time.monotonic() + patience_s
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _work(
    worker: int,
    listener: socket.socket,
    settings_file: Path,
    secrets_file: Path | None,
    meeting: Path | None,
) -> None:
    from gateway.__main__ import start_logging

    start_logging()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    settings = read_document(settings_file, GatewaySettings)
    secrets = (
        GatewaySecrets() if secrets_file is None else read_document(secrets_file, GatewaySecrets)
    )
    prepare_process()
    server = uvicorn.Server(
        server_config(create_worker(settings, secrets, worker, meeting), settings)
    )
    server.run(sockets=[listener])
    sys.exit(0 if server.started else 1)
