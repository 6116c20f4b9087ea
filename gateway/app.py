"""Puts the gateway together. Owns construction and lifetime; the rules live in other modules."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import httpx
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.discovery import Discovery
from gateway.errors import CALLER_FAULT, OWN_FAULT, GatewayError, error_body
from gateway.keys import KeyRing
from gateway.metrics import Metrics
from gateway.relay import Relay
from gateway.replicas import Fleet
from gateway.request_log import RequestLog
from gateway.routes import Api

_FIRST_LOOK_S: Final = 2.0
_JSON: Final = "application/json"

_log = logging.getLogger("gateway")


def create_app(
    settings: GatewaySettings,
    secrets: GatewaySecrets,
    *,
    nomad: httpx.AsyncClient,
    upstream_transport: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The gateway as an ASGI application. Its clients, ``nomad`` too, close when it shuts down."""
    fleet, metrics = Fleet(), Metrics()
    upstream = httpx.AsyncClient(
        transport=upstream_transport or _direct_transport(),
        headers={
            "authorization": f"Bearer {secrets.upstream_key}",
            "accept-encoding": "identity",
            "user-agent": "hearth-gateway",
        },
        trust_env=False,
    )
    relay = Relay(
        fleet=fleet,
        client=upstream,
        metrics=metrics,
        timeout_s=settings.request_timeout_s,
        clock=clock,
    )
    discovery = Discovery(settings, fleet, nomad=nomad, upstream=upstream)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with upstream, nomad:
            await discovery.first_look(_FIRST_LOOK_S)
            watching = asyncio.create_task(discovery.run())
            watching.add_done_callback(_report_end)
            try:
                yield
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching

    app = FastAPI(
        title="Hearth", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan
    )
    api = Api(
        settings,
        keys=KeyRing(secrets.keys),
        fleet=fleet,
        relay=relay,
        metrics=metrics,
        started_at=int(time.time()),
        alive=lambda: discovery.running,
    )
    app.include_router(api.router())
    app.add_middleware(RequestLog)
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    return app


def _direct_transport() -> httpx.AsyncHTTPTransport:
    """No limit on connections: the experts' own slots are the limit, and a queue here would hide
    it. No reuse either: llama-server closes idle connections after 5 s, and a request that meets
    this moment fails for no reason a client could understand.
    """
    return httpx.AsyncHTTPTransport(
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
    )


def _report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.critical("discovery ended", exc_info=task.exception())


async def _gateway_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, GatewayError):
        raise error
    return Response(
        error.body(), status_code=error.status, headers=error.headers(), media_type=_JSON
    )


async def _http_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    kind = CALLER_FAULT if error.status_code < 500 else OWN_FAULT
    body = error_body(str(error.detail), kind=kind, code=_CODES.get(error.status_code))
    return Response(body, error.status_code, headers=error.headers, media_type=_JSON)


async def _validation_error(_: Request, error: Exception) -> Response:
    return Response(
        error_body("The request is not valid.", kind=CALLER_FAULT), 422, media_type=_JSON
    )


_CODES: Final = {404: "unknown_url", 405: "method_not_allowed"}
