"""What llama-server says is what the client reads, byte for byte: once against the wire between the
two, once against an answer that was asked for without the gateway.
"""

import json
import re

import httpx
import pytest

from tests.contract.clients import HELLO, tool
from tests.contract.processes import KEY

pytestmark = pytest.mark.live

COLD = {"temperature": 0, "seed": 1, "cache_prompt": False, "messages": HELLO, "max_tokens": 24}
VARYING = re.compile(
    rb'"id":"[^"]*"|"created(_at)?":\d+|"[a-z_]+_(ms|second)":[-+.e\d]+|"(item_)?id":"[^"]*"'
)
ODD = [{"role": "user", "content": 'ñandú "日本語" \\ \u2028 \x7f'}]
ASKED = {
    "a chat": ("/v1/chat/completions", COLD),
    "odd text": ("/v1/chat/completions", {**COLD, "messages": ODD, "logprobs": True}),
    "a tool": ("/v1/chat/completions", {**COLD, "tools": [tool("time")], "max_tokens": 60}),
    "a completion": ("/v1/completions", {**COLD, "prompt": "the fox"}),
    "a response": ("/v1/responses", {**COLD, "input": "the fox"}),
    "a message": ("/v1/messages", COLD),
    "a count": ("/v1/messages/count_tokens", COLD),
}
STREAMED = [name for name in ASKED if name != "a count"]


def ask(url: str, path: str, body: object, key: str = KEY) -> httpx.Response:
    return httpx.post(
        f"{url}{path}",
        content=json.dumps(body, ensure_ascii=False).encode(),
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
        timeout=30,
    )


def same(text: bytes) -> bytes:
    return VARYING.sub(b"*", text)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", STREAMED)
def test_not_a_byte_of_an_answer_is_changed(gateway, tee, name, streaming):
    path, body = ASKED[name]
    tee.forget()
    answer = ask(gateway.url, path, {**body, "model": "tee", "stream": streaming})
    assert answer.status_code == 200
    assert answer.content
    assert answer.content in tee.bodies()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", STREAMED)
def test_an_answer_equals_that_of_the_server_itself(gateway, llama, name, streaming):
    path, body = ASKED[name]
    body = {**body, "model": "general", "stream": streaming}
    direct, through = ask(llama["general"].url, path, body), ask(gateway.url, path, body)
    assert direct.status_code == through.status_code == 200
    assert same(through.content) == same(direct.content)
    assert through.headers["content-type"] == direct.headers["content-type"]


def test_a_count_of_tokens_equals_that_of_the_server_itself(gateway, llama):
    path, body = ASKED["a count"]
    body = {**body, "model": "general"}
    direct, through = ask(llama["general"].url, path, body), ask(gateway.url, path, body)
    assert through.content == direct.content


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_equal_those_of_the_server_itself(gateway, llama, form):
    body = {"model": "embed", "input": ["fox", "lazy dog"], "encoding_format": form}
    direct = ask(llama["embed"].url, "/v1/embeddings", body)
    through = ask(gateway.url, "/v1/embeddings", body)
    assert through.status_code == 200
    assert through.content == direct.content


def test_a_ranking_equals_that_of_the_server_itself(gateway, llama):
    body = {"model": "rerank", "query": "fox", "documents": ["lazy dog", "fox", ""]}
    direct = ask(llama["rerank"].url, "/v1/rerank", body)
    through = ask(gateway.url, "/v1/rerank", body)
    assert through.status_code == 200
    assert through.content == direct.content


def test_a_body_of_a_megabyte_arrives_whole(gateway, llama):
    body = {"input": "z", "model": "embed", "ignored": "é" * 400_000}
    through = ask(gateway.url, "/v1/embeddings", body)
    direct = ask(llama["embed"].url, "/v1/embeddings", body)
    assert through.status_code == 200
    assert through.content == direct.content
