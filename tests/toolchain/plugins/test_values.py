"""Property values on the wire."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from toolchain.plugins.values import (
    SECRET,
    SIGNATURE,
    UNKNOWN,
    from_struct,
    has_unknown,
    is_secret,
    reveal,
    secret,
    to_struct,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.just(UNKNOWN)
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | inner.map(secret),
    max_leaves=20,
)
PROPERTIES = st.dictionaries(KEYS, VALUES)


def kinds(value: Any) -> Any:
    """The value with its types, because True == 1 == 1.0 in Python and not for the engine."""
    if isinstance(value, dict):
        return {key: kinds(item) for key, item in value.items()}
    if isinstance(value, list):
        return [kinds(item) for item in value]
    return (type(value).__name__, value)


@given(PROPERTIES)
def test_what_goes_over_the_wire_comes_back_the_same(properties: dict[str, Any]) -> None:
    assert kinds(from_struct(to_struct(properties))) == kinds(properties)


@given(PROPERTIES)
def test_the_wire_form_survives_bytes(properties: dict[str, Any]) -> None:
    struct = to_struct(properties)
    again = type(struct)()
    again.ParseFromString(struct.SerializeToString(deterministic=True))
    assert from_struct(again) == from_struct(struct)


@given(VALUES)
def test_revealing_leaves_no_mark_and_is_done_once(value: Any) -> None:
    def marked(inner: Any) -> bool:
        if isinstance(inner, dict):
            return is_secret(inner) or any(marked(item) for item in inner.values())
        return isinstance(inner, list) and any(marked(item) for item in inner)

    plain = reveal(value)
    assert not marked(plain)
    assert reveal(plain) == plain


@given(VALUES)
def test_marking_twice_is_marking_once(value: Any) -> None:
    once = secret(value)
    assert once[SIGNATURE] == SECRET
    assert secret(once) == once


def test_unknowns_are_found_at_any_depth_and_behind_secrets() -> None:
    assert has_unknown({"a": [{"b": secret({"c": UNKNOWN})}]})
    assert not has_unknown({"a": [{"b": secret({"c": "known"})}]})
