"""What people and programs that look after the gateway ask it: is it well, what does it do, why
did it choose. Owns these paths; the figures come from the core.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from contract import headers
from gateway.api.guard import identify, is_local, presents_key
from gateway.core import Core
from gateway.errors import BadRequest, BodyTooLarge, NotWorking, ShuttingDown
from gateway.request.endpoints import NAMES
from gateway.routing.facts import read_facts
from gateway.telemetry.exposition import exposition
from gateway.telemetry.status import status

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PAGE: Final = Path(__file__).parent / "status.html"
_PAGE_HEADERS: Final = {
    # The page is one file without third parties; nothing else may run in it.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Operations:
    """The handlers and what they share."""

    def __init__(self, core: Core, *, ended: Callable[[], Sequence[str]]) -> None:
        """``ended`` names what should run as long as the process does, and has ended."""
        self._core = core
        self._ended = ended

    def router(self) -> APIRouter:
        """The routes, bound to this object."""
        router = APIRouter()
        router.add_api_route("/health", self.health, methods=["GET"])
        router.add_api_route("/metrics", self.metrics, methods=["GET"])
        router.add_api_route("/status", self.page, methods=["GET"])
        router.add_api_route("/status.json", self.status, methods=["GET"])
        router.add_api_route("/v1/route/explain", self.explain, methods=["POST"])
        return router

    async def health(self) -> Response:
        """Whether this process does its work; what the experts do is in /v1/models."""
        if ended := self._ended():
            raise NotWorking(f"The gateway is broken: {', '.join(ended)} ended.")
        if self._core.draining:
            raise ShuttingDown("The gateway is finishing its requests and will end.")
        return JSONResponse({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text form; without a key only from this machine, and then of all keys."""
        key = self._looker(request)
        core = self._core
        figures = core.figures()
        if key is not None:
            figures.keys = [row for row in figures.keys if row[0] == key]
        text = exposition(figures, core.fleet, core.settings.experts)
        return PlainTextResponse(text, media_type=_METRICS_TYPE)

    async def page(self) -> Response:
        """The status page; it holds no figures, it fetches them with the key a person gives it."""
        return FileResponse(_PAGE, media_type="text/html", headers=_PAGE_HEADERS)

    async def status(self, request: Request) -> Response:
        """The figures of the status page; without a key only from this machine."""
        key = self._looker(request)
        return JSONResponse(status(self._core, key), headers={"cache-control": "no-store"})

    def _looker(self, request: Request) -> str | None:
        """Whose figures are shown: those of the key that asks, or of all (None) to someone who asks
        without a key from this machine.
        """
        if is_local(request) and not presents_key(request):
            return None
        return identify(self._core, request).id

    async def explain(self, request: Request) -> Response:
        """What would be decided for a body, and why. Nothing is sent to an expert but the questions
        of routing itself. ``?endpoint=`` names the path the body is for.
        """
        key = identify(self._core, request)
        endpoint = request.query_params.get("endpoint", NAMES[0])
        if endpoint not in NAMES:
            raise BadRequest(f"`endpoint` must be one of {', '.join(NAMES)}.", param="endpoint")
        document = await self._read(request)
        facts = read_facts(
            document,
            endpoint=endpoint,
            headers={
                headers.SESSION: request.headers.get(headers.SESSION, ""),
            },
            key_id=key.id,
            key_name=key.name,
        )
        model = document.get("model")
        if model is not None and not isinstance(model, str):
            raise BadRequest("`model` must be a string.", param="model")
        explained = await self._core.router.explain(
            model, facts, allowed=key.models, live=self._core.fleet.live
        )
        return JSONResponse(explained)

    async def _read(self, request: Request) -> dict[str, Any]:
        limit = self._core.settings.max_body_bytes
        content = b""
        async for part in request.stream():
            content += part
            if len(content) > limit:
                raise BodyTooLarge(f"The request body may have at most {limit} bytes.")
        try:
            document = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            msg = "We could not parse the JSON body of your request."
            raise BadRequest(msg) from None
        if not isinstance(document, dict):
            raise BadRequest("The request body must be a JSON object.")
        return document
