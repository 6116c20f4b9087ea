"""Keys over HTTP: what they open, what they may use, and what is counted for them."""

import asyncio
import time

import pytest

from tests.gateway.fakes import answers, assert_idle, streams, until
from tests.gateway.raw import Raw, post

USED = b'{"usage": {"prompt_tokens": 10, "completion_tokens": 5}}'
EVENTS = [
    b'data: {"choices":[{}]}\n\n',
    b'data: {"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n',
]


@pytest.fixture
async def gateway(serve, upstream, catalogue, tmp_path):
    """One with keys of its own, whose experts answer with usage."""
    expert = await upstream(answers(body=USED))
    expert.props = {"total_slots": 8}
    catalogue.register("general", expert)
    catalogue.register("coder", await upstream(answers(body=USED)))
    made = await serve(
        data_dir=str(tmp_path), experts={"general": {"input_price": 2.0}, "coder": {}}
    )
    made.expert = expert
    return made


async def test_requests_beyond_the_rate_of_a_key_are_429_and_told_when_to_come(gateway):
    _, key = await gateway.new_key(rpm=3)
    statuses = []
    for left in (2, 1, 0):
        answer = await gateway.chat_with(key)
        statuses.append(answer.status_code)
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
    refused = await gateway.chat_with(key)
    assert statuses == [200, 200, 200]
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.json()["error"]["type"] == "requests"
    assert refused.headers["x-should-retry"] == "true"
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert (await gateway.chat()).status_code == 200
    assert "x-ratelimit-limit-requests" not in (await gateway.chat()).headers


async def test_tokens_beyond_the_rate_of_a_key_are_429(gateway):
    _, key = await gateway.new_key(tpm=1000)
    assert (await gateway.chat_with(key, max_tokens=900)).status_code == 200
    answer = await gateway.chat_with(key, max_tokens=1000)
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "tokens"
    # What was asked for and not used was given back.
    assert (await gateway.chat_with(key, max_tokens=900)).status_code == 200


async def test_requests_at_once_beyond_the_limit_of_a_key_are_429_until_one_ends(gateway):
    go = asyncio.Event()
    gateway.expert.behaviour = until(go, answers(body=USED))
    _, key = await gateway.new_key(concurrency=1)
    held = asyncio.create_task(gateway.chat_with(key))

    async def taken() -> bool:
        return len(gateway.expert.received) == 1

    await gateway.until(taken)
    assert (await gateway.chat_with(key)).status_code == 429
    go.set()
    assert (await held).status_code == 200
    assert (await gateway.chat_with(key)).status_code == 200
    held = await Raw.open(gateway)
    go.clear()
    await held.send(post(b"{}", key=key), pause_s=0.1)
    assert (await gateway.chat_with(key)).status_code == 429
    await held.close()
    await assert_idle(gateway)
    go.set()
    assert (await gateway.chat_with(key)).status_code == 200


@pytest.mark.parametrize("terms", [{"daily_tokens": 40}, {"budget": 0.00003}])
async def test_a_used_up_quota_is_429_and_not_to_be_tried_again(gateway, terms):
    _, key = await gateway.new_key(**terms)
    answers = [await gateway.chat_with(key) for _ in range(4)]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert answers[-1].json()["error"]["code"] == "insufficient_quota"
    assert answers[-1].headers["x-should-retry"] == "false"


async def test_a_key_for_some_models_sees_and_gets_no_others(gateway):
    _, key = await gateway.new_key(models=["coder"])
    headers = {"authorization": f"Bearer {key}"}
    listing = (await gateway.client.get("/v1/models", headers=headers)).json()
    assert [model["id"] for model in listing["data"]] == ["coder", "auto"]
    assert (await gateway.client.get("/v1/models/general", headers=headers)).status_code == 404
    assert (await gateway.client.get("/v1/models/coder", headers=headers)).status_code == 200
    answer = await gateway.chat_with(key)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert (await gateway.chat_with(key, model="coder")).status_code == 200
    chosen = await gateway.chat_with(key, model="auto")
    assert chosen.headers["x-hearth-expert"] == "coder"


async def test_a_key_for_some_endpoints_gets_403_at_the_others(gateway):
    _, key = await gateway.new_key(endpoints=["/v1/embeddings"])
    answer = await gateway.chat_with(key)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "endpoint_not_allowed"


@pytest.mark.parametrize("way", ["revoked", "expired", "rotated"])
async def test_a_key_that_ended_opens_nothing_within_a_second_on_a_connection_kept_alive(
    gateway, way
):
    key_id, key = await gateway.new_key(**({"expires_in_s": 1.0} if way == "expired" else {}))
    raw = await Raw.open(gateway)

    async def status() -> int:
        await raw.send(post(b"{}", key=key))
        return (await raw.answer()).status

    for _ in range(3):
        assert await status() == 200
    if way == "revoked":
        await gateway.admin("DELETE", f"/keys/{key_id}")
    elif way == "rotated":
        await gateway.admin("POST", f"/keys/{key_id}/rotate", {"overlap_s": 0})
    began = time.monotonic()
    while await status() == 200:
        await asyncio.sleep(0.02)
    assert time.monotonic() - began <= 1.2
    assert await status() == 401


async def test_a_key_revoked_by_another_process_opens_nothing_within_a_second(gateway):
    key_id, key = await gateway.new_key()
    assert (await gateway.chat_with(key)).status_code == 200
    # Past the gateway's own handler, as the store of another worker would.
    await asyncio.to_thread(gateway.core.access.store.revoke, key_id)
    began = time.monotonic()
    while (await gateway.chat_with(key)).status_code == 200:
        await asyncio.sleep(0.02)
    assert time.monotonic() - began <= 1.0


async def test_limits_that_change_hold_for_the_next_request_of_a_kept_connection(gateway):
    key_id, key = await gateway.new_key()
    raw = await Raw.open(gateway)
    await raw.send(post(b"{}", key=key))
    assert (await raw.answer()).status == 200
    await gateway.admin("PATCH", f"/keys/{key_id}", {"models": ["coder"]})
    await raw.send(post(b"{}", key=key))
    assert (await raw.answer()).status == 404


async def test_usage_counts_an_answer_a_stream_and_what_each_cost(gateway):
    key_id, key = await gateway.new_key()
    other, _ = await gateway.new_key()
    await gateway.chat_with(key)
    gateway.expert.behaviour = streams(*EVENTS)
    await gateway.chat_with(key, stream=True)
    usage = await gateway.usage(key=key_id)
    assert (usage["requests"], usage["prompt_tokens"], usage["completion_tokens"]) == (2, 17, 8)
    assert usage["cost"] == pytest.approx(17 * 2 / 1e6)
    assert usage["aborted"] == 0
    assert (await gateway.usage(key=other))["requests"] == 0


async def test_a_refused_request_costs_nothing(gateway):
    key_id, key = await gateway.new_key(tpm=100_000)
    gateway.expert.behaviour = answers(400, b'{"error": {"message": "no"}}')
    assert (await gateway.chat_with(key)).status_code == 400
    assert (await gateway.chat_with(key, model="none")).status_code == 404
    usage = await gateway.usage(key=key_id)
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (0, 0)
    gateway.expert.behaviour = answers(body=USED)
    answer = await gateway.chat_with(key)
    assert int(answer.headers["x-ratelimit-remaining-tokens"]) > 99_000
