"""The official OpenAI SDK, unchanged, against the gateway in front of llama-server: answers."""

import asyncio
import base64
import struct

import openai
import pytest

from tests.contract.clients import HELLO, async_openai_of
from tests.contract.processes import KEY

pytestmark = pytest.mark.live


def test_models_are_listed_and_retrieved(client):
    names = [model.id for model in client.models.list()]
    assert names == [
        *("general", "endless", "tools", "embed", "rerank", "tee", "absent"),
        *("gpt-4o-mini", "auto"),
    ]
    assert client.models.retrieve("general").owned_by == "hearth"


@pytest.mark.parametrize("model", ["general", "gpt-4o-mini", "auto"])
def test_a_chat_is_answered(client, model):
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=20)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert isinstance(answer.choices[0].message.content, str)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_headers_tell_the_expert_its_model_the_reason_and_the_request(client):
    answer = client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=HELLO, max_tokens=3
    )
    assert answer.headers["x-hearth-expert"] == "general"
    assert answer.headers["x-hearth-model"] == "general"
    assert answer.headers["x-hearth-reason"] == "alias"
    assert "x-hearth-degraded" not in answer.headers
    assert "server" not in answer.headers
    assert answer.request_id == answer.headers["x-request-id"]
    assert answer.parse().choices[0].message.role == "assistant"


def test_a_request_id_that_the_client_chose_is_kept(client):
    answer = client.chat.completions.with_raw_response.create(
        model="general", messages=HELLO, max_tokens=1, extra_headers={"x-request-id": "mine-7"}
    )
    assert answer.headers["x-request-id"] == "mine-7"


def test_a_stream_has_pieces_one_end_and_no_usage_unasked(client):
    with client.chat.completions.create(
        model="endless", messages=HELLO, stream=True, max_tokens=30
    ) as stream:
        chunks = list(stream)
    texts = [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content]
    assert len(texts) > 10
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks].count("length") == 1
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_ends_with_the_usage_where_it_was_asked_for(client):
    chunks = list(
        client.chat.completions.create(
            model="endless",
            messages=HELLO,
            stream=True,
            max_tokens=30,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 30
    assert chunks[-1].usage.prompt_tokens > 0


def test_the_helper_for_streams_assembles_the_answer(client):
    with client.chat.completions.stream(
        model="endless", messages=HELLO, max_tokens=500, stop=["e"], seed=1
    ) as stream:
        texts = [event.delta for event in stream if event.type == "content.delta"]
        whole = stream.get_final_completion().choices[0].message.content
    assert "".join(texts) == whole
    assert whole


async def test_many_requests_of_the_asynchronous_client_run_side_by_side(gateway):
    async with async_openai_of(gateway) as client:

        async def ask(place: int) -> tuple[int, str]:
            if place % 2:
                answer = await client.chat.completions.create(
                    model="endless", messages=HELLO, max_tokens=place
                )
                return place, answer.choices[0].finish_reason
            count = 0
            async with await client.chat.completions.create(
                model="endless", messages=HELLO, max_tokens=place, stream=True
            ) as stream:
                async for chunk in stream:
                    count += bool(chunk.choices[0].delta.content)
            return place, "length" if 0 < count <= place else f"{count} pieces"

        answers = await asyncio.gather(*(ask(place) for place in range(1, 33)))
    assert answers == [(place, "length") for place in range(1, 33)]


def test_several_choices_are_answered(client):
    answer = client.chat.completions.create(
        model="general", messages=HELLO, n=2, max_tokens=8, temperature=1
    )
    assert [choice.index for choice in answer.choices] == [0, 1]


def test_an_answer_stops_at_the_given_text_and_at_the_given_length(client):
    long = client.chat.completions.create(
        model="endless", messages=HELLO, max_tokens=16, temperature=0
    )
    text = long.choices[0].message.content
    assert (long.choices[0].finish_reason, long.usage.completion_tokens) == ("length", 16)
    stop = text[2:4]
    short = client.chat.completions.create(
        model="endless", messages=HELLO, max_completion_tokens=16, temperature=0, stop=[stop]
    )
    assert short.choices[0].finish_reason == "stop"
    assert short.choices[0].message.content == text[: text.index(stop)]


def test_the_same_seed_gives_the_same_answer(client):
    texts = {
        client.chat.completions.create(
            model="endless", messages=HELLO, max_tokens=24, seed=7, temperature=1
        )
        .choices[0]
        .message.content
        for _ in range(3)
    }
    assert len(texts) == 1


def test_log_probabilities_come_with_each_token(client):
    answer = client.chat.completions.create(
        model="endless", messages=HELLO, max_tokens=5, logprobs=True, top_logprobs=3
    )
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == 5
    assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in tokens)


def test_completions_are_answered_and_streamed(client):
    asked = {"model": "endless", "prompt": "The quick brown", "max_tokens": 8, "temperature": 0}
    whole = client.completions.create(**asked)
    pieces = [chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True)]
    assert "".join(pieces) == whole.choices[0].text
    assert whole.usage.completion_tokens == 8


def test_responses_are_answered_and_streamed(client):
    asked = {"model": "endless", "input": "Hello", "max_output_tokens": 8, "temperature": 0}
    whole = client.responses.create(**asked)
    events = list(client.responses.create(**asked, stream=True))
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(pieces) == whole.output_text
    assert whole.output_text
    assert whole.usage.output_tokens == 8
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"


def test_embeddings_come_as_numbers_and_as_base64(client):
    numbers = client.embeddings.create(model="embed", input="fox", encoding_format="float")
    packed = client.embeddings.with_raw_response.create(
        model="embed", input="fox", encoding_format="base64"
    )
    told = packed.http_response.json()["data"][0]["embedding"]
    assert isinstance(told, str)
    raw = base64.b64decode(told)
    unpacked = struct.unpack(f"<{len(raw) // 4}f", raw)
    assert list(unpacked) == pytest.approx(numbers.data[0].embedding, abs=1e-6)
    assert client.embeddings.create(model="embed", input="fox").data[0].embedding == pytest.approx(
        numbers.data[0].embedding, abs=1e-6
    )


def test_embeddings_of_a_list_keep_its_order(client):
    words = ["fox", "dog", "lazy forest"]
    listed = client.embeddings.create(model="embed", input=words, encoding_format="float")
    assert [one.index for one in listed.data] == [0, 1, 2]
    for word, one in zip(words, listed.data, strict=True):
        alone = client.embeddings.create(model="embed", input=word, encoding_format="float")
        assert one.embedding == pytest.approx(alone.data[0].embedding, abs=1e-3)
    assert listed.usage.prompt_tokens > 0


def test_documents_are_ranked(client):
    answer = client.post(
        "/rerank",
        body={"model": "rerank", "query": "fox", "documents": ["dog", "fox"], "top_n": 2},
        cast_to=object,
    )
    assert {one["index"] for one in answer["results"]} == {0, 1}


def test_a_key_may_come_in_the_header_of_other_apis(gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="general",
            messages=HELLO,
            max_tokens=1,
            extra_headers={"authorization": openai.Omit(), "x-api-key": KEY},
        )
    assert answer.choices
