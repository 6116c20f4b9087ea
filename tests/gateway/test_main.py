"""The gateway as a process: exit codes, an end that cuts nobody off, usage that outlives it."""

import asyncio
import json
import signal
import socket

import pytest

from tests.gateway.fakes import (
    EVENTS,
    KEY,
    UPSTREAM_KEY,
    answers,
    settings_of,
    streams,
)
from tests.gateway.running import holds, is_up, launch, secrets_text
from tests.ports import free_port

USED = b'{"usage": {"prompt_tokens": 10, "completion_tokens": 5}}'


async def test_a_signal_to_stop_lets_a_stream_end_refuses_new_clients_and_ends_with_0(run):
    more = asyncio.Event()
    gateway = await run(streams(*EVENTS, pause=more))
    question = {"messages": [], "stream": True}
    async with (
        gateway.client() as client,
        client.stream("POST", "/v1/chat/completions", json=question) as answer,
    ):
        pieces = answer.aiter_raw()
        assert await anext(pieces) == EVENTS[0]
        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while await accepts(gateway.url):
                await asyncio.sleep(0.02)
        assert gateway.process.returncode is None
        more.set()
        assert b"".join([piece async for piece in pieces]) == b"".join(EVENTS[1:])
    async with asyncio.timeout(10):
        output, errors = await gateway.process.communicate()
    assert gateway.process.returncode == 0
    records = [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]
    assert [(one["status"], one["outcome"], one["key"]) for one in records] == [(200, "ok", "k")]
    for secret in (KEY, UPSTREAM_KEY):
        assert secret.encode() not in output + errors


async def test_an_idle_gateway_stops_within_moments(run):
    gateway = await run(streams(*EVENTS))
    gateway.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(5):
        assert await gateway.process.wait() == 0


async def test_a_stream_that_outlasts_the_patience_ends_with_an_error_event(run):
    gateway = await run(streams(*EVENTS, pause=asyncio.Event()), timeouts={"drain_s": 0.6})
    async with gateway.client() as client:
        asking = asyncio.create_task(gateway.chat(client, stream=True))
        await holds(lambda: asyncio.sleep(0, bool(gateway.expert.received)))
        await asyncio.sleep(0.2)
        gateway.process.send_signal(signal.SIGTERM)
        answer = await asyncio.wait_for(asking, 5)
    assert answer.content.startswith(EVENTS[0])
    assert b"gateway_restarting" in answer.content
    assert await asyncio.wait_for(gateway.process.wait(), 5) == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_port_that_is_taken_ends_it_with_1(tmp_path, checkout, workers):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = settings_of(port=taken.getsockname()[1], workers=workers)
        (tmp_path / "settings.json").write_text(settings.model_dump_json())
        (tmp_path / "secrets.json").write_text(secrets_text())
        gateway = await launch(checkout, tmp_path)
        output, errors = await asyncio.wait_for(gateway.communicate(), 20)
    assert gateway.returncode == 1
    assert b"address already in use" in (output + errors).lower()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_data_folder_that_cannot_be_had_ends_it_with_one_line(tmp_path, checkout, workers):
    (tmp_path / "file").write_bytes(b"")
    settings = settings_of(port=free_port(), workers=workers, data_dir=str(tmp_path / "file/data"))
    (tmp_path / "settings.json").write_text(settings.model_dump_json())
    (tmp_path / "secrets.json").write_text(secrets_text())
    gateway = await launch(checkout, tmp_path)
    output, errors = await asyncio.wait_for(gateway.communicate(), 20)
    assert gateway.returncode == 1
    assert errors.decode() == (
        f"gateway: data_dir {tmp_path / 'file/data'} cannot be made: Not a directory.\n"
    )
    assert b"Traceback" not in output


async def test_usage_of_answers_streams_and_aborted_streams_outlives_a_kill(run, checkout):
    gateway = await run(answers(body=USED))
    async with gateway.client() as client:
        await gateway.chat(client)
        gateway.expert.behaviour = streams(b"data: " + USED + b"\n\n")
        await gateway.chat(client, stream=True)
        gateway.expert.behaviour = streams(*EVENTS, pause=asyncio.Event())
        question = {"messages": [], "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=question) as answer:
            await anext(answer.aiter_raw())
    await asyncio.wait_for(gateway.expert.gone.wait(), 2)
    gateway.expert.gone.clear()
    await asyncio.sleep(0.1)
    before = await gateway.usage()
    assert (before["requests"], before["aborted"]) == (3, 1)
    assert before["completion_tokens"] >= 10
    gateway.expert.behaviour = answers(body=USED)
    async with gateway.client() as client:
        assert (await gateway.chat(client)).status_code == 200
        await asyncio.sleep(0.1)  # it counts right behind the last byte
        gateway.process.kill()
    await gateway.process.wait()
    again = await launch(checkout, gateway.folder)
    try:
        async with gateway.client() as client:
            await holds(lambda: is_up(client))
        after = await gateway.usage()
    finally:
        again.kill()
        await again.wait()
    assert after["requests"] == 4
    assert after["prompt_tokens"] == before["prompt_tokens"] + 10


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
