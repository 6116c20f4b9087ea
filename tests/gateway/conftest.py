"""A gateway on a real socket, between a client that holds a key and the fakes of ``fakes.py``."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import uvicorn

from gateway.app import create_app
from tests.gateway.fakes import (
    KEY,
    Behaviour,
    Catalogue,
    Gateway,
    QuietServer,
    Upstream,
    answers,
    secrets_of,
    settings_of,
)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    started: list[Upstream] = []

    async def start(behaviour: Behaviour = answers(), rung: str = "big") -> Upstream:  # noqa: B008
        started.append(await Upstream(rung, behaviour).start())
        return started[-1]

    yield start
    for one in started:
        await one.stop()


@pytest.fixture
async def serve(catalogue: Catalogue) -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(*, clock: Callable[[], float] | None = None, **changes: object) -> Gateway:
            settings = settings_of(**changes)
            nomad = httpx.AsyncClient(
                base_url=settings.nomad_address, transport=httpx.MockTransport(catalogue.handle)
            )
            injected = {} if clock is None else {"clock": clock}
            app = create_app(settings, secrets_of(), nomad=nomad, **injected)
            server = QuietServer(
                uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
            )
            running = asyncio.create_task(server.serve())

            async def end() -> None:
                server.should_exit = True
                await running

            stack.push_async_callback(end)
            while not server.started:
                assert not running.done(), running
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            url = f"http://127.0.0.1:{port}"
            client = await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {KEY}"})
            )
            return Gateway(client=client, catalogue=catalogue, url=url)

        yield start
