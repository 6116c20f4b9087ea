"""Which keys open the door."""

import hashlib

import pytest

from contract.gateway_settings import ApiKey
from gateway.errors import Unauthorized
from gateway.keys import KeyRing, presented_key


def ring(*keys: str) -> KeyRing:
    return KeyRing(
        [
            ApiKey(id=f"id-{n}", sha256=hashlib.sha256(key.encode()).hexdigest())
            for n, key in enumerate(keys)
        ]
    )


@pytest.mark.parametrize("key", ["sk-one", "sk-two"])
def test_each_key_is_known_by_its_id(key):
    keys = ring("sk-one", "sk-two")
    assert keys.identify({"authorization": f"Bearer {key}"}) == f"id-{key == 'sk-two':d}"


def test_without_any_key_nobody_gets_in():
    with pytest.raises(Unauthorized):
        ring().identify({"authorization": "Bearer x"})


def test_the_hash_of_a_key_is_no_key():
    digest = hashlib.sha256(b"sk-one").hexdigest()
    with pytest.raises(Unauthorized):
        ring("sk-one").identify({"authorization": f"Bearer {digest}"})


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer sk-a"}, "sk-a"),
        ({"authorization": "bearer  sk-a "}, "sk-a"),
        ({"authorization": "Bearer sk-a", "x-api-key": "sk-b"}, "sk-a"),
        ({"authorization": "Basic abc", "x-api-key": "sk-b"}, "sk-b"),
        ({"x-api-key": " sk-b "}, "sk-b"),
        ({"authorization": "sk-a"}, ""),
        ({}, ""),
    ],
)
def test_a_key_is_read_from_either_header(headers, key):
    assert presented_key(headers) == key


def test_the_refusal_does_not_repeat_the_key():
    with pytest.raises(Unauthorized) as caught:
        ring("sk-one").identify({"authorization": "Bearer sk-secret-typo"})
    assert "typo" not in caught.value.message
