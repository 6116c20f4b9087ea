"""Where the catalogue is asked, and with which identity."""

import asyncio

import httpx
import pytest

from gateway.fleet.nomad_client import nomad_client


async def sent(environment: dict[str, str]) -> httpx.Request:
    seen = []

    async def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    transport = httpx.MockTransport(answer)
    async with nomad_client("http://127.0.0.1:4646", environment, transport=transport) as client:
        await client.get("/v1/services", params={"index": 7})
    return seen[0]


async def test_the_identity_and_the_namespace_of_the_task_go_with_every_request():
    request = await sent({"NOMAD_TOKEN": "eyJ.one", "NOMAD_NAMESPACE": "ai"})
    assert request.headers["x-nomad-token"] == "eyJ.one"
    assert dict(request.url.params) == {"namespace": "ai", "index": "7"}


async def test_without_an_identity_no_token_is_sent():
    assert "x-nomad-token" not in (await sent({})).headers
    assert "x-nomad-token" not in (await sent({"NOMAD_TOKEN": ""})).headers


async def test_a_renewed_identity_is_read_anew_for_each_request(tmp_path):
    environment = {"NOMAD_TOKEN": "eyJ.start", "NOMAD_SECRETS_DIR": str(tmp_path)}
    tokens = [(await sent(environment)).headers["x-nomad-token"]]
    for token in ("eyJ.two", "eyJ.three"):
        (tmp_path / "nomad_token").write_text(f"{token}\n")
        tokens.append((await sent(environment)).headers["x-nomad-token"])
    assert tokens == ["eyJ.start", "eyJ.two", "eyJ.three"]


async def test_the_tasks_own_socket_is_an_address_too(tmp_path):
    path = tmp_path / "api.sock"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    async with server, nomad_client(f"unix://{path}", {}) as client:
        assert (await client.get("/v1/services")).json() == []


def test_an_unreadable_authority_is_an_error_and_not_silently_ignored(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        nomad_client("https://127.0.0.1:4646", {"NOMAD_CACERT": str(tmp_path / "absent.pem")})
