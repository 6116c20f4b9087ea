"""Keys, names, bodies and errors at the gateway's own door."""

import asyncio

import httpx
import pytest

from tests.gateway.fakes import KEY, UPSTREAM_KEY

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
        "param": "model",
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
    gateway = await serve()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    gateway.core.router.resolve = broken
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
