"""Whatever JSON a field holds, a real llama-server behind the gateway or the gateway itself answers
with a success or an error of the caller's, never with a fault.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import SERVER
from tests.contract.processes import KEY, GatewayProcess, LlamaServer
from tests.contract.tiny_model import Manner, write_model
from tests.hostile.arsenal import FIELDS, body, sound_body
from tests.hostile.wire import Answer, check

PATHS = {
    "/v1/chat/completions": "general",
    "/v1/completions": "general",
    "/v1/responses": "general",
    "/v1/messages": "general",
    "/v1/messages/count_tokens": "general",
    "/v1/embeddings": "embed",
    "/v1/rerank": "rerank",
}
NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([2**31, 2**63, 2**64, 1e308, -1, 0])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20), st.sampled_from(FIELDS)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=4),
    ),
    max_leaves=12,
)


def judge(answer: httpx.Response) -> None:
    check(Answer(answer.status_code, dict(answer.headers), answer.content))


def sent(client: httpx.Client, path: str, content: bytes) -> httpx.Response:
    return client.post(path, content=content, headers={"content-type": "application/json"})


@pytest.mark.service
@pytest.mark.parametrize("path", [*PATHS, "/v1/route/explain", "/v1/audio/speech"])
def test_a_field_of_any_type_is_no_fault_of_the_gateway(siege, path):
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=siege.gateway.url, headers=headers, timeout=20) as client:

        @settings(
            max_examples=120,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1, max_size=3))
        def attempt(fields: dict) -> None:
            siege.count += 1
            document = sound_body(path, "both", "marker-x-1-end") | fields
            judge(sent(client, path, json.dumps(document).encode("utf-8", "surrogatepass")))
            siege.answered += 1

        attempt()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway in front of real servers."""
    if not Path(SERVER or "/nowhere").is_file():
        pytest.skip("HEARTH_LLAMA_SERVER names no llama-server binary")
    folder = tmp_path_factory.mktemp("real")
    model = write_model(folder / "tiny.gguf", Manner.SHORT)
    sizes = ("-c", "2048", "-np", "2", "-ub", "512", "-n", "64")
    started = []
    experts = {}
    try:
        for name, more in (
            ("general", ()),
            ("embed", ("--embeddings", "--pooling", "mean")),
            ("rerank", ("--rerank",)),
        ):
            started.append(LlamaServer(SERVER, model, name, folder, *sizes, *more))
            capability = {"embed": "embeddings"}.get(name, name if more else "chat")
            upstreams = [{"url": started[-1].url}]
            experts[name] = {"upstreams": upstreams, "capabilities": [capability]}
        gateway = GatewayProcess(folder, experts)
        started.append(gateway)
        yield gateway
        assert all(one.alive for one in started)
    finally:
        for one in reversed(started):
            one.stop()


@pytest.mark.live
@pytest.mark.parametrize("path", PATHS)
def test_a_field_of_any_type_is_no_fault_of_a_real_expert(real, path):
    wrong = []
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=real.url, headers=headers, timeout=20) as client:
        for number in range(250):
            content = body(random.Random(f"{path}{number}"), path, PATHS[path], "hello")
            try:
                judge(sent(client, path, content))
            except (AssertionError, httpx.HTTPError) as error:
                wrong.append(f"{error!r}\n  sent {content[:400]!r}")
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:10])
