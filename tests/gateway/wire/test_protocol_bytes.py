"""Requests byte by byte: however a client cuts, repeats, chunks or garbles them."""

import asyncio
import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.request.endpoints import ENDPOINTS
from gateway.request.head import Repeat, RequestHead
from tests.gateway.fakes import ANSWER, EVENTS, KEY, answers, assert_idle, streams, until
from tests.gateway.raw import Raw, post

BODY = b'{ "model":"general",\n "messages":[{"role":"user","content":"\xe2\x82\xac \\u00e9"}] }'


def padded(size: int, mark: int = 0) -> bytes:
    """A JSON object of exactly this size that no other mark has."""
    empty = b'{"messages": [], "mark": "%06d", "pad": ""}' % mark
    return empty[:-2] + b"x" * (size - len(empty)) + b'"}'


async def test_every_cut_of_a_request_in_two_reaches_the_expert_the_same(
    serve, upstream, catalogue
):
    expert = await upstream(answers(keep=True))
    catalogue.register("general", expert)
    gateway = await serve()
    request = post(BODY)
    for place in range(1, len(request)):
        raw = await Raw.open(gateway)
        await raw.send(request[:place], request[place:], pause_s=0.001)
        answer = await raw.answer()
        assert (answer.status, answer.body) == (200, ANSWER), place
        await raw.close()
    assert {one.body for one in expert.received} == {BODY}
    assert len(expert.received) == len(request) - 1


async def test_any_cuts_of_any_requests_on_one_connection_reach_the_expert_the_same(
    serve, upstream, catalogue
):
    expert = await upstream(answers(keep=True))
    catalogue.register("general", expert)
    gateway = await serve(max_body_bytes=100_000)
    examples = st.lists(
        st.tuples(
            st.integers(50, 400) | st.just(70_000),
            st.lists(st.floats(0, 1), max_size=4),
            st.sampled_from([(), ("x-request-id: a",), ("content-type: application/json",)]),
            st.booleans(),
        ),
        min_size=1,
        max_size=4,
    )

    async def check(requests: list) -> None:
        expert.received.clear()
        raw = await Raw.open(gateway)
        sent = []
        for number, (size, places, lines, chunked) in enumerate(requests):
            body = padded(size, number)
            sent.append(body)
            request = chunked_post(body, *lines) if chunked else post(body, *lines)
            cuts = sorted({int(place * len(request)) for place in places} - {0})
            edges = [0, *cuts, len(request)]
            pieces = [request[a:b] for a, b in itertools.pairwise(edges)]
            await raw.send(*filter(None, pieces), pause_s=0.001)
            answer = await raw.answer()
            assert (answer.status, answer.body) == (200, ANSWER)
        await raw.close()
        assert [one.body for one in expert.received] == sent

    loop = asyncio.get_running_loop()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(examples)
    def run(requests: list) -> None:
        asyncio.run_coroutine_threadsafe(check(requests), loop).result(20)

    await asyncio.to_thread(run)


def chunked_post(body: bytes, *lines: str) -> bytes:
    half = len(body) // 2
    parts = [body[:half], body[half:]]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return post(framed, "transfer-encoding: chunked", *lines, length=False)


@pytest.mark.parametrize("size", [65_536, 300_000])
async def test_a_large_body_reaches_the_expert_whole_as_first_second_and_chunked_request(
    serve, upstream, catalogue, size
):
    expert = await upstream(answers(keep=True))
    catalogue.register("general", expert)
    gateway = await serve()
    raw = await Raw.open(gateway)
    bodies = [padded(size, number) for number in range(3)]
    for request in (post(bodies[0]), post(bodies[1]), chunked_post(bodies[2])):
        await raw.send(request)
        assert (await raw.answer()).status == 200
    assert [one.body for one in expert.received] == bodies


@pytest.mark.parametrize("body", [b"", b"{"])
async def test_a_body_of_hardly_a_byte_is_refused_and_the_connection_serves_on(
    serve, upstream, catalogue, body
):
    catalogue.register("general", await upstream())
    gateway = await serve()
    raw = await Raw.open(gateway)
    for _ in range(2):
        await raw.send(post(body))
        assert (await raw.answer()).status == 400
    await raw.send(post(BODY))
    assert (await raw.answer()).status == 200


