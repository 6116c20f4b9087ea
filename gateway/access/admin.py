"""The paths under /admin: keys and usage, for whoever holds the admin credential. Owns who may come
in and which scopes exist; the store and the ledger do the work, in threads, because a commit waits
for the disk.
"""

import contextlib
import hashlib
import hmac
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from gateway.access.access import Access
from gateway.access.admin_document import (
    KeyChanges,
    KeyRequest,
    Rotation,
    UsageQuery,
    key_answer,
    read_json,
    read_query,
    settings_key_answer,
    usage_answer,
)
from gateway.access.errors import (
    AdminOnly,
    KeyOfSettings,
    NoKeyStore,
    StorageUnavailable,
    UnknownScope,
)
from gateway.access.key import KeyRecord, Terms
from gateway.access.period import day_of, utc_day
from gateway.access.store import KeyStore
from gateway.access.usage import Filter
from gateway.errors import BadRequest, Unauthorized

_REPORTED_DAYS: Final = 30
_NO_STORE: Final = {"cache-control": "no-store"}


class Admin:
    """The handlers and what they share."""

    def __init__(
        self,
        access: Access,
        *,
        models: Collection[str],
        endpoints: Collection[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._known = {"models": frozenset(models), "endpoints": frozenset(endpoints)}
        self._clock = clock

    def router(self) -> APIRouter:
        """The routes, bound to this object."""
        router = APIRouter(prefix="/admin", dependencies=[Depends(self.guard)])
        for path, method, handler in (
            ("/keys", "POST", self.create),
            ("/keys", "GET", self.all),
            ("/keys/{key_id}", "GET", self.get),
            ("/keys/{key_id}", "PATCH", self.update),
            ("/keys/{key_id}/rotate", "POST", self.rotate),
            ("/keys/{key_id}", "DELETE", self.revoke),
            ("/usage", "GET", self.usage),
        ):
            router.add_api_route(path, handler, methods=[method])
        return router

    async def guard(self, request: Request) -> None:
        """Let the admin credential in, and nothing else.

        Raises:
            Unauthorized: no credential, or an unknown one.
            AdminOnly: a client key.
            NoKeyStore: there is nothing here to manage.
        """
        expected = self._access.admin_digest
        if expected is None:
            raise NoKeyStore
        token = _bearer(request.headers)
        if hmac.compare_digest(hashlib.sha256(token).digest(), expected):
            if self._access.store is None:
                raise NoKeyStore
            return
        try:
            self._access.ring.find(token)
        except Unauthorized:
            raise Unauthorized(
                "This is not the admin credential. Send it as `Authorization: Bearer <admin key>`."
            ) from None
        raise AdminOnly

    async def create(self, request: Request) -> Response:
        """A new key. Its text is in this answer and never again."""
        wanted = read_json(KeyRequest, await request.body())
        now = self._clock()
        terms = wanted.terms(now)
        self._check_scopes(terms)
        if (end := terms.get("expires_at")) is not None and end <= now:
            raise BadRequest("expires_at: lies in the past", param="expires_at")
        made = await run_in_threadpool(self._store.create, Terms(**terms))
        return await self._show_once(*made, status=201)

    async def all(self) -> Response:
        """Every key: those of the settings, then the made ones, the oldest first."""
        records = await run_in_threadpool(self._store.all)
        keys = [settings_key_answer(key) for key in self._access.ring.of_settings().values()]
        keys += [key_answer(record) for record in records]
        return JSONResponse({"object": "list", "data": keys})

    async def get(self, key_id: str) -> Response:
        """One key."""
        if found := self._access.ring.of_settings().get(key_id):
            return JSONResponse(settings_key_answer(found))
        return JSONResponse(key_answer(await run_in_threadpool(self._store.get, key_id)))

    async def update(self, request: Request, key_id: str) -> Response:
        """Other terms for a key."""
        self._check_made(key_id)
        terms = read_json(KeyChanges, await request.body()).terms(self._clock())
        self._check_scopes(terms)
        record = await run_in_threadpool(self._store.update, key_id, terms)
        await self._access.reload()
        return JSONResponse(key_answer(record))

    async def rotate(self, request: Request, key_id: str) -> Response:
        """Another text for a key, shown in this answer and never again."""
        self._check_made(key_id)
        overlap_s = read_json(Rotation, await request.body()).overlap_s
        made = await run_in_threadpool(self._store.rotate, key_id, overlap_s)
        return await self._show_once(*made, status=200)

    async def revoke(self, key_id: str) -> Response:
        """End a key. It opens nothing once this has answered."""
        self._check_made(key_id)
        record = await run_in_threadpool(self._store.revoke, key_id)
        await self._access.reload()
        return JSONResponse(key_answer(record))

    async def usage(self, request: Request) -> Response:
        """What was used, until this moment."""
        query = read_query(UsageQuery, request.query_params)
        last = utc_day(self._clock()) if query.end is None else day_of(query.end)
        if last < 0:
            raise BadRequest("to: lies before 1970", param="to")
        first = last - _REPORTED_DAYS + 1 if query.start is None else day_of(query.start)
        if first > last:
            raise BadRequest("from: lies after to", param="from")
        wanted = Filter(first, last, key=query.key, model=query.model)
        report = await run_in_threadpool(self._access.ledger.report, wanted)
        return JSONResponse(usage_answer(report, first, last))

    @property
    def _store(self) -> KeyStore:
        if self._access.store is None:
            raise NoKeyStore
        return self._access.store

    def _check_made(self, key_id: str) -> None:
        if key_id in self._access.ring.of_settings():
            raise KeyOfSettings

    def _check_scopes(self, terms: Mapping[str, Any]) -> None:
        for field, known in self._known.items():
            if wrong := set(terms.get(field) or ()) - known:
                raise UnknownScope(field, wrong, known)

    async def _show_once(self, record: KeyRecord, text: str, *, status: int) -> Response:
        # The key exists and its text nowhere else: it must be answered now, and if the store
        # cannot be read at this moment, the next look at it will find the key.
        with contextlib.suppress(StorageUnavailable):
            await self._access.reload()
        return JSONResponse(key_answer(record) | {"key": text}, status, headers=_NO_STORE)


def _bearer(headers: Mapping[str, str]) -> bytes:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
