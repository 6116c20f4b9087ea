"""Puts one gateway process together. Owns construction and lifetime; the rules live elsewhere."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Final

import httpx
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.access.access import Access
from gateway.access.admin import Admin
from gateway.api.models import Models
from gateway.api.operations import Operations
from gateway.api.tagging import Tagging
from gateway.core import CORE, Core
from gateway.errors import BadRequest, GatewayError, MethodNotAllowed
from gateway.fleet.ask import Asker
from gateway.fleet.discovery import Discovery
from gateway.fleet.probe import Probe
from gateway.fleet.replicas import Endpoint, Fleet
from gateway.reply.dialects import error_body
from gateway.request.endpoints import NAMES
from gateway.routing.router import Router
from gateway.telemetry.colleagues import Colleagues
from gateway.telemetry.figures import figures_of
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request_log import RequestLog
from gateway.wire.upstream import Pool

_FIRST_LOOK_S: Final = 2.0
_SWEEP_S: Final = 0.25
_SLICE: Final = 64
_COOL_SWEEPS: Final = 20
_TELLING_SWEEPS: Final = 4
_JSON: Final = "application/json"

_log = logging.getLogger("gateway")


def create_app(
    settings: GatewaySettings,
    secrets: GatewaySecrets,
    *,
    nomad: httpx.AsyncClient | None = None,
    worker: int = 0,
    meeting: Path | None = None,
) -> FastAPI:
    """The gateway as an application for uvicorn with ``http=GatewayProtocol``, which takes the
    experts' paths; everything else is answered here. ``nomad`` closes when it shuts down, and
    workers leave each other their figures in the folder ``meeting``.

    Raises:
        StorageUnavailable: data_dir, or what must be in it, cannot be used.
    """

    access = Access(settings, secrets, worker=worker)
    colleagues = Colleagues(meeting, worker)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with contextlib.AsyncExitStack() as stack:
            if nomad is not None:
                await stack.enter_async_context(nomad)
            core, discovery = await _assemble(settings, secrets, nomad, access, colleagues, stack)
            tasks: list[asyncio.Task[None]] = []
            for router in (
                Operations(core, ended=lambda: _ended(tasks)).router(),
                Models(core, started_at=int(time.time())).router(),
                Admin(
                    core.access,
                    models=[*settings.experts, *settings.aliases],
                    endpoints=NAMES,
                ).router(),
            ):
                app.include_router(router)
            tasks += [
                asyncio.create_task(discovery.run(), name="discovery"),
                asyncio.create_task(core.access.run(), name="access"),
                asyncio.create_task(_sweep(core), name="sweep"),
            ]
            for task in tasks:
                task.add_done_callback(_report_end)
            try:
                yield {CORE: core}
            finally:
                for connection in tuple(core.connections):
                    connection.end()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await core.settle()
                core.log.flush()

    app = FastAPI(
        title="Hearth",
        # A redirect would lead to whatever host the client named.
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Tagging)
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    return app


async def _assemble(
    settings: GatewaySettings,
    secrets: GatewaySecrets,
    nomad: httpx.AsyncClient | None,
    access: Access,
    colleagues: Colleagues,
    stack: contextlib.AsyncExitStack,
) -> tuple[Core, Discovery]:
    """The core and what keeps it true; ``stack`` ends both."""
    tls = ssl.create_default_context() if _needs_tls(settings) else None

    def connect(endpoint: Endpoint) -> Pool:
        host, port = endpoint.address
        return Pool(host, port, tls=tls if endpoint.tls else None)

    client = await stack.enter_async_context(_own_client(secrets.upstream_key))
    fleet = Fleet(connect, upstream_key=secrets.upstream_key)
    stack.callback(fleet.close)
    stack.callback(access.close)
    ask = Asker(fleet, client, timeout_s=settings.timeouts.first_byte_s)
    router = Router(settings, ask)
    stack.push_async_callback(router.close)
    core = Core(
        settings,
        access=access,
        fleet=fleet,
        router=router,
        ask=ask,
        metrics=Metrics(),
        colleagues=colleagues,
        log=RequestLog(),
    )
    probe = Probe(client, interval_s=settings.probe_interval_s, workers=settings.workers)
    discovery = Discovery(settings, fleet, nomad=nomad, probe=probe)
    await discovery.first_look(_FIRST_LOOK_S)
    await router.prepare()
    return core, discovery


async def _sweep(core: Core) -> None:
    """The one timer: deadlines of every connection, turns in queues, lines of the log."""
    rounds = 0
    while True:
        await asyncio.sleep(_SWEEP_S)
        await _sweep_connections(core)
        core.sweep()
        core.log.flush()
        rounds += 1
        now = time.monotonic()
        for replica in core.fleet.all():
            replica.pool.tend(now, replica.in_flight)
            if rounds % _COOL_SWEEPS == 0:
                replica.pool.cool()
        if rounds % _TELLING_SWEEPS == 0 and core.colleagues.any:
            core.colleagues.tell(figures_of(core))


async def _sweep_connections(core: Core) -> None:
    """A few at a time: thousands of streams must not wait for a look at all of them."""
    every = tuple(core.connections)
    for start in range(0, len(every), _SLICE):
        now = time.monotonic()
        for connection in every[start : start + _SLICE]:
            if connection in core.connections:
                try:
                    connection.sweep(now)
                except Exception:
                    # One connection that nobody foresaw must not cost all others their deadlines.
                    _log.exception("a connection could not be looked after")
                    connection.abort()
        await asyncio.sleep(0)


def _needs_tls(settings: GatewaySettings) -> bool:
    return any(
        upstream.url.startswith("https:")
        for expert in settings.experts.values()
        for upstream in expert.upstreams
    )


def _own_client(upstream_key: str | None) -> httpx.AsyncClient:
    """For probes and the questions of routing. No reuse of connections: llama-server closes idle
    ones after 5 s, and a probe that meets this moment would call a healthy replica lost.
    """
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
        ),
        headers={"user-agent": "hearth-gateway"}
        | ({"authorization": f"Bearer {upstream_key}"} if upstream_key else {}),
        trust_env=False,
    )


def _ended(tasks: Iterable[asyncio.Task[None]]) -> list[str]:
    """The names of those that should run and do not."""
    return [task.get_name() for task in tasks if task.done()]


def _report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.critical("%s ended", task.get_name(), exc_info=task.exception())


async def _gateway_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, GatewayError):
        raise error
    return Response(error_body(error), error.status, headers=error.headers(), media_type=_JSON)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 405:
        return await _gateway_error(
            request, MethodNotAllowed((error.headers or {}).get("Allow", "another method"))
        )
    own = GatewayError(str(error.detail))
    own.status = error.status_code
    if error.status_code < 500:
        own.kind = BadRequest.kind
    if error.status_code == 404:
        own.code = "unknown_url"
    return await _gateway_error(request, own)


async def _validation_error(request: Request, _: Exception) -> Response:
    own = BadRequest("The request is not valid.")
    own.status = 422
    return await _gateway_error(request, own)
