"""The gateway as a process: exit codes, and an end that cuts nobody off."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.gateway.fakes import EVENTS, KEY, UPSTREAM_KEY, settings_of, streams


async def answer_catalogue(reader, writer, upstream) -> None:
    line = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0]
    if "index=1" in line:
        await asyncio.sleep(3600)
    entry = {"ID": "a", "Address": "127.0.0.1", "Port": upstream.port, "Tags": []}
    body = json.dumps([entry] if "expert-general" in line else []).encode()
    head = f"HTTP/1.1 200 OK\r\nx-nomad-index: 1\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()


@pytest.fixture
async def process(tmp_path, checkout, upstream) -> AsyncIterator:
    started: list[asyncio.subprocess.Process] = []
    async with contextlib.AsyncExitStack() as stack:

        async def start(behaviour):
            expert = await upstream(behaviour)
            nomad = await stack.enter_async_context(
                await asyncio.start_server(
                    lambda r, w: answer_catalogue(r, w, expert), "127.0.0.1", 0
                )
            )
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            address = f"http://127.0.0.1:{nomad.sockets[0].getsockname()[1]}"
            settings = settings_of(port=port, nomad_address=address)
            (tmp_path / "settings.json").write_text(settings.model_dump_json())
            (tmp_path / "secrets.json").write_text(secrets_text())
            process = await launch(checkout, tmp_path)
            started.append(process)
            url = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient() as client, asyncio.timeout(20):
                while True:
                    with contextlib.suppress(httpx.TransportError):
                        await client.get(f"{url}/health")
                        break
                    await asyncio.sleep(0.05)
            return process, url

        yield start
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.wait()


def secrets_text(**changes: object) -> str:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    keys = {"keys": [{"id": "k", "sha256": digest}], "upstream_key": UPSTREAM_KEY}
    return json.dumps(keys | changes)


async def launch(checkout, folder) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway"),
        *("--settings", str(folder / "settings.json"), "--secrets", str(folder / "secrets.json")),
        env=os.environ | {"PYTHONPATH": f"{checkout}:{checkout / 'images/base'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def test_a_signal_to_stop_lets_a_stream_end_refuses_new_clients_and_ends_with_0(process):
    more = asyncio.Event()
    gateway, url = await process(streams(*EVENTS, pause=more))
    headers = {"authorization": f"Bearer {KEY}"}
    question = {"messages": [], "stream": True}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers) as client,
        client.stream("POST", "/v1/chat/completions", json=question) as answer,
    ):
        pieces = answer.aiter_raw()
        assert await anext(pieces) == EVENTS[0]
        gateway.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while await accepts(url):
                await asyncio.sleep(0.02)
        assert gateway.returncode is None
        more.set()
        assert b"".join([piece async for piece in pieces]) == b"".join(EVENTS[1:])
    async with asyncio.timeout(10):
        output, errors = await gateway.communicate()
    assert gateway.returncode == 0
    assert b"status=200" in output
    for secret in (KEY, UPSTREAM_KEY):
        assert secret.encode() not in output + errors


async def test_an_idle_gateway_stops_within_moments(process):
    gateway, _ = await process(streams(*EVENTS))
    gateway.send_signal(signal.SIGINT)
    async with asyncio.timeout(5):
        assert await gateway.wait() == 0


async def test_wrong_documents_end_it_with_2_by_the_name_of_the_field_and_never_its_value(
    tmp_path, checkout
):
    (tmp_path / "settings.json").write_text(settings_of().model_dump_json())
    leak = "sk-should-never-be-shown"
    wrong = secrets_text(keys=[{"id": "k", "sha256": leak}], colour=leak)
    (tmp_path / "secrets.json").write_text(wrong)
    gateway = await launch(checkout, tmp_path)
    output, errors = await gateway.communicate()
    assert gateway.returncode == 2
    assert b"keys.0.sha256" in errors
    assert b"colour: Extra inputs are not permitted" in errors
    assert leak.encode() not in output + errors


async def accepts(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True
