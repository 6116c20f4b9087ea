"""What the beginnings of a conversation are, and who has seen them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.fleet.prefix import PrefixIndex, chain

MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=20)}
    ),
    min_size=1,
    max_size=8,
)


def text(messages: list[dict[str, str]]) -> bytes:
    return json.dumps(messages).encode()


@given(MESSAGES, MESSAGES)
def test_a_conversation_that_goes_on_is_known_as_deep_as_it_went(first, more):
    index = PrefixIndex()
    index.learn(chain("general", text(first)), "a")
    links = chain("general", text([*first, *more]))
    assert index.known(links)["a"] >= chain("general", text(first))[-1].size
    assert index.known(chain("coder", text(first))) == {}


@given(MESSAGES)
def test_a_changed_message_ends_what_is_known(messages):
    index = PrefixIndex()
    index.learn(chain("general", text(messages)), "a")
    changed = [{"role": "user", "content": "other than all"}, *messages[1:]]
    assert index.known(chain("general", text(changed))) == {}


def test_a_system_prompt_alone_says_nothing_about_a_replica():
    system = {"role": "system", "content": "You are kind."}
    index = PrefixIndex()
    index.learn(chain("general", text([system, {"role": "user", "content": "a"}])), "a")
    other = chain("general", text([system, {"role": "user", "content": "b"}]))
    assert index.known(other) == {}


def test_a_long_prompt_is_known_by_its_blocks():
    index = PrefixIndex()
    prompt = json.dumps("x" * 5000).encode()
    index.learn(chain("general", prompt), "a")
    longer = json.dumps("x" * 5000 + "y" * 3000).encode()
    assert index.known(chain("general", longer))["a"] >= 4096


def test_a_conversation_two_replicas_saw_names_both():
    index = PrefixIndex()
    links = chain("general", text([{"role": "user", "content": "a"}]))
    index.learn(links, "a")
    index.learn(links, "b")
    assert index.known(links).keys() == {"a", "b"}


def test_what_was_unused_longest_is_forgotten_first():
    index = PrefixIndex(size=2)
    chains = [chain("general", text([{"role": "user", "content": str(n)}])) for n in range(3)]
    index.learn(chains[0], "a")
    index.learn(chains[1], "a")
    index.learn(chains[0], "a")
    index.learn(chains[2], "a")
    assert [bool(index.known(links)) for links in chains] == [True, False, True]
    assert len(index) == 2


@given(st.binary(max_size=80))
def test_any_text_has_beginnings_and_none_is_an_error(content):
    sizes = [link.size for link in chain("general", content)]
    assert sizes == sorted(sizes)
