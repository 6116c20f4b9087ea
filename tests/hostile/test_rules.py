"""Single rules that hostile requests have broken, or might: each with the smallest such request."""

import json
import re

import httpx
import pytest

from tests.contract.fake_expert import FakeExpert
from tests.contract.processes import KEY, GatewayProcess, wait_until
from tests.hostile.arsenal import request
from tests.hostile.conftest import echoes
from tests.hostile.wire import check, exchange, read_answers

pytestmark = pytest.mark.service
AUTH = b"authorization: Bearer " + KEY.encode()
HOST = b"host: x"
CHAT = b"/v1/chat/completions"
BODY = b'{"model":"general","messages":[]}'


async def answers(siege, *parts: bytes, to_head: bool = False):
    heard = await exchange(siege.gateway.port, *parts, patience_s=5, in_turn=True)
    return read_answers(heard, to_head=to_head)


def post(content: bytes, *more: bytes, target: bytes = CHAT) -> bytes:
    return request(b"POST", target, [HOST, AUTH, *more], content)


async def test_a_method_that_is_refused_once_is_refused_again_on_the_same_connection(siege):
    get = request(b"GET", CHAT, [HOST, AUTH], BODY)
    seen = siege.expert.count
    told = await answers(siege, get, get, get)
    assert [one.status for one in told] == [405, 405, 405]
    assert siege.expert.count == seen


async def test_a_key_that_is_refused_once_is_refused_again_behind_a_sound_one(siege):
    bad = request(b"POST", CHAT, [HOST, b"authorization: Bearer x"], BODY)
    assert [one.status for one in await answers(siege, bad + post(BODY))] == [401, 200]
    told = await answers(siege, bad, post(BODY), bad, post(BODY), bad)
    assert [one.status for one in told] == [401, 200, 401, 200, 401]


async def test_an_answer_to_head_has_no_body(siege):
    head = request(b"HEAD", CHAT, [HOST, AUTH], b"")
    assert [one.status for one in await answers(siege, head, to_head=True)] == [405]


@pytest.mark.parametrize(
    "line", [b"CONNECT a:1", b"GET http://", b"GET http://[::1/x", b"GET http://x:99999/"]
)
async def test_a_target_that_is_no_url_is_a_bad_request(siege, line):
    told = await answers(siege, line + b" HTTP/1.1\r\n" + HOST + b"\r\n\r\n")
    assert told[0].status in (400, 405, 501)
    check(told[0])


async def test_a_target_may_name_scheme_and_host(siege):
    told = await answers(siege, post(BODY, target=b"http://x" + CHAT))
    assert told[0].status == 200


async def test_a_trailer_changes_nothing_of_the_head(siege):
    lines = [HOST, AUTH]
    content = b"%x\r\n%b\r\n0\r\nauthorization: Bearer x\r\n\r\n" % (len(BODY), BODY)
    sent = request(b"POST", CHAT, lines, content, framing=b"transfer-encoding: chunked")
    assert (await answers(siege, sent))[0].status == 200


@pytest.mark.parametrize("number", ["1e999", "-1e400"])
async def test_a_number_beyond_a_double_is_no_fault_of_the_gateway(siege, number):
    content = b'{"model":"auto","messages":[],"x":%b}' % number.encode()
    told = await answers(siege, post(content))
    check(told[0])


@pytest.mark.parametrize(
    "fields",
    [
        b'"tool_choice":{"x":1e999}',
        b'"tool_choice":{"type":"function","name":"a"},"tools":[{"name":"a","x":1e999}]',
        b'"parallel_tool_calls":false,"tools":[{"x":1e999}]',
        b'"stream":true,"stream_options":{"x":1e999}',
    ],
)
async def test_such_a_number_is_none_in_a_field_that_is_looked_into(siege, fields):
    told = await answers(siege, post(b'{"model":"general","messages":[],%b}' % fields))
    assert told
    check(told[0])


async def test_options_that_cannot_be_read_leave_no_client_without_an_answer(plain):
    content = b'{"model":"general","messages":[],"stream":true,"stream_options":{"x":1e999}}'
    for _ in range(3):  # the first opens a connection, the next find one
        heard = await exchange(plain.port, post(content), patience_s=5)
        check(read_answers(heard)[0])
    assert wait_until(lambda: plain.metric("in_flight") == 0, within_s=5)


@pytest.fixture
def plain(tmp_path):
    """A gateway in front of a server that is no llama-server, which is asked for the usage."""
    expert = FakeExpert(echoes, llama=False)
    upstreams = [{"url": expert.url}]
    gateway = GatewayProcess(tmp_path, {"general": {"upstreams": upstreams}})
    yield gateway
    gateway.stop()
    expert.stop()


def test_a_window_of_usage_before_the_first_date_is_a_bad_request(siege_of_its_own):
    answer = administer(siege_of_its_own, "GET", "/usage?to=0001-01-05")
    assert answer.status_code == 400


def test_an_end_beyond_the_last_date_is_a_bad_request_and_leaves_no_key(siege_of_its_own):
    siege = siege_of_its_own
    late = {"name": "late", "expires_at": "9999-12-31T23:59:59-23:59"}
    assert administer(siege, "POST", "/keys", late).status_code == 400
    assert administer(siege, "GET", "/keys").status_code == 200


async def test_nobody_is_sent_to_a_host_that_the_client_named(siege):
    line = b"GET /health/ HTTP/1.1\r\nhost: evil.example\r\n\r\n"
    told = (await answers(siege, line))[0]
    assert "evil" not in told.headers.get("location", "")
    assert told.status == 404


