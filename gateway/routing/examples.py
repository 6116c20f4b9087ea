"""The labelled examples, embedded once, and the votes of those nearest to a prompt.

They are embedded in the background: a prompt waits for them no longer than for its own embedding.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from contract.routing_settings import Example, Neighbours
from gateway.routing import embedding, vector_file
from gateway.routing.asking import FAILURES, Ask, reason_of
from gateway.routing.embedding import Vector
from gateway.routing.neighbours import LabelledVectors, Vote, cosine, label, vote
from gateway.routing.recent import Recent

_log = logging.getLogger(__name__)

_FILE: Final = "routing-examples.vectors"
_BATCH: Final = 32
_REMEMBERED: Final = 256  # prompts, with their vectors
_RETRY_S: Final = 10.0
# An expert may come back with another rung of its ladder, whose vectors mean something else.
_CHECK_S: Final = 60.0
_SAME: Final = 0.98
_THREAD_NUMBERS: Final = 500_000  # comparing fewer takes less than handing over to a thread does


class _Unready(ValueError):
    """There are no vectors to compare with."""


class Examples:
    """Compares prompts with the examples; every failure is an abstention that says why."""

    def __init__(
        self,
        examples: Sequence[Example],
        embedder: str,
        settings: Neighbours,
        *,
        ask: Ask,
        clock: Callable[[], float],
        folder: Path | None,
    ) -> None:
        self.embedder = embedder
        self._examples = examples
        self._settings = settings
        self._ask = ask
        self._clock = clock
        self._file = None if folder is None else folder / _FILE
        self._recent: Recent[Vector] = Recent(_REMEMBERED, math.inf, clock)
        self._building: asyncio.Task[LabelledVectors] | None = None
        self._retry_at = -math.inf
        self._checked_at = -math.inf

    async def vote(self, text: str, candidates: Sequence[str]) -> Vote:
        """What the nearest examples say of a prompt."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                labelled = await asyncio.shield(self._task())
                query = await self._embed(text, labelled)
        except FAILURES as error:
            return Vote(None, why=reason_of(error))
        if len(query) * len(labelled.vectors) < _THREAD_NUMBERS:
            return vote(query, labelled, self._settings, candidates)
        return await asyncio.to_thread(vote, query, labelled, self._settings, candidates)

    async def prepare(self) -> str | None:
        """Waits until the examples are embedded, however long; returns why they could not be."""
        try:
            await asyncio.shield(self._task())
        except FAILURES as error:
            return reason_of(error)
        return None

    async def close(self) -> None:
        """Ends the background work."""
        if self._building is not None:
            self._building.cancel()
            await asyncio.gather(self._building, return_exceptions=True)

    def _task(self) -> asyncio.Task[LabelledVectors]:
        """The task that embeds the examples, started if need be.

        Raises:
            _Unready: it has just failed; another try would only cost the next request its time.
        """
        task = self._building
        failed = task is not None and task.done() and (task.cancelled() or task.exception())
        if failed and self._clock() < self._retry_at:
            raise _Unready(f"examples could not be embedded: {failed}")
        if task is None or failed:
            self._building = task = asyncio.create_task(self._build())
            # Asks for the exception, so that one nobody waits for is not reported as lost.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _build(self) -> LabelledVectors:
        texts = [example.text for example in self._examples]
        mark = vector_file.fingerprint(self.embedder, texts)
        try:
            vectors = await self._load(mark)
            if vectors is None:
                vectors = await self._embed_all(texts)
                self._checked_at = self._clock()
                await self._save(mark, vectors)
        except FAILURES as error:
            self._retry_at = self._clock() + _RETRY_S
            _log.warning("routing: the examples could not be embedded: %s", reason_of(error))
            raise _Unready(reason_of(error)) from error
        experts = [example.expert for example in self._examples]
        return await asyncio.to_thread(label, experts, vectors)

    async def _embed_all(self, texts: Sequence[str]) -> list[Vector]:
        vectors: list[Vector] = []
        for start in range(0, len(texts), _BATCH):
            vectors += await self._request(texts[start : start + _BATCH])
        if len(set(map(len, vectors))) != 1:
            raise embedding.BadEmbeddings("the embedder changed while it was asked")
        return vectors

    async def _embed(self, text: str, labelled: LabelledVectors) -> Vector:
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._recent.get(key)
        if known is not None:
            self._recent.put(key, known)
            return known
        check = self._clock() - self._checked_at > _CHECK_S
        texts = [text, self._examples[0].text] if check else [text]
        query, *probe = await self._request(texts)
        first = labelled.vectors[0]
        if len(query) != len(first) or (probe and cosine(probe[0], first) < _SAME):
            self._start_anew()
            raise _Unready("the embedder has changed; the examples are embedded again")
        if check:
            self._checked_at = self._clock()
        self._recent.put(key, query)
        return query

    def _start_anew(self) -> None:
        self._recent.forget()
        self._building = None
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    async def _request(self, texts: Sequence[str]) -> list[Vector]:
        body = embedding.request_body(self.embedder, texts)
        return embedding.read_vectors(
            await self._ask(self.embedder, embedding.PATH, body), len(texts)
        )

    async def _load(self, mark: str) -> list[Vector] | None:
        if self._file is None:
            return None
        vectors = await asyncio.to_thread(vector_file.load, self._file, mark)
        return vectors if vectors and len(vectors) == len(self._examples) else None

    async def _save(self, mark: str, vectors: Sequence[Vector]) -> None:
        if self._file is None:
            return
        try:
            await asyncio.to_thread(vector_file.save, self._file, mark, vectors)
        except OSError as error:
            _log.warning("routing: %s could not be written: %s", self._file, error)
