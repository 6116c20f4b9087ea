"""Comparing inputs."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from toolchain.plugins.diffing import compare
from toolchain.plugins.values import secret

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=8,
)
PROPERTIES = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES)


@given(PROPERTIES)
def test_nothing_differs_from_itself(properties: dict[str, Any]) -> None:
    assert not compare(properties, properties).changes


@given(PROPERTIES, PROPERTIES)
def test_a_diff_is_empty_only_for_equal_values(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert bool(compare(old, new).changes) == (repr_sorted(old) != repr_sorted(new))


@given(PROPERTIES, PROPERTIES)
def test_the_other_way_round_adds_become_deletes(old: dict[str, Any], new: dict[str, Any]) -> None:
    swapped = {"ADD": "DELETE", "DELETE": "ADD", "UPDATE": "UPDATE"}
    there = {path: swapped[kind] for path, kind in compare(old, new).changes.items()}
    assert there == dict(compare(new, old).changes)


def repr_sorted(value: Any) -> Any:
    """A value in a form that tells True from 1 and knows no order of keys."""
    if isinstance(value, dict):
        return sorted((key, repr_sorted(item)) for key, item in value.items())
    if isinstance(value, list):
        return ["list", *map(repr_sorted, value)]
    return repr(value)


def test_paths_go_into_maps_and_lists() -> None:
    old = {"environment": {"A": "1", "B": "2"}, "triggers": [1, 2, 3]}
    new = {"environment": {"A": "9", "C": "3"}, "triggers": [1, 5]}
    assert dict(compare(old, new).changes) == {
        "environment.A": "UPDATE",
        "environment.B": "DELETE",
        "environment.C": "ADD",
        "triggers[1]": "UPDATE",
        "triggers[2]": "DELETE",
    }


def test_a_secret_mark_alone_is_no_change_but_its_value_is() -> None:
    assert not compare({"a": "x"}, {"a": secret("x")}).changes
    assert dict(compare({"a": secret("x")}, {"a": secret("y")}).changes) == {"a": "UPDATE"}


def test_bookkeeping_and_ignored_names_never_differ() -> None:
    assert not compare({"__defaults": [], "b": 1}, {"b": 2}, ignored=frozenset({"b"})).changes


def test_true_is_not_one() -> None:
    assert dict(compare({"a": True}, {"a": 1}).changes) == {"a": "UPDATE"}


def test_keys_are_the_top_names_once_each() -> None:
    assert compare({"b": [1, 2], "a": {"x": 1}}, {"b": [3, 4], "a": {"x": 2}}).keys == ["a", "b"]
