"""What people and programs that look after the gateway ask it."""

import json

import httpx
import pytest

from tests.gateway.fakes import KEY, answers


async def test_health_needs_no_key(serve):
    gateway = await serve()
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def breaks(*_: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("task", "part", "method"),
    [
        ("discovery", "fleet", "all"),
        ("access", "ledger", "tend"),
        ("sweep", "waiting", "serve_all"),
    ],
)
async def test_a_gateway_that_stopped_doing_a_part_of_its_work_is_not_well(
    serve, monkeypatch, task, part, method
):
    gateway = await serve()
    owner = getattr(gateway.core, part)
    monkeypatch.setattr(type(owner), method, breaks)

    async def unwell() -> bool:
        answer = await gateway.client.get("/health")
        return answer.status_code == 503 and task in answer.json()["error"]["message"]

    await gateway.until(unwell)
    answer = await gateway.client.get("/health")
    assert answer.json()["error"]["code"] == "gateway_broken"


async def test_a_connection_that_fails_when_looked_after_costs_no_other_its_deadline(serve):
    gateway = await serve()
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        await client.get("/health")
        [first] = gateway.core.connections
        first.sweep = breaks

        async def gone() -> bool:
            return first not in gateway.core.connections

        await gateway.until(gone)
    assert (await gateway.client.get("/health")).status_code == 200


async def test_a_gateway_that_is_finishing_says_so(serve):
    gateway = await serve()
    gateway.core.draining = True
    answer = await gateway.client.get("/health")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "gateway_restarting")


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        (("127.0.0.1", 1), {}, 200),
        (("::1", 1), {}, 200),
        (("192.168.1.7", 1), {}, 401),
        (("192.168.1.7", 1), {"authorization": f"Bearer {KEY}"}, 200),
    ],
)
async def test_figures_are_open_to_this_machine_and_keyed_for_all_others(
    serve, client, headers, status
):
    gateway = await serve()
    app = gateway.server.config.loaded_app
    transport = httpx.ASGITransport(app, client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as outside:
        for path in ("/metrics", "/status.json"):
            assert (await outside.get(path, headers=headers)).status_code == status


async def test_metrics_count_answers_by_expert_and_status(serve, upstream, catalogue):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    await gateway.chat()
    await gateway.chat()
    expert.behaviour = answers(400, b'{"error":{"message":"no"}}')
    await gateway.chat()
    total = 'hearth_gateway_requests_total{expert="general",status="%d"}'
    assert await gateway.metric(total % 200) == "2"
    assert await gateway.metric(total % 400) == "1"
    assert await gateway.metric('hearth_gateway_duration_seconds_count{expert="general"}') == "3"
    assert await gateway.metric('hearth_gateway_replicas{expert="general"}') == "1"


async def test_the_status_page_holds_no_figures_and_may_load_nothing(serve):
    gateway = await serve()
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        page = await client.get("/status")
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "general" not in page.text


async def test_the_figures_name_every_expert_and_its_replicas_and_hosts_only_where_allowed(
    serve, upstream, catalogue
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    figures = (await gateway.client.get("/status.json")).json()
    assert [one["name"] for one in figures["experts"]] == ["general", "coder"]
    replica = figures["experts"][0]["replicas"][0]
    assert (replica["live"], replica["serving"], replica["url"]) == (True, "big", None)
    open_one = await serve(show_hosts=True)
    figures = (await open_one.client.get("/status.json")).json()
    assert figures["experts"][0]["replicas"][0]["url"] == f"http://127.0.0.1:{expert.port}"


@pytest.mark.parametrize("shown", [True, False])
async def test_the_host_of_a_replica_is_told_only_where_the_settings_allow(
    serve, upstream, catalogue, shown
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve(show_hosts=shown)
    host = (await gateway.chat()).headers.get("x-hearth-host")
    assert host == (f"127.0.0.1:{expert.port}" if shown else None)


async def test_an_explanation_says_what_would_be_decided_and_sends_nothing(
    serve, upstream, catalogue
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}
    said = (await gateway.client.post("/v1/route/explain", json=body)).json()
    assert said["decision"]["expert"] == "general"
    assert expert.received == []


@pytest.mark.parametrize(
    ("content", "query", "status"),
    [
        (b"{", "", 400),
        (b"[]", "", 400),
        (b"", "", 400),
        (b'{"model": 7}', "", 400),
        (b'{"model": "none"}', "", 404),
        (b"{}", "?endpoint=/nowhere", 400),
        (b" " * 2_000_000, "", 413),
    ],
)
async def test_an_explanation_of_nonsense_is_refused(serve, content, query, status):
    gateway = await serve()
    answer = await gateway.client.post(f"/v1/route/explain{query}", content=content)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_every_answer_of_fastapi_has_an_id_too(serve, method):
    gateway = await serve()
    answer = await gateway.client.request(method, "/nowhere", headers={"x-request-id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (404, "mine")
    assert json.loads(answer.content)["error"]["code"] == "unknown_url"
