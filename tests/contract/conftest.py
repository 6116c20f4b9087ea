"""One gateway process in front of real llama-servers, for the whole session."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.contract.clients import anthropic_of, openai_of
from tests.contract.fake_expert import Behaviour, FakeExpert
from tests.contract.processes import GatewayProcess, LlamaServer
from tests.contract.tee import Tee
from tests.contract.tiny_model import Manner, write_model
from tests.ports import free_port

SERVER = os.environ.get("HEARTH_LLAMA_SERVER", "")
LARGEST_BODY = 1024 * 1024
CONTEXT = 2048
_CHAT = ("-c", str(2 * CONTEXT), "-np", "2")
_LONG = ("-c", "131072", "-np", "2")
_VECTORS = ("-c", "2048", "-np", "2", "-ub", "512")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LlamaServer]]:
    """The experts' servers, by expert."""
    if not Path(SERVER or "/nowhere").is_file():
        pytest.skip("HEARTH_LLAMA_SERVER names no llama-server binary")
    folder = tmp_path_factory.mktemp("llama")
    models = {manner: write_model(folder / f"{manner.name}.gguf", manner) for manner in Manner}
    started: dict[str, LlamaServer] = {}
    try:
        for name, manner, flags in (
            ("general", Manner.SHORT, _CHAT),
            ("endless", Manner.ENDLESS, _LONG),
            ("tools", Manner.CALLING, _LONG),
            ("embed", Manner.SHORT, (*_VECTORS, "--embeddings", "--pooling", "mean")),
            ("rerank", Manner.SHORT, (*_VECTORS, "--rerank")),
        ):
            started[name] = LlamaServer(SERVER, models[manner], name, folder, *flags)
        yield started
    finally:
        for server in started.values():
            server.stop()


@pytest.fixture(scope="session")
def tee(llama: dict[str, LlamaServer]) -> Iterator[Tee]:
    """Stands between the gateway and the server of `general` and keeps what that server says."""
    one = Tee(llama["general"].port)
    yield one
    one.stop()


@pytest.fixture(scope="session")
def gateway(
    llama: dict[str, LlamaServer], tee: Tee, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """The gateway; `absent` is an expert that nobody serves."""
    special = {"embed": "embeddings", "rerank": "rerank"}
    experts: dict[str, Any] = {
        name: {
            "upstreams": [{"url": server.url}],
            "capabilities": [special.get(name, "chat")],
        }
        for name, server in llama.items()
    }
    experts["tee"] = {"upstreams": [{"url": f"http://127.0.0.1:{tee.port}"}]}
    experts["absent"] = {"upstreams": [{"url": f"http://127.0.0.1:{free_port()}"}]}
    one = GatewayProcess(
        tmp_path_factory.mktemp("gateway"),
        experts,
        aliases={"gpt-4o-mini": "general"},
        max_body_bytes=LARGEST_BODY,
        admission={"restart_wait_s": 0.1},
        probe_interval_s=2,
    )
    yield one
    status, log = one.stop(), one.log.read_text()
    assert status == 0
    assert "Traceback" not in log, log[-4000:]


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    """The official SDK, which tries once."""
    with openai_of(gateway) as one:
        yield one


@pytest.fixture
def messenger(gateway: GatewayProcess) -> Iterator[anthropic.Anthropic]:
    """Anthropic's SDK, which tries once."""
    with anthropic_of(gateway) as one:
        yield one


@pytest.fixture
def fake_behind(tmp_path: Path) -> Iterator[Callable[..., tuple[GatewayProcess, FakeExpert]]]:
    """Starts a gateway whose only expert, `general`, behaves as told."""
    started: list[Any] = []

    def start(behaviour: Behaviour, **settings: Any) -> tuple[GatewayProcess, FakeExpert]:
        expert = FakeExpert(behaviour)
        started.append(expert)
        experts = {"general": {"upstreams": [{"url": expert.url}]}}
        gateway = GatewayProcess(tmp_path, experts, **settings)
        started.append(gateway)
        return gateway, expert

    yield start
    for one in reversed(started):
        one.stop()
