"""The memory is bounded in size and time."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.conversation_id import conversation_id
from gateway.routing.facts import Facts
from gateway.routing.recent import Recent
from tests.gateway.routing.fakes import Clock


def test_the_one_unused_longest_gives_way():
    recent: Recent[int] = Recent(2, 10, Clock())
    for key, value in ((b"a", 1), (b"b", 2), (b"a", 1), (b"c", 3)):
        recent.put(key, value)
    assert [recent.get(key) for key in (b"a", b"b", b"c")] == [1, None, 3]


def test_an_entry_past_its_time_is_only_for_those_who_insist():
    clock = Clock()
    recent: Recent[int] = Recent(2, 10, clock)
    recent.put(b"a", 1)
    clock.now += 10
    assert recent.get(b"a") == 1
    clock.now += 0.1
    assert recent.get(b"a") is None
    assert recent.get(b"a", even_expired=True) == 1


@given(st.integers(1, 5), st.lists(st.binary(max_size=1)))
def test_it_never_outgrows_its_size_and_knows_the_latest(size, keys):
    recent: Recent[int] = Recent(size, 10, Clock())
    for n, key in enumerate(keys):
        recent.put(key, n)
        assert len(recent) <= size
        assert recent.get(key) == n


def test_a_conversation_is_named_by_its_header_or_its_opening():
    opening = Facts(key_id="k", system_text="s", first_user_text="Hi")
    same = [opening, Facts(key_id="k", system_text="s", first_user_text="Hi", messages=9)]
    assert len({conversation_id(facts) for facts in same}) == 1
    others = [
        opening,
        Facts(key_id="other", system_text="s", first_user_text="Hi"),
        Facts(key_id="k", system_text="t", first_user_text="Hi"),
        Facts(key_id="k", system_text="s", first_user_text="Ho"),
        Facts(key_id="k", system_text="sH", first_user_text="i"),
        Facts(key_id="k", headers={"x-session-id": "1"}),
        Facts(key_id="k", headers={"x-session-id": "2"}),
        Facts(key_id="other", headers={"x-session-id": "1"}),
    ]
    assert len({conversation_id(facts) for facts in others}) == len(others)
    assert conversation_id(Facts(key_id="k")) is None
    litellm = Facts(key_id="k", headers={"x-litellm-session-id": "1"}, first_user_text="x")
    assert conversation_id(litellm) == conversation_id(others[5])
