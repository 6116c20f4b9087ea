"""Keys, the pepper and the admin key: how they are made and recognised."""

import hashlib
import hmac
import re
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.gateway_settings import GatewaySecrets
from gateway.access.errors import StorageUnavailable
from gateway.access.secret import Hasher, admin_digest, hasher_of, new_id, new_key

PEPPER = "p" * 32


@given(pepper=st.binary(max_size=200), token=st.binary(max_size=200))
def test_the_digest_is_hmac_sha256(pepper, token):
    assert Hasher(pepper).digest(token) == hmac.digest(pepper, token, "sha256")


def test_a_key_shows_its_id_and_nothing_else_repeats():
    first, second = new_key("abcdefgh"), new_key("abcdefgh")
    assert re.fullmatch(r"sk-hearth-abcdefgh[A-Za-z0-9]{40}", first)
    assert first != second
    assert re.fullmatch(r"[A-Za-z0-9]{8}", new_id())


def test_a_given_pepper_is_used_and_no_file_is_made(tmp_path):
    digest = hasher_of(GatewaySecrets(pepper=PEPPER), tmp_path).digest(b"key")
    assert digest == hmac.digest(PEPPER.encode(), b"key", "sha256")
    assert list(tmp_path.iterdir()) == []


def test_a_pepper_is_made_once_and_found_again(tmp_path):
    first = hasher_of(GatewaySecrets(), tmp_path).digest(b"key")
    assert hasher_of(GatewaySecrets(), tmp_path).digest(b"key") == first
    assert [file.name for file in tmp_path.iterdir()] == ["pepper"]


def test_the_admin_key_stands_readable_in_a_file_of_the_owner_alone(tmp_path):
    digest = admin_digest(GatewaySecrets(), tmp_path)
    file = tmp_path / "admin.key"
    text = file.read_text().strip()
    assert text.startswith("hearth-admin-")
    assert len(text) == len("hearth-admin-") + 40
    assert hashlib.sha256(text.encode()).digest() == digest
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert admin_digest(GatewaySecrets(), tmp_path) == digest


def test_a_given_admin_digest_wins_over_the_file(tmp_path):
    secrets = GatewaySecrets(admin_key_sha256="ab" * 32)
    assert admin_digest(secrets, tmp_path) == bytes.fromhex("ab" * 32)
    assert admin_digest(GatewaySecrets(), None) is None


def test_an_emptied_pepper_is_an_error_and_not_another_pepper(tmp_path):
    (tmp_path / "pepper").write_text("\n")
    with pytest.raises(StorageUnavailable, match=r"damaged.*backup"):
        hasher_of(GatewaySecrets(), tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(StorageUnavailable, match=r"absent/pepper cannot be read or made"):
        hasher_of(GatewaySecrets(), tmp_path / "absent")
