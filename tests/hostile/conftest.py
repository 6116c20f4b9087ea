"""A gateway under siege: what is behind it takes nothing that is not sound, and repeats the markers
it is sent, so that an answer that reaches the wrong client shows itself.
"""

import asyncio
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.fake_expert import Asked, FakeExpert, begin_events, chat_chunk, say, say_event
from tests.contract.processes import GatewayProcess, wait_until

MARKER = re.compile(rb"marker-[a-z0-9]+-[0-9]+-end")
REPORT: list[str] = []
LARGEST_BODY = 256 * 1024


async def echoes(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Answers with every marker in the body, whole or as a stream, after a moment."""
    markers = [one.decode() for one in MARKER.findall(asked.body)]
    streaming = False
    if asked.headers["content-type"].startswith("application/json"):
        streaming = json.loads(asked.body).get("stream") is True
    await asyncio.sleep(random.random() * 0.004)
    if not streaming:
        await say(writer, 200, {"markers": markers, "usage": {"prompt_tokens": 1}})
        return
    await begin_events(writer)
    for one in (*markers, "last"):
        await say_event(writer, chat_chunk({"content": one}))
    writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    await writer.drain()


class Siege:
    """The gateway and what is behind it."""

    def __init__(self, folder: Any) -> None:
        self.expert = FakeExpert(echoes, slots=256)
        upstreams = {"upstreams": [{"url": self.expert.url}]}
        vectors = ["embeddings", "rerank", "transcription", "speech"]
        experts = {
            "general": upstreams,
            "embed": {**upstreams, "capabilities": vectors},
            "both": {**upstreams, "capabilities": ["chat", *vectors]},
        }
        self.gateway = GatewayProcess(
            folder, experts, max_body_bytes=LARGEST_BODY, timeouts={"request_s": 3}
        )
        self.count = self.answered = 0

    def end(self) -> None:
        """Looks whether everything is as sound as before, and stops it."""
        gateway, expert = self.gateway, self.expert
        try:
            told = f"{self.count} hostile requests, {self.answered} of them answered"
            REPORT.append(f"{told}, then {gateway.rss_kb()} kB")
            assert gateway.alive
            assert wait_until(lambda: gateway.metric("in_flight") == 0, within_s=5)
            assert wait_until(lambda: gateway.metric("waiting") == 0, within_s=5)
            assert not expert.violations, expert.violations[:3]
            log = gateway.log.read_text(errors="replace")
            assert "Traceback" not in log, log[log.index("Traceback") - 300 :][:3000]
            assert gateway.stop() == 0
        finally:
            gateway.stop()
            expert.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in REPORT:
        terminalreporter.write_line(line)


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    one = Siege(tmp_path_factory.mktemp("siege"))
    yield one
    one.end()


@pytest.fixture
def siege_of_its_own(tmp_path: Any) -> Iterator[Siege]:
    """One for a test that leaves damage; nobody looks at it afterwards."""
    one = Siege(tmp_path)
    yield one
    one.gateway.stop()
    one.expert.stop()
