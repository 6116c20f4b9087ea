"""Several processes behind one port: what they share, and what one's death costs."""

import asyncio
import contextlib
import os
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from tests.gateway.fakes import KEY, UPSTREAM_KEY, answers, until
from tests.gateway.running import Running, holds

USED = b'{"usage": {"prompt_tokens": 10, "completion_tokens": 5}}'


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
