"""A gateway process with model servers whose every move a test decides, and the browser that looks
at its status page. Owns what it starts and ends it.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from contract.services import preferred_rung_tag
from tests.ports import free_port

CHROMIUM: Final = Path("/usr/bin/chromium")
KEY: Final = "sk-hearth-of-a-person-who-looks"
CHECKOUT: Final = Path(__file__).parents[3]
_PATIENCE_S: Final = 20.0
_GRACE_S: Final = 10.0


def own_address() -> str | None:
    """An address of this machine that is not loopback. Nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        address: str = probe.getsockname()[0]
        return None if address.startswith("127.") else address
    return None


class ModelServer:
    """One replica. Answers wait while ``go`` is not set; ``catalogue`` makes it play Nomad too."""

    def __init__(self, rung: str) -> None:
        self.rung = rung
        self.port = free_port()
        self.go = asyncio.Event()
        self.go.set()
        self.catalogue: dict[str, list[dict[str, Any]]] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> "ModelServer":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        return self

    async def stop(self) -> None:
        """As if its machine lost power."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def register(self, expert: str, *servers: "ModelServer", preferred: str) -> None:
        """What the catalogue says from now on."""
        self.catalogue[f"expert-{expert}"] = [
            {
                "ID": f"_nomad-task-{expert}-{place}",
                "Address": "127.0.0.1",
                "Port": server.port,
                "Tags": [preferred_rung_tag(preferred)],
            }
            for place, server in enumerate(servers)
        ]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError, ConnectionError, EOFError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            if "content-length: " in head:
                length = head.partition("content-length: ")[2].partition("\r\n")[0]
                await reader.readexactly(int(length))
            await self._answer(head.split(" ")[1], writer)
        writer.close()
        self._tasks.discard(task)

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        status, document = 200, self._document(path)
        if document is None:
            status, document = 404, {}
        elif path.startswith("/v1/chat"):
            await self.go.wait()
        elif "index=" in path:
            await asyncio.sleep(0.5)  # no news for a blocking query
        body = json.dumps(document).encode()
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nx-nomad-index: 7\r\n"
            f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()

    def _document(self, path: str) -> Any:
        if path == "/v1/models":
            return {"data": [{"id": self.rung}]}
        if path.startswith("/v1/service/"):
            return self.catalogue.get(path.partition("/v1/service/")[2].partition("?")[0], [])
        if path == "/v1/chat/completions":
            usage = {"prompt_tokens": 1200, "completion_tokens": 340, "total_tokens": 1540}
            message = {"role": "assistant", "content": "Hello."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            cached = {"prompt_tokens_details": {"cached_tokens": 900}}
            return {"choices": [choice], "usage": usage | cached}
        return None


@dataclass
class World:
    """A gateway in a process of its own, and a browser beside it."""

    folder: Path
    browser: Browser
    stack: contextlib.AsyncExitStack
    gateway: asyncio.subprocess.Process | None = None
    port: int = field(default_factory=free_port)
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}"

    async def server(self, rung: str = "qwen3-8b") -> ModelServer:
        """A running replica."""
        server = await ModelServer(rung).start()
        self.stack.push_async_callback(server.stop)
        return server

    async def serve(self, *, key_id: str = "person", **settings: object) -> None:
        """Start the gateway and wait until it answers."""
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        document = {
            "host": "127.0.0.1",
            "port": self.port,
            "probe_interval_s": 0.2,
            "keys": [{"id": key_id, "sha256": digest}],
        }
        file = self.folder / "settings.yaml"
        file.write_text(yaml.safe_dump(document | settings, sort_keys=False))
        with (self.folder / "gateway.log").open("wb") as log:
            self.gateway = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", "--settings", str(file),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=CHECKOUT,
                env=os.environ | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'images/base'}"},
            )  # fmt: skip
        self.stack.push_async_callback(self.end)
        async with asyncio.timeout(_PATIENCE_S), httpx.AsyncClient(trust_env=False) as client:
            while True:
                assert self.gateway.returncode is None, (self.folder / "gateway.log").read_text()
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"{self.url()}/health")).status_code == 200:
                        return
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        """Tell the gateway to end, and wait until it has."""
        process = self.gateway
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _GRACE_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def ask(self, model: str) -> int:
        """One chat request; returns its status."""
        async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE_S) as client:
            answer = await client.post(
                f"{self.url()}/v1/chat/completions",
                headers={"authorization": f"Bearer {KEY}"},
                json={"model": model, "messages": [{"role": "user", "content": "Hi"}]},
            )
        return answer.status_code

    async def look(
        self, *, host: str = "127.0.0.1", width: int = 1280, scheme: Any = "light"
    ) -> Page:
        """The status page in a tab of its own; what it complains about and whom it asks is kept."""
        context = await self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        page = await context.new_page()
        page.set_default_timeout(_PATIENCE_S * 1000)

        def complained(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(message.text)

        def requested(request: Request) -> None:
            if not request.url.startswith((self.url(host), "data:")):
                self.strangers.append(request.url)

        page.on("console", complained)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", requested)
        await page.goto(f"{self.url(host)}/status")
        return page


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """A browser, and whatever is started beside it."""
    async with contextlib.AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        # Chromium's sandbox refuses root; the pages seen here are our own.
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        stack.push_async_callback(browser.close)
        yield World(folder, browser, stack)
