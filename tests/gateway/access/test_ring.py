"""Which token opens as which key."""

import hashlib

import pytest

from contract.gateway_settings import ApiKey
from gateway.access.database import Database
from gateway.access.errors import KeyExpired, StorageUnavailable
from gateway.access.key import FILE_ROWS, ROWS, Terms
from gateway.access.ring import KeyRing
from gateway.access.secret import Hasher
from gateway.access.store import KeyStore
from gateway.errors import Unauthorized

HASHER = Hasher(b"pepper")


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return KeyStore(Database(tmp_path / "keys.sqlite"), HASHER, clock)


def file_keys(*texts):
    return [
        ApiKey(id=f"file-{n}", sha256=hashlib.sha256(text.encode()).hexdigest())
        for n, text in enumerate(texts)
    ]


def test_keys_from_files_and_from_the_store_open_side_by_side(store, clock):
    record, text = store.create(Terms(name="Ada", rpm=5))
    ring = KeyRing(file_keys("sk-one", "sk-two"), store, HASHER, clock)
    ring.refresh()
    assert ring.find(b"sk-one").id == "file-0"
    assert ring.find(b"sk-two").id == "file-1"
    found = ring.find(text.encode())
    assert (found.id, found.row, found.name, found.rpm) == (record.id, record.row, "Ada", 5)


def test_keys_from_files_have_no_limits_and_rows_the_store_never_gives(clock):
    ring = KeyRing(file_keys("sk-one", "sk-two"), None, HASHER, clock)
    assert [ring.find(key).row for key in (b"sk-one", b"sk-two")] == [ROWS - 1, ROWS - 2]
    assert not ring.find(b"sk-one").limited
    with pytest.raises(ValueError, match="more than 1024 keys"):
        KeyRing(file_keys(*map(str, range(FILE_ROWS + 1))), None, HASHER, clock)


@pytest.mark.parametrize("token", [b"", b"sk-typo", b"\xff\x00", b"x" * 10_000])
def test_an_unknown_token_is_refused_and_not_repeated(store, clock, token):
    store.create(Terms(name="Ada"))
    ring = KeyRing(file_keys("sk-one"), store, HASHER, clock)
    ring.refresh()
    with pytest.raises(Unauthorized) as caught:
        ring.find(token)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert "typo" not in caught.value.message


def test_neither_a_digest_nor_an_id_opens(store, clock):
    record, text = store.create(Terms(name="Ada"))
    ring = KeyRing(file_keys("sk-one"), store, HASHER, clock)
    ring.refresh()
    stored = HASHER.digest(text.encode())
    for token in (
        record.id.encode(),
        stored,
        stored.hex().encode(),
        hashlib.sha256(b"sk-one").digest(),
        hashlib.sha256(b"sk-one").hexdigest().encode(),
    ):
        with pytest.raises(Unauthorized):
            ring.find(token)


def test_an_expired_key_is_told_so_and_a_revoked_one_is_unknown(store, clock):
    _, ending = store.create(Terms(name="ending", expires_at=clock.now + 10))
    revoked, gone = store.create(Terms(name="gone"))
    store.revoke(revoked.id)
    ring = KeyRing([], store, HASHER, clock)
    ring.refresh()
    assert ring.find(ending.encode()).expires_at == clock.now + 10
    clock.now += 10
    with pytest.raises(KeyExpired) as caught:
        ring.find(ending.encode())
    assert (caught.value.status, caught.value.code) == (401, "api_key_expired")
    with pytest.raises(Unauthorized) as caught:
        ring.find(gone.encode())
    assert caught.value.code == "invalid_api_key"


def test_a_clock_that_goes_back_opens_an_expired_key_and_never_a_revoked_one(store, clock):
    _, ending = store.create(Terms(name="ending", expires_at=clock.now + 10))
    revoked, gone = store.create(Terms(name="gone"))
    store.revoke(revoked.id)
    ring = KeyRing([], store, HASHER, clock)
    ring.refresh()
    clock.now -= 1_000_000
    assert ring.find(ending.encode()).name == "ending"
    with pytest.raises(Unauthorized):
        ring.find(gone.encode())


def test_both_texts_open_while_a_rotation_overlaps_and_then_the_new_one_alone(store, clock):
    record, old = store.create(Terms(name="Ada"))
    _, new = store.rotate(record.id, 60)
    ring = KeyRing([], store, HASHER, clock)
    ring.refresh()
    assert ring.find(old.encode()).row == ring.find(new.encode()).row == record.row
    clock.now += 60
    with pytest.raises(KeyExpired):
        ring.find(old.encode())
    assert ring.find(new.encode()).id == record.id


def test_the_version_changes_with_the_keys_and_only_then(store, clock):
    ring = KeyRing([], store, HASHER, clock)
    ring.refresh()
    version = ring.version
    assert not ring.refresh()
    assert ring.version == version
    store.create(Terms(name="Ada"))
    assert ring.refresh()
    assert ring.version != version


def test_an_older_view_never_replaces_a_newer_one(store, clock):
    record, text = store.create(Terms(name="Ada"))
    ring = KeyRing([], store, HASHER, clock)
    old = ring.load()
    store.revoke(record.id)
    ring.refresh()
    ring.adopt(old)
    with pytest.raises(Unauthorized):
        ring.find(text.encode())


def test_a_change_by_another_process_is_seen(tmp_path, store, clock):
    record, text = store.create(Terms(name="Ada"))
    ring = KeyRing([], store, HASHER, clock)
    ring.refresh()
    KeyStore(Database(tmp_path / "keys.sqlite"), HASHER, clock).revoke(record.id)
    assert ring.refresh()
    with pytest.raises(Unauthorized):
        ring.find(text.encode())


def test_a_key_that_could_never_be_looked_up_is_not_called_wrong(tmp_path, clock):
    (tmp_path / "keys.sqlite").write_bytes(b"garbage " * 4096)
    store = KeyStore(Database(tmp_path / "keys.sqlite"), HASHER, clock)
    ring = KeyRing(file_keys("sk-one"), store, HASHER, clock)
    with pytest.raises(StorageUnavailable):
        ring.find(b"sk-hearth-perhaps")
    with pytest.raises(Unauthorized):
        ring.find(b"")
    assert ring.find(b"sk-one").id == "file-0"


def test_keys_in_force_stay_so_when_the_store_breaks(tmp_path, clock):
    database = Database(tmp_path / "keys.sqlite")
    store = KeyStore(database, HASHER, clock)
    _, text = store.create(Terms(name="Ada"))
    ring = KeyRing(file_keys("sk-one"), store, HASHER, clock)
    ring.refresh()
    database.close()
    for file in tmp_path.iterdir():
        file.write_bytes(b"garbage " * 4096)
    with pytest.raises(StorageUnavailable):
        ring.refresh()
    assert ring.find(text.encode()).name == "Ada"
    assert ring.find(b"sk-one").id == "file-0"