async def test_every_request_of_a_kept_connection_reaches_the_expert_byte_for_byte(
    serve, upstream, catalogue
):
    expert = await upstream(answers(keep=True))
    catalogue.register("general", expert)
    gateway = await serve()
    raw = await Raw.open(gateway)
    bodies = [padded(60 + number * number, number) for number in range(30)]
    for body in bodies:
        await raw.send(post(body))
        assert (await raw.answer()).body == ANSWER
    assert [one.body for one in expert.received] == bodies


async def test_a_repeated_head_keeps_nothing_of_another_keys_request(serve, upstream, catalogue):
    catalogue.register("general", await upstream(answers(keep=True)))
    gateway = await serve()
    raw = await Raw.open(gateway)
    # The first is refused at once, so that the second, in the same packet, is read.
    await raw.send(post(b'{"model": "x"}', key="sk-wrong") + post(b'{"model": "x"}'))
    assert [(await raw.answer()).status for _ in range(2)] == [401, 404]
    await raw.send(post(BODY, key="sk-wrong"))
    assert (await raw.answer()).status == 401
    await raw.send(post(BODY))
    assert (await raw.answer()).status == 200


async def test_a_client_that_asks_first_is_told_to_go_on(serve, upstream, catalogue):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    raw = await Raw.open(gateway)
    request = post(BODY, "expect: 100-continue")
    await raw.send(request[: -len(BODY)])
    async with asyncio.timeout(2):
        assert await raw.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert expert.received == []
    await raw.send(BODY)
    assert (await raw.answer()).body == ANSWER


async def test_a_client_that_asks_first_and_may_not_is_told_so_without_its_body(serve):
    gateway = await serve()
    raw = await Raw.open(gateway)
    await raw.send(post(BODY, "expect: 100-continue", key="sk-wrong")[: -len(BODY)])
    assert (await raw.answer()).status == 401
    assert await raw.ended() == b""


@pytest.mark.parametrize("lines", [(), ("connection: keep-alive",)])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_of_http_1_0_gets_the_answer_without_chunks_and_the_end_by_closing(
    serve, upstream, catalogue, lines, stream
):
    catalogue.register("general", await upstream(streams(*EVENTS) if stream else answers()))
    gateway = await serve()
    raw = await Raw.open(gateway)
    body = b'{"messages": [], "stream": %s}' % (b"true" if stream else b"false")
    await raw.send(post(body, *lines, version="1.0"))
    answer = await raw.answer()
    assert answer.body == (b"".join(EVENTS) if stream else ANSWER)
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["connection"] == "close"


