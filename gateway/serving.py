"""How uvicorn serves the gateway; the same for the only process and for each of several."""

import fcntl
import gc
import os
import resource
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.app import create_app
from gateway.fleet.nomad_client import nomad_client
from gateway.wire.protocol import GatewayProtocol

_BACKLOG: Final = 4096
_MOST_FILES: Final = 65_536  # a stream takes two
_KEEP_ALIVE_S: Final = 75  # longer than clients keep idle connections, so that they close first


def create_worker(
    settings: GatewaySettings,
    secrets: GatewaySecrets,
    worker: int = 0,
    meeting: Path | None = None,
) -> FastAPI:
    """The application of one process, with Nomad as the environment describes it."""
    address = settings.nomad_address
    nomad = None if address is None else nomad_client(address, os.environ)
    return create_app(settings, secrets, nomad=nomad, worker=worker, meeting=meeting)


def prepare_process() -> None:
    """What each process that serves does first, before it has threads or makes anything."""
    _settle_memory()
    _make_room_for_files()


def _settle_memory() -> None:
    """What is there now stays until the end: the collector need not look at it again, nor at every
    few hundred objects that requests make and drop without cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _make_room_for_files() -> None:
    """Allows as many connections as the system lets this process have. Called before there is any
    thread: where one exists, Linux stops whoever opens a file for about 10 ms each time the table
    of open files has to grow, which a burst of streams would meet several times over.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    handle = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.close(fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, most - 1))
    os.close(handle)


def server_config(app: FastAPI, settings: GatewaySettings) -> uvicorn.Config:
    """uvicorn with the gateway's own protocol."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=GatewayProtocol,
        ws="none",
        loop="uvloop",
        backlog=_BACKLOG,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=round(settings.timeouts.drain_s),
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
