"""How replicas come, go and change in the gateway's eyes."""

import asyncio
import logging

import httpx
import pytest

from gateway.fleet.discovery import Discovery
from gateway.fleet.probe import Probe
from gateway.fleet.replicas import Endpoint, Fleet
from gateway.wire.upstream import Pool
from tests.gateway.fakes import UPSTREAM_KEY, settings_of


async def test_a_replica_that_registers_later_is_used_within_moments(serve, upstream, catalogue):
    gateway = await serve(probe_interval_s=60)
    assert (await gateway.chat()).status_code == 503
    catalogue.register("general", await upstream())

    async def serves() -> bool:
        return (await gateway.chat()).status_code == 200

    await gateway.until(serves, seconds=2)


async def test_a_replica_that_dies_is_gone_after_one_probe(serve, upstream, catalogue):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve()
    assert await gateway.replicas() == 1
    await expert.stop()

    async def gone() -> bool:
        return await gateway.replicas() == 0

    await gateway.until(gone, seconds=2)


async def test_a_replica_that_comes_back_is_used_again_without_waiting_for_the_next_probe(
    serve, upstream, catalogue
):
    expert = await upstream()
    catalogue.register("general", expert)
    gateway = await serve(probe_interval_s=60)
    await expert.stop()

    async def fails() -> bool:
        return (await gateway.chat()).status_code == 503

    await gateway.until(fails)
    await expert.start()

    async def serves() -> bool:
        return (await gateway.chat()).status_code == 200

    await gateway.until(serves, seconds=2)


async def test_a_replica_the_catalogue_dropped_gets_no_request(serve, upstream, catalogue):
    old, new = await upstream(), await upstream()
    catalogue.register("general", old)
    gateway = await serve()
    catalogue.register("general", new)

    async def moved() -> bool:
        await gateway.chat()
        return len(new.received) > 0

    await gateway.until(moved)
    before = len(old.received)
    await gateway.chat()
    assert len(old.received) == before


async def test_a_replica_that_loads_is_not_live(serve, upstream, catalogue):
    expert = await upstream()
    expert.health = 503
    catalogue.register("general", expert)
    gateway = await serve()
    assert await gateway.replicas() == 0


async def test_a_change_of_rung_is_noticed(serve, upstream, catalogue):
    expert = await upstream(rung="selftest")
    catalogue.register("general", expert)
    gateway = await serve()
    assert "x-hearth-degraded" in (await gateway.chat()).headers
    expert.rung = "big"  # as a runner does: the same port, another model

    async def upgraded() -> bool:
        return "x-hearth-degraded" not in (await gateway.chat()).headers

    await gateway.until(upgraded)


async def test_without_a_tag_nothing_is_called_degraded(serve, upstream, catalogue):
    catalogue.register("general", await upstream(rung="selftest"), preferred=None)
    gateway = await serve()
    assert "x-hearth-degraded" not in (await gateway.chat()).headers


async def test_known_replicas_serve_on_while_the_catalogue_is_down(serve, upstream, catalogue):
    catalogue.register("general", await upstream())
    gateway = await serve()
    assert (await gateway.chat()).status_code == 200
    catalogue.status = 500
    await asyncio.sleep(0.3)
    assert (await gateway.chat()).status_code == 200


async def test_a_catalogue_that_is_down_at_start_is_read_once_it_is_back(
    serve, upstream, catalogue
):
    catalogue.status = 500
    catalogue.register("general", await upstream())
    gateway = await serve()
    assert (await gateway.chat()).status_code == 503
    catalogue.status = 200

    async def serves() -> bool:
        return (await gateway.chat()).status_code == 200

    await gateway.until(serves)


async def test_a_failing_catalogue_is_reported_once_per_expert_and_not_at_every_try(
    serve, catalogue, caplog
):
    caplog.set_level(logging.INFO, logger="gateway")
    catalogue.status = 403
    await serve(probe_interval_s=0.02)
    await asyncio.sleep(0.4)
    assert caplog.text.count("catalogue fails expert=general why=HTTP 403") == 1


@pytest.mark.parametrize("answer", [b"", b"{}", b"[1]", b'[{"ID": "x"}]', b'{"a": 1}', b"null"])
async def test_an_answer_nomad_would_never_give_leaves_discovery_running(answer):
    async def nomad(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=answer)

    discovery = discovery_with(nomad, fleet_of())
    task = asyncio.create_task(discovery.run())
    await asyncio.sleep(0.15)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("address", ["", "not a host", "\u0000", "a" * 300, "[::1"])
