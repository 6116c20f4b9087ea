"""The gateway in front of two kinds of experts: a fake that speaks like llama-server, always, and
a real llama-server with the built-in model where HEARTH_LLAMA_SERVER names one.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from contract.expert_settings import ExpertSettings
from expert_runner import selftest
from expert_runner.flags import Listen, llama_flags
from tests.gateway.conftest import catalogue, serve, upstream
from tests.gateway.fakes import UPSTREAM_KEY, Catalogue, Gateway, Received, Upstream, say, streams

__all__ = ["catalogue", "gateway", "serve", "upstream"]

SERVER = os.environ.get("HEARTH_LLAMA_SERVER", "")
USAGE = {"completion_tokens": 20, "prompt_tokens": 21, "total_tokens": 41}


async def llama(request: Received, writer: asyncio.StreamWriter) -> None:
    """Answers as llama-server does, with the built-in model."""
    question = json.loads(request.body)
    if not isinstance(question.get("messages"), list):
        error = {"code": 400, "message": "Expected 'messages' to be an array", "type": "x"}
        await say(writer, 400, json.dumps({"error": error}).encode())
        return
    known = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "selftest"}
    if question.get("stream"):
        await streams(*_events(question, known))(request, writer)
        return
    message: dict[str, object] = {"role": "assistant", "content": selftest.SENTENCE}
    reason = "stop"
    if question.get("tool_choice") == "required":
        name = question["tools"][0]["function"]["name"]
        function = {"name": name, "arguments": '{"city": "x"}'}
        message["tool_calls"] = [{"id": "1", "type": "function", "function": function}]
        reason = "tool_calls"
    answer = known | {
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
        "usage": USAGE,
        "timings": {"prompt_n": 1},
    }
    await say(writer, 200, json.dumps(answer).encode())


def _events(question: dict, known: dict) -> list[bytes]:
    known = known | {"object": "chat.completion.chunk"}
    words = [{"role": "assistant", "content": None}]
    words += [{"content": word} for word in selftest.SENTENCE.split(" ")]
    for place in range(2, len(words)):
        words[place]["content"] = f" {words[place]['content']}"
    chunks = [{"choices": [{"index": 0, "finish_reason": None, "delta": w}]} for w in words]
    chunks.append({"choices": [{"index": 0, "finish_reason": "stop", "delta": {}}]})
    if question.get("stream_options", {}).get("include_usage"):
        chunks.append({"choices": [], "usage": USAGE})
    events = [b"data: " + json.dumps(known | c).encode() + b"\n\n" for c in chunks]
    return [*events, b"data: [DONE]\n\n"]


@pytest.fixture(
    params=[
        "fake",
        pytest.param(
            "llama-server",
            marks=[
                pytest.mark.live,
                pytest.mark.skipif(
                    not Path(SERVER or "/nowhere").is_file(),
                    reason="HEARTH_LLAMA_SERVER names no llama-server binary",
                ),
            ],
        ),
    ]
)
async def gateway(
    request: pytest.FixtureRequest, serve, upstream, catalogue: Catalogue, tmp_path: Path
) -> AsyncIterator[Gateway]:
    """A gateway whose expert `general` serves the built-in model."""
    if request.param == "fake":
        catalogue.register("general", await upstream(llama, rung="selftest"))
        yield await serve()
        return
    expert = Upstream("selftest", llama)
    expert.port = free_port()
    process = await asyncio.create_subprocess_exec(
        SERVER,
        *real_flags(tmp_path, expert.port),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await ready(expert.port)
        catalogue.register("general", expert)
        yield await serve(request_timeout_s=30.0)
    finally:
        process.terminate()
        await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def real_flags(folder: Path, port: int) -> list[str]:
    (folder / "key").write_text(UPSTREAM_KEY)
    (folder / "selftest.gguf").write_bytes(selftest.build())
    settings = ExpertSettings.model_validate(
        {
            "expert": "general",
            "llama_server": SERVER,
            "ladder": [{"name": "selftest", "path": str(folder / "selftest.gguf")}],
            "context_tokens": 2048,
            "slots": 2,
            "threads": 1,
            "memory_limit_mib": 512,
            "state_file": str(folder / "state.json"),
        }
    )
    listen = Listen(host="127.0.0.1", port=port, api_key_file=str(folder / "key"))
    return llama_flags(settings, settings.ladder[0], listen)


async def ready(port: int) -> None:
    async with httpx.AsyncClient() as client, asyncio.timeout(20):
        while True:
            try:
                if (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.02)