async def test_of_two_requests_sent_at_once_the_first_is_answered_and_the_connection_closed(
    serve, upstream, catalogue
):
    go = asyncio.Event()
    expert = await upstream(until(go, answers()))
    catalogue.register("general", expert)
    gateway = await serve()
    for second in (post(BODY), b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", b"\0garbage\r\n\r\n"):
        go.clear()
        raw = await Raw.open(gateway)
        await raw.send(post(BODY) + second)
        await asyncio.sleep(0.05)
        go.set()
        assert (await raw.answer()).body == ANSWER
        assert await raw.ended() == b""
    assert len(expert.received) == 3
    await assert_idle(gateway)


async def test_what_follows_a_request_to_fastapi_is_neither_mixed_in_nor_answered_wrongly(
    serve, upstream, catalogue
):
    catalogue.register("general", await upstream())
    gateway = await serve()
    listing = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n".encode()
    for second in (post(BODY), b"\0garbage\r\n\r\n"):
        raw = await Raw.open(gateway)
        await raw.send(listing + second)
        assert (await raw.answer()).json()["object"] == "list"
        assert await raw.ended() == b""


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions"])
async def test_an_offer_to_speak_http_2_is_ignored(serve, upstream, catalogue, path):
    catalogue.register("general", await upstream())
    gateway = await serve()
    raw = await Raw.open(gateway)
    lines = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABk")
    if path == "/v1/models":
        await raw.send(post(b"", *lines, path=path, length=False).replace(b"POST", b"GET"))
        assert (await raw.answer()).json()["object"] == "list"
    else:
        await raw.send(post(BODY, *lines))
        assert (await raw.answer()).body == ANSWER


@pytest.mark.parametrize("pieces", [1, 3, 200])
async def test_headers_beyond_the_limit_are_431_however_they_come(serve, pieces):
    gateway = await serve()
    raw = await Raw.open(gateway)
    request = post(BODY, *[f"x-{number}: {'y' * 1000}" for number in range(100)])
    size = len(request) // pieces + 1
    await raw.send(*[request[at : at + size] for at in range(0, len(request), size)])
    answer = await raw.answer()
    assert (answer.status, answer.json()["error"]["code"]) == (431, "headers_too_large")
    assert await raw.ended() == b""


async def test_headers_below_the_limit_pass(serve, upstream, catalogue):
    catalogue.register("general", await upstream())
    gateway = await serve()
    raw = await Raw.open(gateway)
    await raw.send(post(BODY, *[f"x-{number}: {'y' * 1000}" for number in range(60)]))
    assert (await raw.answer()).status == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_beyond_the_limit_is_413_and_the_client_can_read_that(serve, chunked):
    gateway = await serve(max_body_bytes=100_000)
    raw = await Raw.open(gateway)
    body = padded(2_000_000)
    await raw.send(chunked_post(body) if chunked else post(body))
    answer = await raw.answer()
    assert (answer.status, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert answer.headers["connection"] == "close"
    assert await raw.ended() == b""


@pytest.mark.parametrize("part", ["head", "body", "repeated body"])
async def test_a_request_that_comes_too_slowly_is_408(serve, upstream, catalogue, part):
    catalogue.register("general", await upstream(answers(keep=True)))
    gateway = await serve(timeouts={"request_s": 0.3})
    raw = await Raw.open(gateway)
    if part == "repeated body":
        await raw.send(post(BODY))
        await raw.answer()
    await raw.send(post(BODY)[: -len(BODY) - 9 if part == "head" else -2])
    answer = await raw.answer()
    assert (answer.status, answer.json()["error"]["code"]) == (408, "request_timeout")
    assert await raw.ended() == b""


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"BREW /coffee HTTP/1.1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n"
        b"transfer-encoding: chunked\r\n\r\n{}",
        b"POST /v1/chat/completions HTTP/1.1\nhost: x\ncontent-length: 2\n\n{}",
    ],
)
async def test_what_is_no_http_is_400_and_ends_the_connection(serve, garbage):
    gateway = await serve()
    raw = await Raw.open(gateway)
    await raw.send(garbage)
    answer = await raw.answer()
    assert answer.status == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert await raw.ended() == b""


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_another_method_is_405_and_the_connection_serves_on(
    serve, upstream, catalogue, method
):
    catalogue.register("general", await upstream())
    gateway = await serve()
    raw = await Raw.open(gateway)
    await raw.send(post(b"").replace(b"POST", method.encode()))
    answer = await raw.answer()
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert json.loads(answer.body)["error"]["code"] == "method_not_allowed"
    await raw.send(post(BODY))
    assert (await raw.answer()).status == 200


async def test_a_query_behind_the_path_changes_nothing(serve, upstream, catalogue):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    raw = await Raw.open(gateway)
    await raw.send(post(BODY, path="/v1/chat/completions?api-version=1"))
    assert (await raw.answer()).status == 200
    assert expert.received[0].path == "/v1/chat/completions"


HEAD = RequestHead(ENDPOINTS[b"/v1/chat/completions"])


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_repeat_finds_exactly_the_body_behind_its_own_head(first, second):
    repeat = Repeat.of(HEAD, post(first))
    assert repeat is not None
    start, length = repeat.body_at(post(second))
    assert (post(second)[start:], length) == (second, len(second))
    other = post(second, key=KEY + "x")
    assert repeat.body_at(other) == (-1, 0)


@pytest.mark.parametrize(
    ("hosts", "version", "status"),
    [
        ([b"host: a"], b"1.1", 200),
        ([], b"1.1", 400),
        ([b"host: a", b"Host: b"], b"1.1", 400),
        ([b"host: a", b"host: a"], b"1.1", 400),
        ([], b"1.0", 200),
        ([b"host: a", b"host: b"], b"1.0", 400),
    ],
)
@pytest.mark.parametrize("path", [b"POST /v1/chat/completions", b"GET /health"])
async def test_a_request_names_its_host_once(
    serve, upstream, catalogue, path, hosts, version, status
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    lines = [*hosts, b"authorization: Bearer " + KEY.encode()]
    body = BODY if path.startswith(b"POST") else b""
    if body:
        lines.append(b"content-length: %d" % len(body))
    raw = await Raw.open(gateway)
    await raw.send(path + b" HTTP/" + version + b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body)
    answer = await raw.answer()
    assert answer.status == status
    if status == 400:
        assert "Host" in answer.json()["error"]["message"]
        assert not expert.received
        assert await raw.ended() == b""
    await raw.close()