async def test_a_path_cannot_write_lines_of_its_own_into_the_log(siege):
    target = b"/v1/models/a%0a2026-01-01T00:00:00Z%20INFO%20forged"
    await answers(siege, b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n" + AUTH + b"\r\n\r\n")
    lines = siege.gateway.log.read_text(errors="replace").splitlines()
    assert [one for one in lines if "forged" in one]
    assert not [one for one in lines if one.startswith("2026-01-01T00:00:00Z INFO forged")]


@pytest.mark.parametrize("path", ["/metrics", "/status.json"])
def test_the_figures_of_other_keys_are_not_told_to_a_client(siege, path):
    key_id, key = siege.gateway.new_key("somebody")
    headers = {"authorization": f"Bearer {key}"}
    asked = {"model": "general", "messages": []}
    httpx.post(f"{siege.gateway.url}{CHAT.decode()}", json=asked, headers=headers)
    answer = httpx.get(f"{siege.gateway.url}{path}", headers={"authorization": f"Bearer {KEY}"})
    assert key_id not in answer.text


@pytest.mark.parametrize("length", [b"+3", b"0x3", b"3,3", b"3 3", b"-3", b"3\x00", b"9" * 30])
async def test_an_odd_length_is_a_bad_request(siege, length):
    sent = request(b"POST", CHAT, [HOST, AUTH], b"{} ", framing=b"content-length: " + length)
    told = await answers(siege, sent)
    assert [one.status for one in told] == [400]


@pytest.mark.parametrize(
    "lines",
    [
        (b"content-length: 2", b"content-length: 3"),
        (b"content-length: 2", b"transfer-encoding: chunked"),
        (b"transfer-encoding: chunked, identity",),
        (b"transfer-encoding: gzip",),
        (b"transfer-encoding : chunked",),
        (b"transfer-encoding: chunked", b"transfer-encoding: chunked"),
    ],
)
async def test_a_request_with_two_framings_reaches_nobody(siege, lines):
    seen = siege.expert.count
    sent = b"\r\n".join((b"POST /v1/chat/completions HTTP/1.1", HOST, AUTH, *lines, b"", BODY))
    told = await answers(siege, sent)
    assert [one.status for one in told] in ([400], [])
    assert siege.expert.count == seen


async def test_what_follows_a_request_before_its_answer_is_not_served(siege):
    seen = siege.expert.count
    told = await answers(siege, post(BODY) + post(BODY) + post(BODY))
    assert [one.status for one in told] == [200]
    assert siege.expert.count == seen + 1


@pytest.mark.parametrize(
    "name", [b"x-request-id", b"traceparent", b"content-type", b"x-session-id"]
)
@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nx: y", b"a\rx: y", b"a\x00", b"\xff" * 99])
async def test_no_header_of_a_client_becomes_two_anywhere(siege, name, value):
    told = await answers(siege, post(BODY, name + b": " + value))
    assert [one.status for one in told] in ([200], [400])
    assert "x" not in told[0].headers
    assert not siege.expert.violations


async def test_only_the_known_headers_reach_an_expert(siege):
    more = (b"cookie: a=b", b"x-conversation-id: c", b"x-forwarded-for: d", b"x-api-key: e")
    told = await answers(siege, post(BODY, *more, b"x-hearth-expert: f", b"accept-encoding: gzip"))
    assert told[0].status == 200
    got = siege.expert.asked[-1].headers
    assert not {"cookie", "x-conversation-id", "x-forwarded-for", "x-api-key"} & set(got)
    assert "authorization" not in got
    assert got["accept-encoding"] == "identity"


async def test_the_upgrades_that_clients_offer_are_passed_over(siege):
    offer = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AA")
    for sent in (post(BODY, *offer), request(b"GET", b"/health", [HOST, *offer], b"")):
        assert [one.status for one in await answers(siege, sent)] == [200]


async def test_a_body_over_the_limit_is_refused_in_every_framing(siege):
    large = b'{"a":"%b"}' % (b"x" * 300_000)
    for sent in (
        post(large),
        request(
            b"POST",
            CHAT,
            [HOST, AUTH],
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large),
            framing=b"transfer-encoding: chunked",
        ),
        post(large, target=b"/v1/route/explain"),
    ):
        told = await answers(siege, sent)
        assert [one.status for one in told] == [413]


async def test_heads_without_end_are_refused(siege):
    for line in (b"x: " + b"y" * 400_000, b"x: y\r\n" * 60_000):
        told = await answers(siege, b"POST /v1/chat/completions HTTP/1.1\r\n" + line)
        assert [one.status for one in told] == [431]


def test_a_key_is_never_told_again(siege):
    _, key = siege.gateway.new_key("secret-one")
    texts = [administer(siege, "GET", path).text for path in ("/keys", "/usage")]
    texts.append(httpx.get(f"{siege.gateway.url}/status.json").text)
    texts.append(siege.gateway.log.read_text(errors="replace"))
    assert not [text for text in texts if key in text or siege.gateway.admin_key in text]


def test_the_experts_words_are_passed_on_as_json_text(siege):
    answer = httpx.post(
        f"{siege.gateway.url}/v1/chat/completions",
        json={"model": '"}\r\nx: <b>\u2028\ud83d'.encode("utf-8", "replace").decode()},
        headers={"authorization": f"Bearer {KEY}"},
    )
    assert answer.status_code == 404
    assert re.fullmatch(r"The model `.*` does not exist.*", answer.json()["error"]["message"], re.S)


def administer(siege, method: str, path: str, document: object = None) -> httpx.Response:
    return httpx.request(
        method,
        f"{siege.gateway.url}/admin{path}",
        content=None if document is None else json.dumps(document),
        headers={"authorization": f"Bearer {siege.gateway.admin_key}"},
        timeout=20,
    )