async def test_an_address_nobody_can_reach_leaves_discovery_running(address):
    async def nomad(_: httpx.Request) -> httpx.Response:
        entry = {"ID": "a", "Address": address, "Port": 80, "Tags": []}
        return httpx.Response(200, json=[entry], headers={"x-nomad-index": "1"})

    fleet = fleet_of()
    discovery = discovery_with(nomad, fleet, httpx.AsyncHTTPTransport())
    task = asyncio.create_task(discovery.run())
    await asyncio.sleep(0.3)
    assert not task.done()
    assert not fleet.live("general")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "broken",
    [
        {"ID": "b", "Address": "[::1", "Port": 80, "Tags": []},
        {"ID": "b", "Address": "", "Port": 80, "Tags": []},
        {"ID": "b", "Address": "10.0.0.2", "Port": "many", "Tags": []},
        {"ID": "b", "Address": "10.0.0.2", "Port": 70000, "Tags": []},
        {"Address": "10.0.0.2", "Port": 80},
        None,
    ],
)
async def test_a_malformed_registration_does_not_hide_the_others(broken):
    async def nomad(_: httpx.Request) -> httpx.Response:
        sound = {"ID": "a", "Address": "10.0.0.1", "Port": 80, "Tags": []}
        return httpx.Response(200, json=[broken, sound])

    async def replica(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"id": "big"}]})

    fleet = fleet_of()
    await discovery_with(nomad, fleet, replica).look("general")
    assert [one.endpoint.id for one in fleet.of("general")] == ["a"]
    assert fleet.live("general")


@pytest.mark.parametrize("answer", [[None], [{"ID": "b"}], {"error": "no list"}])
async def test_registrations_that_are_all_malformed_forget_no_replica(answer):
    known = [{"ID": "a", "Address": "10.0.0.1", "Port": 80, "Tags": []}]
    answers = iter([known, answer])

    async def nomad(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=next(answers))

    async def replica(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"id": "big"}]})

    fleet = fleet_of()
    discovery = discovery_with(nomad, fleet, replica)
    await discovery.look("general")
    with pytest.raises(ValueError, match="general"):
        await discovery.look("general")
    assert [one.endpoint.id for one in fleet.of("general")] == ["a"]


async def test_an_index_that_fell_makes_the_watcher_start_over():
    asked = []

    async def nomad(request: httpx.Request) -> httpx.Response:
        if "general" in request.url.path:
            asked.append(request.url.params.get("index"))
        if len(asked) > 3:
            await asyncio.sleep(3600)
        index = ["90", "5", "6", "7"][len(asked) - 1] if asked else "1"
        return httpx.Response(200, json=[], headers={"x-nomad-index": index})

    task = asyncio.create_task(discovery_with(nomad, fleet_of()).run())
    async with asyncio.timeout(3):
        while len(asked) < 4:
            await asyncio.sleep(0.01)
    task.cancel()
    assert asked == [None, "90", None, "6"]


async def test_one_unanswered_probe_is_forgiven_and_two_are_not():
    fleet = fleet_of()
    mood = {"hangs": False}

    async def nomad(_: httpx.Request) -> httpx.Response:
        entry = {"ID": "a", "Address": "10.0.0.1", "Port": 80, "Tags": None}
        return httpx.Response(200, json=[entry], headers={"x-nomad-index": "1"})

    async def replica(request: httpx.Request) -> httpx.Response:
        if mood["hangs"]:
            raise httpx.ReadTimeout("slow", request=request)
        return httpx.Response(200, json={"data": [{"id": "big"}]})

    discovery = discovery_with(nomad, fleet, replica)
    await discovery.look("general")
    live = []
    for mood["hangs"] in (False, True, False, True, True):
        await discovery.probe_all()
        live.append(fleet.of("general")[0].live)
    assert live == [True, True, True, True, False]


async def test_a_replica_keeps_its_count_of_requests_when_the_catalogue_repeats_it():
    fleet = fleet_of()

    async def nomad(_: httpx.Request) -> httpx.Response:
        entry = {"ID": "a", "Address": "fd00::1", "Port": 80, "Tags": ["preferred-rung=big"]}
        return httpx.Response(200, json=[entry])

    discovery = discovery_with(nomad, fleet, nomad)
    await discovery.look("general")
    fleet.of("general")[0].in_flight = 3
    await discovery.look("general")
    replica = fleet.of("general")[0]
    assert replica.in_flight == 3
    assert replica.endpoint.url == "http://[fd00::1]:80"
    assert replica.endpoint.preferred == "big"


def fleet_of() -> Fleet:
    def connect(endpoint: Endpoint) -> Pool:
        return Pool(*endpoint.address)

    return Fleet(connect, upstream_key=UPSTREAM_KEY)


def discovery_with(nomad, fleet: Fleet, replica=None) -> Discovery:
    transport = replica if isinstance(replica, httpx.AsyncHTTPTransport) else None
    client = httpx.AsyncClient(
        headers={"authorization": f"Bearer {UPSTREAM_KEY}"},
        transport=transport or httpx.MockTransport(replica or nomad),
    )
    return Discovery(
        settings_of(probe_interval_s=0.02),
        fleet,
        nomad=httpx.AsyncClient(base_url="http://nomad", transport=httpx.MockTransport(nomad)),
        probe=Probe(client, interval_s=0.02),
    )
