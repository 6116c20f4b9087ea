"""What one look at a replica finds out."""

import json

import httpx
import pytest

from gateway.fleet.probe import Probe
from gateway.fleet.replicas import DEFAULT_SLOTS, Endpoint, Replica
from gateway.wire.upstream import Pool


class Server:
    """A server whose answers a test decides, by path; an exception is raised."""

    def __init__(self, **answers: object) -> None:
        self.answers: dict[str, object] = {"models": {"data": [{"id": "big"}]}} | answers
        self.asked: list[str] = []

    async def handle(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        self.asked.append(request.url.path)
        answer = self.answers.get(name, 404)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return httpx.Response(answer)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return httpx.Response(200, content=content)


def probe_of(server: Server, workers: int = 1) -> Probe:
    client = httpx.AsyncClient(transport=httpx.MockTransport(server.handle))
    return Probe(client, interval_s=1.0, workers=workers)


def replica(**known: object) -> Replica:
    endpoint = Endpoint(id="a", expert="general", url="http://10.0.0.1:9/v1", **known)
    return Replica(endpoint, Pool("10.0.0.1", 9), None)


async def test_a_llama_server_tells_its_slots():
    made = replica()
    props = {"total_slots": 3}
    await probe_of(Server(props=props))(made)
    assert (made.live, made.serving, made.slots, made.counts) == (True, "big", 3, True)
    assert made.pool.limit == 3


async def test_another_server_gets_the_usual_slots_and_does_not_count():
    made = replica()
    await probe_of(Server())(made)
    assert (made.live, made.slots, made.counts) == (True, DEFAULT_SLOTS, False)


@pytest.mark.parametrize("props", [{}, [], {"total_slots": "x"}, b"<html>", {"total_slots": None}])
async def test_strange_props_are_those_of_another_server(props):
    made = replica()
    await probe_of(Server(props=props))(made)
    assert (made.live, made.slots, made.counts) == (True, DEFAULT_SLOTS, False)


async def test_the_settings_know_the_slots_better():
    made = replica(slots=2)
    await probe_of(Server(props={"total_slots": 9}))(made)
    assert made.slots == 2


@pytest.mark.parametrize(("workers", "slots"), [(1, 5), (2, 2), (8, 1)])
async def test_workers_share_the_slots_and_each_has_one_at_least(workers, slots):
    made = replica()
    await probe_of(Server(props={"total_slots": 5}), workers)(made)
    assert made.slots == slots


@pytest.mark.parametrize(
    "models",
    [
        503,
        401,
        {},
        {"data": []},
        [],
        b"",
        b"<html>",
        {"data": [{}]},
        httpx.ConnectError("no"),
        httpx.RemoteProtocolError("no"),
    ],
)
async def test_a_replica_that_does_not_answer_well_is_lost_at_once(models):
    made = replica()
    server = Server()
    await probe_of(server)(made)
    server.answers["models"] = models
    await probe_of(server)(made)
    assert not made.live


async def test_one_unanswered_look_is_forgiven_and_two_are_not():
    made, server = replica(), Server()
    await probe_of(server)(made)
    live, slow = [], httpx.ReadTimeout("slow")
    for error in (slow, None, slow, slow):
        server.answers["models"] = error or {"data": [{"id": "big"}]}
        await probe_of(server)(made)
        live.append(made.live)
    assert live == [True, True, True, False]


async def test_requests_that_wait_inside_it_are_seen():
    made = replica()
    server = Server(
        props={"total_slots": 1},
        metrics=b"# TYPE x gauge\nllamacpp:requests_processing 1\nllamacpp:requests_deferred 4\n",
    )
    await probe_of(server)(made)
    await probe_of(server)(made)
    assert made.deferred == 4
    server.answers["metrics"] = 501
    await probe_of(server)(made)
    assert made.live


async def test_another_rung_is_learned_anew():
    made, server = replica(), Server(props={"total_slots": 3})
    await probe_of(server)(made)
    server.answers |= {"models": {"data": [{"id": "small"}]}, "props": {"total_slots": 7}}
    await probe_of(server)(made)
    assert (made.serving, made.slots) == ("small", 7)


async def test_the_version_in_an_address_is_understood():
    server = Server()
    await probe_of(server)(replica())
    assert server.asked == ["/v1/models", "/props"]
