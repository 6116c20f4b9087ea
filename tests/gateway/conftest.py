"""A gateway on a real socket, between a client that holds a key and the fakes of ``fakes.py``."""

import asyncio
import contextlib
import os
import signal
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
from tests.gateway.running import Running, is_up, launch, secrets_text
from tests.ports import free_port


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


@pytest.fixture
async def run(tmp_path, checkout, upstream) -> AsyncIterator:
    """Starts a gateway in ``tmp_path``, whose only expert behaves as told."""
    started: list[asyncio.subprocess.Process] = []

    async def start(behaviour, **changes: object) -> Running:
        expert = await upstream(behaviour)
        expert.props = {"total_slots": 8}
        port = free_port()
        route = {"upstreams": [{"url": f"http://127.0.0.1:{expert.port}"}]}
        settings = settings_of(
            port=port,
            nomad_address=None,
            experts={"general": route},
            aliases={},
            data_dir=str(tmp_path / "data"),
            # A busy machine may delay the looks at the expert; nobody is refused for that.
            probe_interval_s=2,
            admission={"restart_wait_s": 10},
            **changes,
        )
        (tmp_path / "settings.json").write_text(settings.model_dump_json())
        (tmp_path / "secrets.json").write_text(secrets_text())
        process = await launch(checkout, tmp_path)
        started.append(process)
        running = Running(process, f"http://127.0.0.1:{port}", tmp_path, expert)
        async with running.client() as client, asyncio.timeout(20):
            while not await is_up(client):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        return running

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
