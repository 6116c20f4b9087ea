"""Gives every request that FastAPI answers an id and one log line. Owns neither bodies nor keys, so
neither can leak.
"""

import logging
import re
import secrets
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract import headers
from gateway.errors import Internal
from gateway.reply.dialects import error_body

_ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_FREQUENT: Final = ("/health", "/metrics", "/status.json")

_log = logging.getLogger("gateway.request")


class Tagging:
    """Pure ASGI, because a middleware that wraps responses would delay streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Adds ``x-request-id`` to the answer and logs it when it ends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        offered = Headers(scope=scope).get(headers.REQUEST_ID, "")
        request_id = offered if _ACCEPTABLE.fullmatch(offered) else f"req_{secrets.token_hex(12)}"
        began, status = time.monotonic(), 0
        state = scope.setdefault("state", {})

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[headers.REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, tagged)
        except ClientDisconnect:
            pass  # it went away while it was sending; nobody is left to answer
        except Exception:
            _log.exception("failed id=%s", request_id)
            if not status:
                body = error_body(Internal())
                await Response(body, 500, media_type="application/json")(scope, receive, tagged)
        finally:
            _log.log(
                logging.DEBUG if scope["path"] in _FREQUENT and status < 400 else logging.INFO,
                "%s %s status=%s ms=%.1f id=%s key=%s",
                scope["method"],
                # As it came: unquoted, it could hold line ends.
                scope.get("raw_path", b"").decode("latin-1"),
                status or "none",
                (time.monotonic() - began) * 1000,
                request_id,
                state.get("key_id", "-"),
            )
