"""Keys, names, bodies and errors at the gateway's own door."""

import asyncio

import httpx
import pytest

from gateway.app import create_app
from tests.gateway.fakes import KEY, UPSTREAM_KEY, answers, secrets_of, settings_of

SHAPE = {"message", "type", "param", "code"}


def assert_shape(answer: httpx.Response) -> dict:
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].keys() == SHAPE
    return answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer sk-wrong"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {UPSTREAM_KEY}"},
        {"x-api-key": "sk-wrong"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/general", "/v1/chat/completions"])
async def test_a_request_without_a_known_key_is_refused(serve, headers, path):
    gateway = await serve()
    method = "POST" if path.endswith("completions") else "GET"
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        answer = await client.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    error = assert_shape(answer)
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert KEY not in answer.text


async def test_a_key_is_also_taken_from_the_header_of_other_clients(serve):
    gateway = await serve()
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        answer = await client.get("/v1/models", headers={"x-api-key": KEY})
    assert answer.status_code == 200


async def test_an_unknown_model_is_refused_by_name_before_any_expert_is_asked(
    serve, upstream, catalogue
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    answer = await gateway.chat(model="gpt-99")
    assert answer.status_code == 404
    assert assert_shape(answer) == {
        "message": "The model `gpt-99` does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }
    assert expert.received == []


@pytest.mark.parametrize("model", ["general", "gpt-4o-mini", "auto", None])
async def test_an_expert_its_alias_and_the_default_reach_the_same_expert(
    serve, upstream, catalogue, model
):
    catalogue.register("general", await upstream())
    gateway = await serve()
    assert (await gateway.chat(model=model)).headers["x-hearth-expert"] == "general"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b'"text"', b"[]", b"null", b"\xff\xfe", b"[" * 50_000]
)
async def test_a_body_that_is_no_json_object_is_refused(serve, body):
    gateway = await serve()
    answer = await gateway.client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert assert_shape(answer)["type"] == "invalid_request_error"


async def test_a_model_that_is_no_text_is_refused_by_the_name_of_the_field(serve):
    gateway = await serve()
    answer = await gateway.chat(model=7)
    assert answer.status_code == 400
    assert assert_shape(answer)["param"] == "model"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_above_the_limit_is_refused(serve, upstream, catalogue, declared):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve(max_body_bytes=1000)

    async def parts():
        for _ in range(11):
            yield b"x" * 100

    content = b"x" * 1100 if declared else parts()
    answer = await gateway.client.post("/v1/chat/completions", content=content)
    assert answer.status_code == 413
    assert assert_shape(answer)["code"] == "request_too_large"
    assert expert.received == []


async def test_a_body_at_the_limit_passes(serve, upstream, catalogue):
    catalogue.register("general", await upstream())
    gateway = await serve(max_body_bytes=1000)
    body = b'{"messages": []}'.ljust(1000)
    assert (await gateway.client.post("/v1/chat/completions", content=body)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "unknown_url"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", "/v1/models/gpt-99", 404, "model_not_found"),
        ("GET", "/docs", 404, "unknown_url"),
        ("GET", "/openapi.json", 404, "unknown_url"),
    ],
)
async def test_errors_of_the_framework_have_the_one_shape_too(serve, method, path, status, code):
    gateway = await serve()
    answer = await gateway.client.request(method, path)
    assert answer.status_code == status
    assert assert_shape(answer)["code"] == code


async def test_a_fault_nobody_foresaw_is_a_500_in_the_one_shape_with_an_id_to_find_it_by(
    serve, upstream, catalogue
):
    catalogue.register("general", await upstream())

    def broken() -> float:
        raise ZeroDivisionError("secret detail")

    gateway = await serve(clock=broken)
    answer = await gateway.chat()
    assert answer.status_code == 500
    assert assert_shape(answer)["code"] == "internal_error"
    assert answer.headers["x-request-id"]
    assert "secret" not in answer.text


async def test_a_named_tool_choice_reaches_the_expert_as_required_with_that_tool_alone(
    serve, upstream, catalogue
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
    choice = {"type": "function", "function": {"name": "b"}}
    await gateway.chat(tools=tools, tool_choice=choice, temperature=0.5)
    sent = httpx.Response(200, content=expert.received[0].body).json()
    assert sent["tool_choice"] == "required"
    assert sent["tools"] == [tools[1]]
    assert sent["temperature"] == 0.5


async def test_an_id_of_the_client_comes_back_and_a_strange_one_is_replaced(serve):
    gateway = await serve()
    for offered, kept in [("trace-42", True), ("a b", False), ("x" * 65, False), ("", False)]:
        answer = await gateway.client.get("/v1/models", headers={"x-request-id": offered})
        assert (answer.headers["x-request-id"] == offered) is kept
        assert answer.headers["x-request-id"]


async def test_health_needs_no_key(serve):
    gateway = await serve()
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_the_list_of_models_tells_what_serves_behind_each_name(serve, upstream, catalogue):
    catalogue.register("general", await upstream(rung="selftest"), preferred="big")
    gateway = await serve()
    listing = (await gateway.client.get("/v1/models")).json()
    assert listing["object"] == "list"
    models = {model["id"]: model for model in listing["data"]}
    assert list(models) == ["general", "coder", "gpt-4o-mini", "auto"]
    for model in models.values():
        assert (model["object"], model["owned_by"]) == ("model", "hearth")
        assert model["created"] > 1_700_000_000
    known = {
        "expert": "general",
        "serving": "selftest",
        "preferred": "big",
        "degraded": True,
        "replicas": 1,
    }
    assert models["general"]["hearth"] == known
    assert models["gpt-4o-mini"]["hearth"] == known
    assert models["coder"]["hearth"]["replicas"] == 0
    assert models["coder"]["hearth"]["serving"] is None


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        (("127.0.0.1", 1), {}, 200),
        (("::1", 1), {}, 200),
        (("192.168.1.7", 1), {}, 401),
        (("192.168.1.7", 1), {"authorization": f"Bearer {KEY}"}, 200),
    ],
)
async def test_metrics_are_open_to_this_machine_and_keyed_for_all_others(client, headers, status):
    app = create_app(settings_of(), secrets_of(), nomad=httpx.AsyncClient())
    transport = httpx.ASGITransport(app, client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as outside:
        assert (await outside.get("/metrics", headers=headers)).status_code == status


async def test_metrics_count_answers_by_expert_and_status(serve, upstream, catalogue):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    await gateway.chat()
    await gateway.chat()
    expert.behaviour = answers(400, b'{"error":{"message":"no"}}')
    await gateway.chat()
    total = 'hearth_gateway_requests_total{expert="general",status="%d"}'
    assert await gateway.metric(total % 200) == "2"
    assert await gateway.metric(total % 400) == "1"
    assert await gateway.metric('hearth_gateway_duration_seconds_count{expert="general"}') == "3"
    assert await gateway.metric('hearth_gateway_replicas{expert="general"}') == "1"


async def test_text_completions_take_the_same_way(serve, upstream, catalogue):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    answer = await gateway.client.post("/v1/completions", json={"prompt": "once"})
    assert answer.status_code == 200
    assert expert.received[0].path == "/v1/completions"


async def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(serve, caplog):
    gateway = await serve()
    host, port = gateway.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: x",
        f"authorization: Bearer {KEY}",
        "content-length: 1000",
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await asyncio.sleep(0.1)
    assert (await gateway.client.get("/health")).status_code == 200
    assert "Traceback" not in caplog.text
