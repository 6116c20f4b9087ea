"""/v1/models: what clients may ask for. Owns how an expert is described."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from contract.routing_settings import AUTO
from gateway.api.guard import identify
from gateway.core import Core
from gateway.errors import ModelNotFound


class Models:
    """The listing and one entry of it."""

    def __init__(self, core: Core, *, started_at: int) -> None:
        self._core = core
        self._started_at = started_at

    def router(self) -> APIRouter:
        """The routes, bound to this object."""
        router = APIRouter()
        router.add_api_route("/v1/models", self.all, methods=["GET"])
        router.add_api_route("/v1/models/{name:path}", self.one, methods=["GET"])
        return router

    async def all(self, request: Request) -> Response:
        """Experts, aliases and `auto`, as far as the key may use them."""
        allowed = identify(self._core, request).models
        settings = self._core.settings
        names = [*settings.experts, *settings.aliases, AUTO]
        shown = [
            name
            for name in names
            if allowed is None
            or name in allowed
            or name == AUTO
            or settings.aliases.get(name) in allowed
        ]
        return JSONResponse({"object": "list", "data": [self._describe(name) for name in shown]})

    async def one(self, request: Request, name: str) -> Response:
        """One of them."""
        allowed = identify(self._core, request).models
        if not name:
            raise ModelNotFound(name)
        self._core.router.resolve(name, allowed=allowed)
        return JSONResponse(self._describe(name))

    def _describe(self, name: str) -> dict[str, Any]:
        core, settings = self._core, self._core.settings
        expert = settings.default if name == AUTO else settings.aliases.get(name, name)
        route = settings.experts[expert]
        replicas = core.fleet.of(expert)
        live = [replica for replica in replicas if replica.live]
        best = min(live, key=lambda replica: replica.degraded, default=None)
        known = best or next(iter(replicas), None)
        return {
            "id": name,
            "object": "model",
            "created": self._started_at,
            "owned_by": "hearth",
            "hearth": {
                "expert": expert,
                "description": route.description,
                "capabilities": list(route.capabilities),
                "context_tokens": route.context_tokens,
                "serving": best.serving if best else None,
                "preferred": known.endpoint.preferred if known else None,
                "degraded": best is not None and best.degraded,
                "replicas": len(live),
                "slots": sum(replica.slots for replica in live),
            },
        }
