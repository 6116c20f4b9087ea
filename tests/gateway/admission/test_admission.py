"""Full slots, over HTTP: who waits, in which order, how long, and what the others are told."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.gateway.fakes import KEY, answers, assert_idle, until


@pytest.fixture
async def full(serve, upstream, catalogue):
    """A gateway whose one slot is taken until ``go`` is set, and how to serve its settings."""

    async def start(**settings: object):
        go = asyncio.Event()
        expert = await upstream(until(go, answers()))
        expert.props = {"total_slots": 1}
        catalogue.register("general", expert)
        gateway = await serve(**settings)
        held = asyncio.create_task(gateway.chat(n=-1))
        await gateway.until(lambda: received(expert, 1))
        return gateway, expert, go, held

    return start


async def received(expert, count: int) -> bool:
    return len(expert.received) == count


async def queued(gateway, count: int, *tasks: asyncio.Task) -> None:
    async def check() -> bool:
        return gateway.core.waiting.length("general") == count

    await gateway.until(check)


async def line(gateway, key: str | None = None) -> list[dict[str, Any]]:
    """Who waits, as the status shows it to someone on this machine or to a key."""
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        answer = await client.get("/status.json", headers=headers)
    return answer.json()["experts"][0]["queue"]


async def test_a_request_waits_for_a_slot_and_is_served_when_one_comes_free(full):
    gateway, expert, go, held = await full()
    waiting = asyncio.create_task(gateway.chat())
    await queued(gateway, 1)
    assert await gateway.metric('hearth_gateway_waiting{expert="general"}') == "1"
    assert len(expert.received) == 1
    go.set()
    assert [(await held).status_code, (await waiting).status_code] == [200, 200]
    assert "x-hearth-queued-ms" not in held.result().headers
    assert int(waiting.result().headers["x-hearth-queued-ms"]) >= 0
    assert await gateway.metric('hearth_gateway_queue_seconds_count{expert="general"}') == "1"
    await assert_idle(gateway)


async def test_keys_take_turns_and_priorities_go_first(full, tmp_path):
    gateway, expert, go, held = await full(data_dir=str(tmp_path))
    busy_id, busy = await gateway.new_key()
    other_id, other = await gateway.new_key()
    high_id, high = await gateway.new_key(priority="high")
    low_id, low = await gateway.new_key(priority="low")
    order = [(low, 0), (busy, 1), (busy, 2), (busy, 3), (other, 4), (other, 5), (high, 6)]
    tasks = []
    for place, (key, number) in enumerate(order):
        tasks.append(asyncio.create_task(gateway.chat_with(key, n=number)))
        await queued(gateway, place + 1)
    shown = await line(gateway)
    assert [one["position"] for one in shown] == [1, 2, 3, 4, 5, 6, 7]
    etas = [one["eta_s"] for one in shown]
    assert etas == sorted(etas)
    names = {busy_id: "busy", other_id: "other", high_id: "high", low_id: "low"}
    assert [names[one["key"]] for one in shown] == [
        *("high", "busy", "other", "busy", "other", "busy", "low"),
    ]
    assert [one["position"] for one in await line(gateway, other)] == [3, 5]
    go.set()
    assert {answer.status_code for answer in await asyncio.gather(held, *tasks)} == {200}
    served = [json.loads(one.body)["n"] for one in expert.received]
    assert served == [-1, 6, 1, 4, 2, 5, 3, 0]
    await assert_idle(gateway)


@pytest.mark.parametrize("bound", ["queue_length", "queue_length_per_key"])
async def test_when_the_queue_is_full_the_next_is_told_when_to_come_again(full, bound):
    gateway, expert, go, held = await full(admission={bound: 1})
    waiting = asyncio.create_task(gateway.chat())
    await queued(gateway, 1)
    answer = await gateway.chat()
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "queue_full"
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert answer.headers["x-should-retry"] == "true"
    assert int(answer.headers["retry-after"]) >= 1
    assert 1 <= int(answer.headers["retry-after-ms"]) <= 60_000
    go.set()
    assert [(await held).status_code, (await waiting).status_code] == [200, 200]
    assert "x-hearth-queued-ms" not in held.result().headers
    assert int(waiting.result().headers["x-hearth-queued-ms"]) >= 0
    assert len(expert.received) == 2
    await assert_idle(gateway)


async def test_the_limit_of_one_key_leaves_room_for_the_others(full, tmp_path):
    gateway, _, go, held = await full(admission={"queue_length_per_key": 1}, data_dir=str(tmp_path))
    _, other = await gateway.new_key()
    first = asyncio.create_task(gateway.chat())
    await queued(gateway, 1)
    assert (await gateway.chat()).status_code == 429
    second = asyncio.create_task(gateway.chat_with(other))
    await queued(gateway, 2)
    go.set()
    assert {a.status_code for a in await asyncio.gather(held, first, second)} == {200}


async def test_who_waits_too_long_is_told_so(full):
    gateway, expert, go, held = await full(admission={"queue_wait_s": 0.3})
    answer = await gateway.chat()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "queue_timeout"
    assert answer.headers["x-should-retry"] == "true"
    go.set()
    assert (await held).status_code == 200
    assert len(expert.received) == 1
    await assert_idle(gateway)


async def test_who_waits_too_long_goes_to_the_fallback(full, upstream, catalogue):
    catalogue.register("coder", await upstream())
    gateway, _, go, held = await full(
        admission={"queue_wait_s": 0.3},
        experts={"general": {"fallbacks": ["coder"]}, "coder": {}},
    )
    answer = await gateway.chat()
    assert answer.status_code == 200
    assert answer.headers["x-hearth-expert"] == "coder"
    go.set()
    await held
    await assert_idle(gateway)


async def test_another_expert_is_not_held_up(full, upstream, catalogue):
    catalogue.register("coder", await upstream())
    gateway, _, go, held = await full()
    waiting = asyncio.create_task(gateway.chat())
    await queued(gateway, 1)
    assert (await gateway.chat(model="coder")).status_code == 200
    go.set()
    await asyncio.gather(held, waiting)


async def test_a_replica_that_comes_takes_those_who_wait(full, upstream, catalogue):
    gateway, expert, go, held = await full()
    waiting = asyncio.create_task(gateway.chat())
    await queued(gateway, 1)
    catalogue.register("general", expert, await upstream())
    assert (await asyncio.wait_for(waiting, 3)).status_code == 200
    go.set()
    await held
    await assert_idle(gateway)


async def test_a_request_waits_for_a_replica_that_comes_back_and_not_for_ever(
    serve, upstream, catalogue
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve(probe_interval_s=60, admission={"restart_wait_s": 2})
    await expert.stop()
    assert (await gateway.chat()).status_code == 503
    asking = asyncio.create_task(gateway.chat())
    await asyncio.sleep(0.1)
    await expert.start()
    assert (await asking).status_code == 200
    await assert_idle(gateway)


async def test_hundreds_of_requests_of_many_keys_over_few_slots_are_all_served(
    serve, upstream, catalogue, tmp_path
):
    replicas = [await upstream(answers(keep=True)), await upstream(answers(keep=True))]
    for replica in replicas:
        replica.props = {"total_slots": 2}
    catalogue.register("general", *replicas)
    gateway = await serve(data_dir=str(tmp_path))
    keys = [KEY, *[(await gateway.new_key())[1] for _ in range(3)]]
    asked = [
        gateway.chat_with(keys[number % 4], messages=[{"role": "user", "content": str(number)}])
        for number in range(200)
    ]
    results = await asyncio.gather(*asked)
    assert {answer.status_code for answer in results} == {200}
    assert sum(len(replica.received) for replica in replicas) == 200
    await assert_idle(gateway)
