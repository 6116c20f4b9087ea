"""A gateway in a process of its own, as its users run it."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.gateway.fakes import KEY, UPSTREAM_KEY, Upstream


@dataclass
class Running:
    """A gateway in a process of its own, and a client with a key."""

    process: asyncio.subprocess.Process
    url: str
    folder: Path
    expert: Upstream

    def client(self, key: str = KEY) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers={"authorization": f"Bearer {key}"})

    async def chat(self, client: httpx.AsyncClient, **fields: object) -> httpx.Response:
        body = {"model": "general", "messages": []} | fields
        return await client.post("/v1/chat/completions", json=body)

    async def admin(self, method: str, path: str, body: object = None) -> Any:
        key = (self.folder / "data/admin.key").read_text().strip()
        async with self.client(key) as client:
            answer = await client.request(method, f"/admin{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def usage(self) -> dict[str, Any]:
        return (await self.admin("GET", "/usage"))["total"]

    async def workers(self) -> list[int]:
        """The processes that serve."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = [int(pid) for pid in path.read_text().split()]
        return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def is_up(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).status_code == 200
    except httpx.TransportError:
        return False


def secrets_text(**changes: object) -> str:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    keys = {"keys": [{"id": "k", "sha256": digest}], "upstream_key": UPSTREAM_KEY}
    return json.dumps(keys | changes)


async def launch(checkout, folder) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway"),
        *("--settings", str(folder / "settings.json"), "--secrets", str(folder / "secrets.json")),
        env=os.environ | {"PYTHONPATH": f"{checkout}:{checkout / 'images/base'}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


async def holds(check: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.05)
