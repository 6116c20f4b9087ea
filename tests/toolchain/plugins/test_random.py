"""Values made once."""

import base64
import string
import uuid
from typing import Any

import bcrypt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolchain.plugins.random.bytes import RandomBytes, RandomId
from toolchain.plugins.random.text import RandomPassword, RandomString, make_text
from toolchain.plugins.random.uuid import RandomUuid
from toolchain.plugins.values import UNKNOWN, is_secret, reveal


def make(resource: Any, log: Any, **given: Any) -> Any:
    checked = resource.check("x", {}, given)
    assert not checked.failures, checked.failures
    return resource.create("x", checked.inputs, preview=False, timeout_s=0, log=log)


def test_a_uuid_is_its_own_id_and_a_new_one_every_time(log: Any) -> None:
    one, two = make(RandomUuid(), log), make(RandomUuid(), log)
    assert one.id == one.outputs["result"] == str(uuid.UUID(one.id))
    assert one.id != two.id


def test_a_password_is_secret_and_its_hash_opens_with_it(log: Any) -> None:
    made = make(RandomPassword(), log, length=20)
    assert made.id == "none"
    assert is_secret(made.outputs["result"])
    assert is_secret(made.outputs["bcryptHash"])
    plain = reveal(made.outputs)
    assert len(plain["result"]) == 20
    assert bcrypt.checkpw(plain["result"].encode(), plain["bcryptHash"].encode())


def test_a_text_is_no_secret_and_its_own_id(log: Any) -> None:
    made = make(RandomString(), log, length=9)
    assert made.outputs["result"] == made.id
    assert len(made.id) == 9


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(1, 30)
)
def test_every_minimum_is_kept(
    upper: int, lower: int, digits: int, special: int, more: int
) -> None:
    minima = {"minUpper": upper, "minLower": lower, "minNumeric": digits, "minSpecial": special}
    length = upper + lower + digits + special + more
    text = make_text({"length": length, "overrideSpecial": "%~", **minima})
    assert len(text) == length
    assert sum(letter in string.ascii_uppercase for letter in text) >= upper
    assert sum(letter in string.ascii_lowercase for letter in text) >= lower
    assert sum(letter in string.digits for letter in text) >= digits
    assert sum(letter in "%~" for letter in text) >= special
    assert set(text) <= set(string.ascii_letters + string.digits + "%~")


def test_a_kind_that_is_switched_off_does_not_appear() -> None:
    text = make_text({"length": 400, "special": False, "upper": False, "numeric": False})
    assert set(text) <= set(string.ascii_lowercase)


@pytest.mark.parametrize("given", [{}, {"length": 0}, {"length": 3, "minUpper": 2, "minLower": 2}])
def test_a_length_that_cannot_be_is_refused(given: dict[str, Any]) -> None:
    assert RandomString().check("x", {}, given).failures


def test_bytes_are_secret_and_the_same_in_both_writings(log: Any) -> None:
    made = make(RandomBytes(), log, length=32)
    assert is_secret(made.outputs["base64"])
    assert is_secret(made.outputs["hex"])
    plain = reveal(made.outputs)
    assert base64.b64decode(plain["base64"]) == bytes.fromhex(plain["hex"])
    assert len(plain["hex"]) == 64


def test_an_id_has_one_value_in_four_writings_behind_its_prefix(log: Any) -> None:
    made = make(RandomId(), log, byteLength=8, prefix="p-")
    outputs = made.outputs
    value = bytes.fromhex(outputs["hex"].removeprefix("p-"))
    assert len(value) == 8
    assert outputs["dec"] == f"p-{int.from_bytes(value, 'big')}"
    assert base64.b64decode(outputs["b64Std"].removeprefix("p-")) == value
    assert outputs["b64Url"] == f"p-{made.id}"
    assert base64.urlsafe_b64decode(made.id + "=") == value


@pytest.mark.parametrize("resource", [RandomUuid(), RandomPassword(), RandomBytes(), RandomId()])
def test_new_keepers_make_a_new_value_and_the_same_ones_do_not(resource: Any) -> None:
    old = {"length": 4, "byteLength": 4, "keepers": {"a": "1"}}
    assert not resource.diff(old, dict(old), old).changes
    assert resource.diff(old, {**old, "keepers": {"a": "2"}}, old).replaces == {"keepers"}


def test_a_preview_makes_nothing(log: Any) -> None:
    made = RandomUuid().create("x", {"keepers": {}}, preview=True, timeout_s=0, log=log)
    assert made.id == ""
    assert made.outputs == {"keepers": {}, "result": UNKNOWN}
