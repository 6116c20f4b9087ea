"""The replicas of every expert, as the catalogue changes."""

import pytest

from gateway.fleet.replicas import Endpoint, Fleet, Replica
from gateway.wire.upstream import Pool


def endpoint(name: str, url: str = "http://10.0.0.1:80", **known: object) -> Endpoint:
    return Endpoint(id=name, expert="general", url=url, **known)


def fleet() -> Fleet:
    return Fleet(lambda one: Pool(*one.address), upstream_key="sk-up")


def test_what_is_known_of_a_replica_stays_while_it_is_registered():
    made = fleet()
    made.update("general", [endpoint("a"), endpoint("b")])
    first = made.of("general")[0]
    first.in_flight, first.live = 3, True
    made.update("general", [endpoint("b"), endpoint("a", preferred="big")])
    assert made.of("general")[1] is first
    assert first.endpoint.preferred == "big"
    assert made.live("general")


def test_a_replica_at_another_address_is_another_replica():
    made = fleet()
    made.update("general", [endpoint("a")])
    first = made.of("general")[0]
    made.update("general", [endpoint("a", "http://10.0.0.2:80")])
    assert made.of("general")[0] is not first
    assert made.of("general")[0].pool.host == "10.0.0.2"


def test_a_replica_that_went_is_gone_and_the_others_of_other_experts_stay():
    made = fleet()
    made.update("general", [endpoint("a")])
    made.update("coder", [endpoint("c")])
    made.update("general", [])
    assert made.of("general") == []
    assert [one.endpoint.id for one in made.all()] == ["c"]
    assert not made.live("nobody")


@pytest.mark.parametrize(
    ("url", "address", "root", "tls"),
    [
        ("http://10.0.0.1:9931", ("10.0.0.1", 9931), "http://10.0.0.1:9931", False),
        ("http://10.0.0.1:9931/v1/", ("10.0.0.1", 9931), "http://10.0.0.1:9931", False),
        ("https://llm.example/v1", ("llm.example", 443), "https://llm.example", True),
        ("http://llm.example", ("llm.example", 80), "http://llm.example", False),
        ("http://[fd00::1]:80", ("fd00::1", 80), "http://[fd00::1]:80", False),
    ],
)
def test_an_address_is_read_from_a_url(url, address, root, tls):
    one = endpoint("a", url)
    assert (one.address, one.root, one.tls) == (address, root, tls)


def test_the_lines_that_name_the_model_follow_it():
    one = Replica(endpoint("a", preferred="big"), Pool("10.0.0.1", 80), None)
    one.answered("small")
    assert one.degraded
    assert b"x-hearth-degraded: small\r\n" in one.lines_for("explicit", show_host=False)
    one.answered("big")
    assert one.lines == {}
    lines = one.lines_for("explicit", show_host=True)
    assert b"x-hearth-model: big\r\n" in lines
    assert b"degraded" not in lines
    assert b"x-hearth-host: 10.0.0.1:80\r\n" in lines


def test_what_is_remembered_of_requests_is_bounded():
    one = Replica(endpoint("a"), Pool("10.0.0.1", 80), "sk-up")
    for number in range(1000):
        one.request_prefix("/v1/x", b"multipart/form-data; boundary=%d" % number)
        one.lines_for(f"neighbour:{number}", show_host=False)
    assert len(one.prefixes) <= 256
    assert len(one.lines) <= 256


def test_the_head_of_a_request_holds_the_experts_key_and_its_host():
    one = Replica(endpoint("a", "http://[fd00::1]:80/v1"), Pool("fd00::1", 80), "sk-up")
    head = one.request_prefix("/v1/chat/completions", b"application/json")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: [fd00::1]:80\r\n")
    assert b"authorization: Bearer sk-up\r\n" in head
    assert head.endswith(b"content-type: application/json\r\n")
