"""Keys on a stack that Pulumi brought up: made, limited, revoked, and still there after a crash."""

import json
import os
import signal
import time

import openai
import pytest
from sandbox import Sandbox

HI = [{"role": "user", "content": "hi"}]


def client_of(up: Sandbox, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=up.outputs()["gateway-url"], api_key=key, max_retries=0)


def made(up: Sandbox, name: str, *options: str) -> tuple[str, str]:
    """Id and text of a new key."""
    done = up.hearth("keys", "create", name, *options)
    assert done.returncode == 0, done.stderr
    text = done.stdout.strip().splitlines()[-1]
    return text.removeprefix("sk-hearth-")[:8], text


def test_a_key_is_limited_counted_and_gone_within_a_second_of_its_revocation(up: Sandbox) -> None:
    key_id, text = made(up, "laptop", "--rpm", "2")
    client = client_of(up, text)
    for _ in range(2):
        client.chat.completions.create(model="general", messages=HI)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="general", messages=HI)
    usage = up.hearth("keys", "usage", "--key", key_id, "--json")
    assert json.loads(usage.stdout)["total"]["requests"] == 2
    assert up.hearth("keys", "revoke", key_id, "--yes").returncode == 0
    time.sleep(1)
    with pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_keys_and_usage_outlive_a_gateway_that_was_killed(up: Sandbox) -> None:
    key_id, text = made(up, "server")
    client = client_of(up, text)
    answer = client.chat.completions.create(model="general", messages=HI)
    assert answer.usage is not None
    for pid in up.processes():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"\0-m\0gateway\0" in file.read():
                os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        try:
            client.models.list()
            break
        except openai.APIConnectionError:
            assert time.monotonic() < deadline, "the gateway did not come back"
            time.sleep(0.2)
    wanted = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    found = None
    while found != wanted and time.monotonic() < deadline:
        shown = up.hearth("keys", "usage", "--key", key_id, "--json")
        total = json.loads(shown.stdout)["total"]
        found = (total["prompt_tokens"], total["completion_tokens"])
    assert found == wanted


def test_no_key_is_shown_again_and_none_reaches_state_or_jobs(up: Sandbox) -> None:
    key_id, text = made(up, "secret")
    shown = up.hearth("keys", "list").stdout + up.hearth("keys", "show", key_id).stdout
    assert key_id in shown
    assert text not in shown
    found = [
        file
        for file in (up.root / ".hearth").rglob("*")
        if file.is_file() and text.encode() in file.read_bytes()
    ]
    assert found == []
