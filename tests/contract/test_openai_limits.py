"""Keys with limits, as the official SDK lives with them: what it waits for and what it gives up."""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest

from tests.contract.clients import HELLO, Attempts, openai_of
from tests.contract.fake_expert import chat_answer, say
from tests.contract.processes import KEY

pytestmark = pytest.mark.service


async def answers(asked, writer):
    await say(writer, 200, chat_answer("ok"))


def ask(client, **more):
    return client.chat.completions.with_raw_response.create(model="general", messages=HELLO, **more)


@contextlib.contextmanager
def counted(gateway, key, retries):
    attempts = Attempts()
    http = httpx2.Client(event_hooks={"request": [attempts.hook]})
    with openai_of(gateway, key, max_retries=retries, http_client=http) as client:
        yield client, attempts


def test_the_headers_say_what_is_left(fake_behind):
    gateway, _ = fake_behind(answers)
    _, key = gateway.new_key("limited", rpm=10, tpm=10_000)
    with openai_of(gateway, key) as client:
        first, second = ask(client, max_tokens=7), ask(client, max_tokens=7)
    assert first.headers["x-ratelimit-limit-requests"] == "10"
    assert first.headers["x-ratelimit-limit-tokens"] == "10000"
    left = [int(one.headers["x-ratelimit-remaining-requests"]) for one in (first, second)]
    assert left == [9, 8]
    assert int(second.headers["x-ratelimit-remaining-tokens"]) < 10_000
    assert second.headers["x-ratelimit-reset-requests"].endswith("s")


def test_a_key_without_limits_gets_no_such_headers(fake_behind):
    gateway, _ = fake_behind(answers)
    with openai_of(gateway) as client:
        assert not [name for name in ask(client).headers if name.startswith("x-ratelimit")]


def test_the_sdk_waits_as_long_as_it_is_told_and_then_succeeds(fake_behind):
    gateway, _ = fake_behind(answers)
    _, key = gateway.new_key("limited", rpm=60)
    with openai_of(gateway, key) as client:
        for _ in range(60):
            with contextlib.suppress(openai.RateLimitError):
                ask(client)
    with counted(gateway, key, 2) as (client, attempts):
        began = time.monotonic()
        ask(client)
        ask(client)
        took = time.monotonic() - began
    assert attempts.count in (3, 4)
    assert 0.5 < took < 4


def test_a_limit_is_a_rate_limit_error_that_says_when_to_come_again(fake_behind):
    gateway, _ = fake_behind(answers)
    _, key = gateway.new_key("limited", rpm=1)
    with openai_of(gateway, key) as client:
        ask(client)
        with pytest.raises(openai.RateLimitError) as caught:
            ask(client)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.type == "requests"
    headers = caught.value.response.headers
    assert headers["x-should-retry"] == "true"
    assert 0 < int(headers["retry-after"]) <= 60
    assert 0 < int(headers["retry-after-ms"]) <= 60_000
    assert headers["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize("limit", [{"daily_tokens": 5}, {"budget": 0}, {"tpm": 5}])
def test_what_no_wait_restores_is_tried_once(fake_behind, limit):
    gateway, _ = fake_behind(answers)
    _, key = gateway.new_key("limited", **limit)
    with (
        counted(gateway, key, 3) as (client, attempts),
        pytest.raises(openai.RateLimitError) as caught,
    ):
        ask(client, max_tokens=50)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert attempts.count == 1


def test_a_full_queue_is_a_rate_limit_error_the_sdk_waits_for(fake_behind):
    async def slow(asked, writer):
        await asyncio.sleep(0.6)
        await say(writer, 200, chat_answer("ok"))

    gateway, expert = fake_behind(slow, admission={"queue_length": 0})
    expert.slots = 1
    with counted(gateway, KEY, 5) as (client, attempts), ThreadPoolExecutor(12) as pool:
        answers_ = list(pool.map(lambda _: ask(client), range(12)))
    assert len(answers_) == 12
    assert attempts.count > 12


def test_a_revoked_key_opens_nothing_at_once(fake_behind):
    gateway, _ = fake_behind(answers)
    key_id, key = gateway.new_key("short-lived")
    with openai_of(gateway, key) as client:
        ask(client)
        gateway.admin("DELETE", f"/keys/{key_id}")
        with pytest.raises(openai.AuthenticationError):
            ask(client)


def test_usage_is_what_the_answers_said(fake_behind):
    gateway, _ = fake_behind(answers)
    key_id, key = gateway.new_key("counted")
    with openai_of(gateway, key) as client:
        for _ in range(7):
            ask(client)
    used = gateway.usage(key_id)
    assert (used["requests"], used["prompt_tokens"], used["completion_tokens"]) == (7, 35, 21)
