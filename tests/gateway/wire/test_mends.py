"""What the gateway changes on the way, and that it changes nothing else."""

import asyncio
import json

import pytest

from tests.gateway.fakes import UPSTREAM_KEY, answers, chunk, head, streams, writes
from tests.gateway.raw import Raw, post

CALLS = [{"index": n, "id": str(n), "function": {"name": "f"}} for n in range(2)]
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]


def event(document: object) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def delta(**fields: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": fields}]})


DONE = b"data: [DONE]\n\n"
USAGE = event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 2}})
LLAMA = {"total_slots": 4}


@pytest.mark.parametrize(
    ("path", "tools", "choice", "sent"),
    [
        (
            "/v1/chat/completions",
            TOOLS,
            {"type": "function", "function": {"name": "b"}},
            "required",
        ),
        (
            "/v1/responses",
            [{"type": "function", "name": name} for name in ("a", "b")],
            {"type": "function", "name": "b"},
            "required",
        ),
        (
            "/v1/messages",
            [{"name": name} for name in ("a", "b")],
            {"type": "tool", "name": "b"},
            {"type": "any", "name": "b"},
        ),
    ],
)
async def test_a_named_tool_choice_reaches_the_expert_as_any_tool_of_that_one(
    serve, upstream, catalogue, path, tools, choice, sent
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    body = {"messages": [], "tools": tools, "tool_choice": choice, "temperature": 0.5}
    assert (await gateway.client.post(path, json=body)).status_code == 200
    received = json.loads(expert.received[0].body)
    assert received == body | {"tools": tools[1:], "tool_choice": sent}


async def test_of_two_calls_in_an_answer_one_is_left_when_one_was_asked_for(
    serve, upstream, catalogue
):
    two = json.dumps({"choices": [{"message": {"tool_calls": CALLS}}]}).encode()
    catalogue.register("general", await upstream(answers(body=two)))
    gateway = await serve()
    answer = await gateway.chat(tools=TOOLS, parallel_tool_calls=False)
    assert answer.json()["choices"][0]["message"]["tool_calls"] == CALLS[:1]
    assert (await gateway.chat(tools=TOOLS, parallel_tool_calls=True)).content == two
    assert (await gateway.chat(tools=TOOLS)).content == two


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_of_two_streamed_calls_one_is_left_however_the_stream_is_cut(
    serve, upstream, catalogue, size
):
    text = delta(tool_calls=CALLS[:1]) + delta(tool_calls=CALLS[1:]) + delta(content="x") + DONE
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    expert = await upstream(streams(*pieces))
    expert.props = LLAMA
    catalogue.register("general", expert)
    gateway = await serve()
    answer = await gateway.chat(stream=True, tools=TOOLS, parallel_tool_calls=False)
    assert answer.content == (delta(tool_calls=CALLS[:1]) + delta() + delta(content="x") + DONE)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
async def test_a_server_that_does_not_count_is_asked_to_and_the_client_does_not_see_it(
    serve, upstream, catalogue, size, end
):
    seen = (delta(content="a") + delta(content="b")).replace(b"\n\n", end)
    text = seen + (USAGE + DONE).replace(b"\n\n", end)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    expert = await upstream(streams(*pieces))
    catalogue.register("general", expert)
    gateway = await serve()
    answer = await gateway.chat(stream=True)
    assert answer.content == seen + DONE.replace(b"\n\n", end)
    assert json.loads(expert.received[0].body)["stream_options"] == {"include_usage": True}
    name = 'hearth_gateway_prompt_tokens_total{expert="general"}'
    assert await gateway.metric(name) == "11"
    asked = await gateway.chat(stream=True, stream_options={"include_usage": True})
    assert asked.content == text


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_the_stream_of_a_llama_server_passes_untouched_and_is_counted_by_its_timings(
    serve, upstream, catalogue, size
):
    last = event({"choices": [], "timings": {"prompt_n": 4, "cache_n": 5, "predicted_n": 3}})
    text = delta(content="a") + last + DONE
    expert = await upstream(streams(*[text[at : at + size] for at in range(0, len(text), size)]))
    expert.props = LLAMA
    catalogue.register("general", expert)
    gateway = await serve()
    body = b'{"stream": true,  "messages": []}'
    answer = await gateway.client.post("/v1/chat/completions", content=body)
    assert answer.content == text
    assert expert.received[0].body == body
    counts = [
        await gateway.metric(f'hearth_gateway_{name}_tokens_total{{expert="general"}}')
        for name in ("prompt", "cached", "completion")
    ]
    assert counts == ["9", "5", "3"]


async def test_events_whose_end_comes_in_a_chunk_of_its_own_are_not_held_back(
    serve, upstream, catalogue
):
    start = head(200, "text/event-stream", "transfer-encoding: chunked")
    parts = chunk(b"data: 1\n") + chunk(b"\n")
    expert = await upstream(writes(start + parts, hold=True))
    expert.props = LLAMA
    catalogue.register("general", expert)
    gateway = await serve()
    raw = await Raw.open(gateway)
    await raw.send(post(b'{"stream": true}'))
    await raw.reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(2):
        assert await raw.reader.readexactly(len(parts)) == parts


async def test_a_server_hears_the_model_by_its_own_name_and_the_rest_as_it_was(serve, upstream):
    expert = await upstream()
    url = f"http://127.0.0.1:{expert.port}/v1"
    gateway = await serve(
        experts={"general": {"upstreams": [{"url": url, "model": "org/model", "slots": 3}]}},
        aliases={},
    )
    body = b'{ "temperature": 1.50, "model": "general",  "messages": [ ] }'
    answer = await gateway.client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 200
    received = expert.received[0]
    assert json.loads(received.body) == json.loads(body) | {"model": "org/model"}
    assert b"1.50" in received.body
    assert received.path == "/v1/chat/completions"
    assert gateway.core.fleet.of("general")[0].slots == 3


async def test_an_expert_gets_its_key_the_id_and_the_trace_and_no_header_else(
    serve, upstream, catalogue
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await gateway.client.post(
        "/v1/chat/completions",
        json={},
        headers={
            "x-request-id": "mine-1",
            "traceparent": trace,
            "x-conversation-id": "1",
            "cookie": "a=b",
            "accept-encoding": "gzip",
        },
    )
    assert answer.headers["x-request-id"] == "mine-1"
    seen = expert.received[0].headers
    assert seen.keys() == {
        *("host", "accept-encoding", "user-agent", "authorization", "content-type"),
        *("x-request-id", "traceparent", "content-length"),
    }
    assert seen["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert seen["accept-encoding"] == "identity"
    assert seen["x-request-id"] == "mine-1"
    assert seen["traceparent"].split("-")[1] == trace.split("-")[1]
    assert seen["traceparent"] != trace


async def test_headers_that_are_the_experts_own_affair_stop_at_the_gateway(
    serve, upstream, catalogue
):
    lines = ("server: llama.cpp", "set-cookie: a=b", "access-control-allow-origin: *", "x-ok: 1")
    start = head(200, "application/json", "content-length: 2", "x-hearth-expert: fake", *lines)
    catalogue.register("general", await upstream(writes(start + b"{}")))
    gateway = await serve()
    answer = await gateway.chat()
    assert answer.headers["x-ok"] == "1"
    assert answer.headers["x-hearth-expert"] == "general"
    assert not {"server", "set-cookie", "access-control-allow-origin"} & answer.headers.keys()


async def test_a_request_a_rule_keeps_to_one_expert_never_goes_to_its_fallback(
    serve, upstream, catalogue
):
    other = await upstream()
    catalogue.register("coder", other)
    secret = {"contains": ["confidential"]}
    gateway = await serve(
        experts={"general": {"fallbacks": ["coder"]}, "coder": {}},
        routing={
            "rules": [{"name": "secret", "when": secret, "expert": "general", "fail": "closed"}]
        },
    )
    messages = [{"role": "user", "content": "this is confidential"}]
    assert (await gateway.chat(model="auto", messages=messages)).status_code == 503
    assert other.received == []
    open_question = [{"role": "user", "content": "hello"}]
    assert (await gateway.chat(model="auto", messages=open_question)).status_code == 200
