"""The gateway as a process: exit codes, an end that cuts nobody off, several workers."""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.fakes import (
    EVENTS,
    KEY,
    UPSTREAM_KEY,
    Upstream,
    answers,
    settings_of,
    streams,
    until,
)

USED = b'{"usage": {"prompt_tokens": 10, "completion_tokens": 5}}'


@dataclass
class Running:
    """A gateway in a process of its own, and a client with a key."""

    process: asyncio.subprocess.Process
    url: str
    folder: Path
    expert: Upstream

    def client(self, key: str = KEY) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers={"authorization": f"Bearer {key}"})

    async def chat(self, client: httpx.AsyncClient, **fields: object) -> httpx.Response:
        body = {"model": "general", "messages": []} | fields
        return await client.post("/v1/chat/completions", json=body)

    async def admin(self, method: str, path: str, body: object = None) -> Any:
        key = (self.folder / "data/admin.key").read_text().strip()
        async with self.client(key) as client:
            answer = await client.request(method, f"/admin{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def usage(self) -> dict[str, Any]:
        return (await self.admin("GET", "/usage"))["total"]

    async def workers(self) -> list[int]:
        """The processes that serve."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = [int(pid) for pid in path.read_text().split()]
        return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


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


def free_port() -> int:
    """A port below those the kernel gives to outgoing connections, which might take it."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


async def is_up(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).status_code == 200
    except httpx.TransportError:
        return False


def secrets_text(**changes: object) -> str:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    keys = {"keys": [{"id": "k", "sha256": digest}], "upstream_key": UPSTREAM_KEY}
    return json.dumps(keys | changes)


async def launch(checkout, folder) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway"),
        *("--settings", str(folder / "settings.json"), "--secrets", str(folder / "secrets.json")),
        env=os.environ | {"PYTHONPATH": f"{checkout}:{checkout / 'images/base'}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


async def holds(check: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.05)


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


async def test_two_workers_both_answer_and_one_that_is_killed_is_replaced(run):
    gateway = await run(answers(body=USED), workers=2)
    await holds(lambda: serving(gateway, 2))
    before = await gateway.workers()
    os.kill(before[0], signal.SIGKILL)
    await holds(lambda: serving(gateway, 2, without=before[0]))

    async def answers_again() -> bool:
        async with gateway.client() as client:
            return (await gateway.chat(client)).status_code == 200

    for _ in range(20):
        assert await answers_again()
    gateway.process.send_signal(signal.SIGTERM)
    output, errors = await asyncio.wait_for(gateway.process.communicate(), 15)
    assert gateway.process.returncode == 0, errors
    assert b"starting another" in output
    for secret in (KEY, UPSTREAM_KEY):
        assert secret.encode() not in output + errors


async def serving(gateway: Running, count: int, without: int = 0) -> bool:
    """Whether so many workers listen: each holds the data folder's table of limits."""
    table = str(gateway.folder / "data/limits")
    found = 0
    for pid in await gateway.workers():
        with contextlib.suppress(OSError):
            found += table in Path(f"/proc/{pid}/maps").read_text()
    return found == count and without not in await gateway.workers()


async def test_limits_hold_and_usage_adds_up_across_workers(run):
    gateway = await run(answers(body=USED), workers=2)
    await holds(lambda: serving(gateway, 2))
    await asyncio.sleep(0.5)
    limited = (await gateway.admin("POST", "/keys", {"name": "a", "rpm": 20}))["key"]
    await asyncio.sleep(1)

    async def ask(key: str) -> int:
        async with gateway.client(key) as client:
            return (await gateway.chat(client)).status_code

    statuses = Counter(await asyncio.gather(*(ask(limited) for _ in range(60))))
    # One more may have been let through for every three seconds this took.
    assert statuses.keys() == {200, 429}
    assert 20 <= statuses[200] <= 23
    free = Counter(await asyncio.gather(*(ask(KEY) for _ in range(40))))
    assert free == {200: 40}
    used = [pid for pid in await gateway.workers() if await handled(gateway, pid)]
    assert len(used) == 2
    await holds(lambda: adds_up(gateway, statuses[200] + 40))


async def test_whichever_worker_is_asked_shows_the_figures_of_all_even_of_one_that_died(run):
    gateway = await run(answers(body=USED), workers=2)
    await holds(lambda: serving(gateway, 2))

    async def ask() -> int:
        async with gateway.client() as client:
            return (await gateway.chat(client)).status_code

    async def shown() -> set[int]:
        """What a number of fresh connections, and so both workers, say of the answered."""
        seen = set()
        for _ in range(12):
            async with gateway.client() as client:
                text = (await client.get("/metrics")).text
                page = (await client.get("/status.json")).json()
            found = re.search(r'requests_total\{expert="general",status="200"\} (\d+)', text)
            seen.add(int(found[1]) if found else 0)
            seen.add(page["experts"][0]["requests"])
            assert page["workers"] == 2
        return seen

    async def shows(count: int) -> bool:
        return await shown() == {count}

    asked = 0
    while len([pid for pid in await gateway.workers() if await handled(gateway, pid)]) < 2:
        assert asked < 1000  # the kernel gives both of them connections
        assert set(await asyncio.gather(*(ask() for _ in range(40)))) == {200}
        asked += 40
    await holds(lambda: shows(asked))
    before = await gateway.workers()
    os.kill(before[0], signal.SIGKILL)
    await holds(lambda: serving(gateway, 2, without=before[0]))
    await holds(lambda: shows(asked))


async def handled(gateway: Running, pid: int) -> bool:
    """Whether a worker has a ledger with anything in it."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    names = {line.split()[-1] for line in maps.splitlines() if line.endswith(".ledger")}
    return any(Path(name).read_bytes()[160:].strip(b"\0") for name in names)


async def adds_up(gateway: Running, count: int) -> bool:
    usage = await gateway.usage()
    assert usage["requests"] <= count
    return (usage["requests"], usage["prompt_tokens"]) == (count, 10 * count)


async def admin_when_ready(gateway: Running, method: str, path: str, body: object) -> Any:
    return await gateway.admin(method, path, body)


async def test_requests_at_once_are_counted_across_workers(run):
    go = asyncio.Event()
    gateway = await run(until(go, answers(body=USED)), workers=2)
    await holds(lambda: serving(gateway, 2))
    await asyncio.sleep(0.5)
    key = (await gateway.admin("POST", "/keys", {"name": "a", "concurrency": 3}))["key"]
    await asyncio.sleep(1)

    async def ask() -> int:
        async with gateway.client(key) as client:
            return (await gateway.chat(client)).status_code

    tasks = [asyncio.create_task(ask()) for _ in range(20)]
    await asyncio.wait(tasks, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.5)
    refused = [task for task in tasks if task.done()]
    assert {task.result() for task in refused} == {429}
    assert len(gateway.expert.received) == 3
    go.set()
    assert Counter(await asyncio.gather(*tasks)) == {200: 3, 429: 17}
    assert await ask() == 200


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
