"""A client that decides every byte it sends and sees every byte that comes."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from tests.gateway.fakes import KEY, Gateway


@dataclass
class Answer:
    """One answer as it came; ``whole`` is False when the connection ended before it did."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    def json(self) -> Any:
        return json.loads(self.body)


class Raw:
    """One connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, gateway: Gateway, *, limit: int = 1 << 20) -> "Raw":
        return cls(*await asyncio.open_connection("127.0.0.1", gateway.port, limit=limit))

    async def send(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        """Each piece in a packet of its own, as far as a client can tell."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause_s)

    async def answer(self, seconds: float = 5.0) -> Answer:
        """The next answer, however it is framed."""
        async with asyncio.timeout(seconds):
            start, *lines = (
                (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            )
            pairs = (line.split(": ", 1) for line in lines if line)
            headers = {name.lower(): value for name, value in pairs}
            body, whole = await self._body(headers)
        return Answer(int(start.split(" ")[1]), headers, body, whole)

    async def _body(self, headers: dict[str, str]) -> tuple[bytes, bool]:
        if "content-length" in headers:
            try:
                return await self.reader.readexactly(int(headers["content-length"])), True
            except asyncio.IncompleteReadError as error:
                return error.partial, False
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.read(), True
        body = b""
        try:
            while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            assert await self.reader.readexactly(2) == b"\r\n"
        except (asyncio.IncompleteReadError, ConnectionError):
            return body, False
        return body, True

    async def ended(self, seconds: float = 5.0) -> bytes:
        """What still comes until the gateway closes."""
        async with asyncio.timeout(seconds):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def post(
    body: bytes,
    *lines: str,
    path: str = "/v1/chat/completions",
    key: str = KEY,
    version: str = "1.1",
    length: bool = True,
) -> bytes:
    """A request, byte for byte."""
    head = [f"POST {path} HTTP/{version}", "host: x", f"authorization: Bearer {key}", *lines]
    if length:
        head.append(f"content-length: {len(body)}")
    return "".join(f"{line}\r\n" for line in head).encode("latin-1") + b"\r\n" + body
