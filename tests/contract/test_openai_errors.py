"""Every refusal is the official SDK's own exception, with the fields that programs look at."""

import contextlib

import httpx
import httpx2
import openai
import pytest

from tests.contract.clients import HELLO, Attempts, openai_of
from tests.contract.conftest import CONTEXT, LARGEST_BODY
from tests.contract.processes import KEY

pytestmark = pytest.mark.live


def post(gateway, content: bytes | str, path: str = "/v1/chat/completions") -> httpx.Response:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    return httpx.post(f"{gateway.url}{path}", content=content, headers=headers, timeout=30)


@pytest.mark.parametrize("key", ["sk-wrong", "x", "sk-hearth-" + "a" * 48])
def test_a_wrong_key_is_an_authentication_error(gateway, key):
    with openai_of(gateway, key) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model="general", messages=HELLO)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "invalid_request_error"
    assert key not in caught.value.message


def test_an_unknown_model_is_a_not_found_error(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-99", messages=HELLO)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-99")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_model_that_the_key_may_not_use_is_a_not_found_error(gateway):
    _, key = gateway.new_key("narrow", models=["tools"], endpoints=["/v1/chat/completions"])
    with openai_of(gateway, key) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model="general", messages=HELLO)
        with pytest.raises(openai.PermissionDeniedError) as scoped:
            client.completions.create(model="tools", prompt="x")
        assert "general" not in [model.id for model in client.models.list()]
    assert caught.value.code == "model_not_found"
    assert scoped.value.code == "endpoint_not_allowed"


def test_a_bad_request_is_a_bad_request_error_with_the_experts_words(client):
    with pytest.raises(openai.BadRequestError, match="messages"):
        client.chat.completions.create(model="general", messages="nonsense")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'"x"', b'{"a": NaN}', b'{"a": "\xff"}', b"{} {}", b"[" * 9999]
)
def test_what_is_no_json_object_is_a_bad_request(gateway, content):
    answer = post(gateway, content)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], set(error)) == (
        "invalid_request_error",
        {"message", "type", "param", "code"},
    )
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ('{"model": 1}', "model"),
        ('{"stream": "yes"}', "stream"),
        ('{"parallel_tool_calls": 3}', "parallel_tool_calls"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(gateway, body, param):
    answer = post(gateway, body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_body_over_the_limit_is_refused_before_it_is_read(gateway, client):
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(
            model="general", messages=[{"role": "user", "content": "x" * LARGEST_BODY}]
        )
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")


def test_a_prompt_longer_than_the_context_has_openais_code(client):
    for streaming in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(
                model="general",
                messages=[{"role": "user", "content": "z" * 2 * CONTEXT}],
                stream=streaming,
            )
        assert caught.value.code == "context_length_exceeded"
        assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize("model", ["general", "embed"])
def test_an_expert_that_cannot_do_it_is_a_bad_request(client, model):
    ask = {
        "embed": lambda: client.chat.completions.create(model=model, messages=HELLO),
        "general": lambda: client.embeddings.create(model=model, input="x"),
    }[model]
    with pytest.raises(openai.BadRequestError) as caught:
        ask()
    assert (caught.value.code, caught.value.param) == ("unsupported", "model")


def test_an_expert_without_a_replica_is_tried_again_by_the_sdk_and_then_an_error(gateway):
    attempts = Attempts()
    http = httpx2.Client(event_hooks={"request": [attempts.hook]})
    with (
        openai_of(gateway, max_retries=1, http_client=http) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(model="absent", messages=HELLO)
    assert (caught.value.status_code, caught.value.code) == (503, "expert_unavailable")
    assert caught.value.response.headers["retry-after"] == "1"
    assert attempts.count == 2


def test_the_right_path_with_the_wrong_method_is_told_so(gateway):
    answer = httpx.get(
        f"{gateway.url}/v1/chat/completions", headers={"authorization": f"Bearer {KEY}"}
    )
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_an_unknown_path_is_an_error_of_the_same_shape(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.post("/nothing", body={}, cast_to=object)
    assert caught.value.code == "unknown_url"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/models",
        "/x",
    ],
)
def test_every_refusal_has_an_id_to_ask_about(gateway, path):
    answer = httpx.post(f"{gateway.url}{path}", content=b"{", headers={"x-request-id": "mine-8"})
    assert answer.status_code >= 400
    assert answer.headers["x-request-id"] == "mine-8"


def test_an_input_longer_than_a_batch_of_the_embedder_is_the_callers_fault(client):
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="embed", input="z" * 900)


def test_an_error_in_a_request_for_a_stream_comes_before_the_stream(client):
    with (
        pytest.raises(openai.BadRequestError),
        contextlib.closing(
            client.chat.completions.create(model="general", messages="x", stream=True)
        ),
    ):
        pass
