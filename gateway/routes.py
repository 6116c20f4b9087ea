"""The paths of the API. Owns how a request is read and checked; the answer comes from a relay."""

import ipaddress
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from contract.gateway_settings import GatewaySettings
from gateway.chat_body import read_body
from gateway.choice import AUTO, resolve_expert
from gateway.errors import BodyTooLarge, ModelNotFound, NotWorking
from gateway.keys import KeyRing
from gateway.metrics import Metrics
from gateway.relay import Relay, RelayedAnswer
from gateway.replicas import Fleet

_RELAYED: Final = ("/v1/chat/completions", "/v1/completions")
_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Api:
    """The handlers and what they share."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        keys: KeyRing,
        fleet: Fleet,
        relay: Relay,
        metrics: Metrics,
        started_at: int,
        alive: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._fleet = fleet
        self._relay = relay
        self._metrics = metrics
        self._started_at = started_at
        self._alive = alive

    def router(self) -> APIRouter:
        """The routes, bound to this object."""
        router = APIRouter()
        router.add_api_route("/health", self.health, methods=["GET"])
        router.add_api_route("/metrics", self.metrics, methods=["GET"])
        router.add_api_route("/v1/models", self.models, methods=["GET"])
        router.add_api_route("/v1/models/{name:path}", self.model, methods=["GET"])
        for path in _RELAYED:
            router.add_api_route(path, self.relay, methods=["POST"])
        return router

    async def health(self) -> Response:
        """Whether this process does its work; what the experts do is in /v1/models."""
        if not self._alive():
            raise NotWorking("The gateway has stopped looking for experts.")
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text form; without a key only from this machine."""
        if not _is_local(request):
            self._identify(request)
        text = self._metrics.text(self._settings.experts, self._fleet)
        return PlainTextResponse(text, media_type=_METRICS_TYPE)

    async def models(self, request: Request) -> Response:
        """Experts, aliases and `auto`."""
        self._identify(request)
        names = [*self._settings.experts, *self._settings.aliases, AUTO]
        return JSONResponse({"object": "list", "data": [self._describe(name) for name in names]})

    async def model(self, request: Request, name: str) -> Response:
        """One of them."""
        self._identify(request)
        if not name:
            raise ModelNotFound(name)
        return JSONResponse(self._describe(name))

    async def relay(self, request: Request) -> Response:
        """Chat and text completions."""
        self._identify(request)
        content = await self._read(request)
        body = read_body(content)
        expert = resolve_expert(body.model, self._settings)
        request.state.expert = expert
        return RelayedAnswer(self._relay, expert=expert, path=request.url.path, body=body.content)

    def _identify(self, request: Request) -> None:
        request.state.key_id = self._keys.identify(request.headers)

    async def _read(self, request: Request) -> bytes:
        limit = self._settings.max_body_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise BodyTooLarge(f"The request body may have at most {limit} bytes.")
        parts, total = [], 0
        async for part in request.stream():
            total += len(part)
            if total > limit:
                raise BodyTooLarge(f"The request body may have at most {limit} bytes.")
            parts.append(part)
        return b"".join(parts)

    def _describe(self, name: str) -> dict[str, Any]:
        expert = resolve_expert(name, self._settings)
        live = [replica for replica in self._fleet.of(expert) if replica.live]
        best = min(live, key=lambda replica: replica.degraded, default=None)
        known = best or next(iter(self._fleet.of(expert)), None)
        return {
            "id": name,
            "object": "model",
            "created": self._started_at,
            "owned_by": "hearth",
            "hearth": {
                "expert": expert,
                "serving": best.serving if best else None,
                "preferred": known.endpoint.preferred if known else None,
                "degraded": best is not None and best.degraded,
                "replicas": len(live),
            },
        }


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
