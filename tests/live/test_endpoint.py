"""The official client against a gateway and a llama-server that Pulumi brought up."""

import openai
import pytest
from sandbox import Sandbox


@pytest.fixture(scope="module")
def client(up: Sandbox) -> openai.OpenAI:
    outputs = up.outputs()
    return openai.OpenAI(base_url=outputs["gateway-url"], api_key=outputs["gateway-key"])


def test_models_lists_experts_and_aliases(client: openai.OpenAI) -> None:
    assert {"general", "gpt-4o-mini"} <= {model.id for model in client.models.list()}


def test_a_chat_is_answered_by_the_model_the_header_names(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="general", messages=[{"role": "user", "content": "hi"}]
    )
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert raw.headers["x-hearth-expert"] == "general"
    assert raw.headers["x-hearth-model"] == answer.model == "selftest"


def test_a_stream_ends_with_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_wrong_key_is_an_authentication_error(up: Sandbox) -> None:
    client = openai.OpenAI(base_url=up.outputs()["gateway-url"], api_key="sk-hearth-wrong")
    with pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "hi"}])
