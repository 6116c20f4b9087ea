"""Nobody ever reads a word of somebody else, however the two mix their requests."""

import asyncio
import random

import pytest

from tests.contract.processes import KEY_ID, wait_until
from tests.hostile.arsenal import mutated, request, sound_body, value
from tests.hostile.conftest import MARKER
from tests.hostile.wire import check, exchange, read_answers

pytestmark = pytest.mark.service
PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings")


def spoken(chance: random.Random, key: str, marker: str) -> tuple[bytes, bool]:
    """A request with a marker, and whether it is sound."""
    path = chance.choice(PATHS)
    document = sound_body(path, "both", marker)
    text = str(document).replace("'", '"')
    if chance.random() < 0.4:
        text = text[:-1] + ', "stream": true}'
    extra = "" if (sound := chance.random() < 0.6) else f', "seed": {value(chance)}'
    content = f"{text[:-1]}{extra}}}".encode("utf-8", "surrogatepass")
    lines = [b"host: x", f"authorization: Bearer {key}".encode()]
    made = request(b"POST", path.encode(), lines, content)
    if not sound and chance.random() < 0.3:
        return mutated(chance, made), False
    return made, sound


async def talk(siege, who: str, key: str, others: tuple[str, ...], rounds: int) -> int:
    """Sends several requests on each of many connections, leaves some, and reads every answer."""
    read = 0
    for number in range(rounds):
        chance = random.Random(f"{who}-{number}")
        markers = [f"marker-{who}-{number * 10 + place}-end" for place in range(4)]
        sent = [spoken(chance, key, marker) for marker in markers]
        if chance.random() < 0.2:
            reader, writer = await asyncio.open_connection("127.0.0.1", siege.gateway.port)
            writer.write(sent[0][0])
            await asyncio.sleep(chance.random() * 0.006)
            writer.transport.abort()
            siege.count += 1
            continue
        reader, writer = await asyncio.open_connection("127.0.0.1", siege.gateway.port)
        for (one, sound), marker in zip(sent, markers, strict=True):
            writer.write(one)
            heard = await one_answer(reader, 20 if sound else 0.25)
            siege.count += 1
            foreign = [found for found in MARKER.findall(heard) if found not in one]
            assert not foreign, (one, heard)
            told = read_answers(heard)
            assert told or not sound, one
            siege.answered += bool(told)
            for answer in told:
                check(answer, ids=others)
                read += 1
                if sound:
                    assert answer.status == 200
                    assert marker.encode() in answer.body
            if not sound:
                break
        writer.transport.abort()
    return read


async def one_answer(reader: asyncio.StreamReader, patience_s: float) -> bytes:
    heard = b""
    try:
        while True:
            async with asyncio.timeout(patience_s):
                data = await reader.read(65536)
            heard += data
            if not data:
                return heard
            head, _, body = heard.partition(b"\r\n\r\n")
            if b"chunked" in head and body.endswith(b"0\r\n\r\n"):
                return heard
            length = head.partition(b"content-length: ")[2].split(b"\r\n")[0]
            if length and len(body) >= int(length):
                return heard
    except (TimeoutError, ConnectionError):
        return heard


async def test_two_keys_read_their_own_answers_only(siege):
    (id_a, key_a), (id_b, key_b) = (siege.gateway.new_key(name, rpm=10**6) for name in "ab")
    talks = [
        talk(siege, f"{name}{place}", key, (other, KEY_ID), 60)
        for place in range(6)
        for name, key, other in (("a", key_a, id_b), ("b", key_b, id_a))
    ]
    read = sum(await asyncio.gather(*talks))
    assert read > 1000
    assert wait_until(lambda: siege.gateway.metric("in_flight") == 0, within_s=5)
    for key_id in (id_a, id_b):
        assert siege.gateway.usage(key_id)["requests"] > 300


async def test_an_answer_nobody_waits_for_is_not_the_next_ones(siege):
    _, key = siege.gateway.new_key("leaves")
    line = [b"host: x", f"authorization: Bearer {key}".encode()]

    def asked(marker: str) -> bytes:
        content = str(sound_body("", "general", marker)).replace("'", '"').encode()
        return request(b"POST", b"/v1/chat/completions", line, content)

    for number in range(200):
        _, writer = await asyncio.open_connection("127.0.0.1", siege.gateway.port)
        writer.write(asked(f"marker-left-{number}-end"))
        await asyncio.sleep(number % 5 * 0.001)
        writer.transport.abort()
        heard = await exchange(
            siege.gateway.port, asked(f"marker-kept-{number}-end"), patience_s=20
        )
        siege.count += 2
        siege.answered += 1
        assert MARKER.findall(heard) == [f"marker-kept-{number}-end".encode()]
