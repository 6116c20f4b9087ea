"""A gateway on a real socket, between a client that holds a key and the fakes of ``fakes.py``."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import uvloop

from gateway.app import create_app
from gateway.core import CORE
from gateway.serving import server_config
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


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that serves in earnest: its transports differ from asyncio's own."""
    return {"uvloop": uvloop.new_event_loop}


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

        async def start(**changes: object) -> Gateway:
            settings = settings_of(**changes)
            nomad = httpx.AsyncClient(
                base_url=settings.nomad_address, transport=httpx.MockTransport(catalogue.handle)
            )
            config = server_config(create_app(settings, secrets_of(), nomad=nomad), settings)
            config.port = 0
            server = QuietServer(config)
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
            gateway = Gateway(
                client=client,
                catalogue=catalogue,
                url=url,
                core=server.lifespan.state[CORE],
                server=server,
            )
            if settings.data_dir is not None:
                gateway.admin_key = (Path(settings.data_dir) / "admin.key").read_text().strip()
            return gateway

        yield start
