"""Keys in SQLite: what was answered is kept, and a broken disk is said and survived."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from gateway.access.database import SCHEMA_VERSION, Database
from gateway.access.errors import KeyNotFound, KeyRevoked, StorageUnavailable, TooManyKeys
from gateway.access.key import Priority, Terms
from gateway.access.period import Period
from gateway.access.secret import Hasher
from gateway.access.store import MOST_KEYS, KeyStore

NOW = 1_700_000_000.0
HASHER = Hasher(b"pepper")
FULL = Terms(
    name="Ada",
    models=("coder", "general"),
    endpoints=("chat",),
    priority=Priority.HIGH,
    rpm=1,
    tpm=2,
    concurrency=3,
    daily_tokens=4,
    budget_micro=5,
    budget_period=Period.TOTAL,
    expires_at=NOW + 1,
    metadata={"team": "x"},
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.sqlite"


@pytest.fixture
def store(path):
    return KeyStore(Database(path), HASHER, lambda: NOW)


def reopened(path):
    return KeyStore(Database(path), HASHER, lambda: NOW)


@pytest.mark.parametrize("terms", [FULL, Terms(name="Bob")])
def test_a_key_comes_back_as_it_was_made(store, path, terms):
    record, text = store.create(terms)
    assert record.terms == terms
    assert record.id in text
    assert reopened(path).get(record.id) == record
    assert reopened(path).all() == [record]


def test_only_the_digest_of_a_key_reaches_the_disk(store, path):
    _, text = store.create(Terms(name="Ada"))
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert HASHER.digest(text.encode()) in written
    assert text[-20:].encode() not in written


def test_the_file_belongs_to_its_owner_alone(store, path):
    store.create(Terms(name="Ada"))
    assert {file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == {0}


def test_an_update_changes_what_it_names_and_leaves_the_rest(store):
    record, _ = store.create(FULL)
    changed = store.update(record.id, {"rpm": None, "models": ("general",)})
    assert changed.terms.rpm is None
    assert changed.terms.models == ("general",)
    assert (changed.terms.tpm, changed.terms.name) == (2, "Ada")


def test_a_rotation_keeps_two_secrets_and_never_three(store):
    record, first = store.create(Terms(name="Ada"))
    _, second = store.rotate(record.id, 100)
    rotated, third = store.rotate(record.id, 200)
    assert len({first, second, third}) == 3
    assert [secret.expires_at for secret in rotated.secrets] == [NOW + 200, None]
    digests = [digest for digest, _, _ in store.secrets()[1]]
    assert digests == [HASHER.digest(text.encode()) for text in (second, third)]


def test_a_revoked_key_opens_nothing_stays_listed_and_is_final(store):
    record, _ = store.create(Terms(name="Ada"))
    revoked = store.revoke(record.id)
    assert revoked.revoked_at == NOW
    assert store.revoke(record.id) == revoked
    assert store.secrets()[1] == []
    assert store.all() == [revoked]
    for change in (lambda: store.update(record.id, {}), lambda: store.rotate(record.id, 0)):
        with pytest.raises(KeyRevoked):
            change()


@pytest.mark.parametrize("verb", ["get", "revoke"])
def test_an_unknown_id_is_an_error(store, verb):
    with pytest.raises(KeyNotFound):
        getattr(store, verb)("nobody12")


def test_every_change_counts_and_nothing_else_does(store):
    seen = [store.changes()]
    record, _ = store.create(Terms(name="Ada"))
    for act in (
        lambda: store.update(record.id, {"rpm": 1}),
        lambda: store.rotate(record.id, 1),
        lambda: store.revoke(record.id),
    ):
        seen.append(store.changes())
        act()
    seen.append(store.changes())
    assert seen == sorted(set(seen))
    store.all()
    store.revoke(record.id)
    assert store.changes() == seen[-1]


def test_no_key_gets_a_row_that_belongs_to_keys_from_files(store, path):
    store.create(Terms(name="first"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE keys SET row = ?", (MOST_KEYS,))
    with pytest.raises(TooManyKeys):
        store.create(Terms(name="one too many"))
    assert len(store.all()) == 1


def broken_by(database, statement):
    with database.reading() as connection:
        pass
    connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("PRAGMA max_page_count=1", "the disk is full; free some space"),
        ("PRAGMA query_only=ON", "it cannot be written; check the rights"),
    ],
)
def test_a_disk_that_takes_nothing_is_said_and_changes_nothing(path, statement, reason):
    database = Database(path)
    store = KeyStore(database, HASHER, lambda: NOW)
    record, _ = store.create(Terms(name="Ada"))
    broken_by(database, statement)
    # More than the free space in the file's last page.
    large = Terms(name="Bob", metadata={"note": "y" * 100_000})
    with pytest.raises(StorageUnavailable, match=reason) as caught:
        store.create(large)
    assert (caught.value.status, caught.value.code) == (503, "storage_unavailable")
    # The fault was the connection's; the next use opens another.
    assert store.all() == [record]


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_a_damaged_file_is_said_and_left_alone(path, content):
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(StorageUnavailable):
        reopened(path).all()
    assert content is None or path.read_bytes() == content


def test_a_file_of_a_newer_version_is_not_touched(store, path):
    store.create(Terms(name="Ada"))
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(StorageUnavailable, match="newer Hearth"):
        reopened(path).all()


def on_a_full_disk(path, *suffixes):
    """A copy of these files where SQLite can make none beside them."""
    copy = path.parent / "full" / path.name
    copy.parent.mkdir()
    for suffix in ("", *suffixes):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    Path(f"{copy}-shm").symlink_to(copy.parent / "no" / "room")
    return reopened(copy)


def test_keys_can_be_read_from_a_disk_that_takes_nothing(path):
    database = Database(path)
    record, _ = KeyStore(database, HASHER, lambda: NOW).create(Terms(name="Ada"))
    database.close()
    store = on_a_full_disk(path)
    assert store.all() == [record]
    with pytest.raises(StorageUnavailable):
        store.revoke(record.id)
    assert store.all() == [record]


def test_a_revocation_that_only_the_log_holds_is_never_overlooked(path):
    database = Database(path)
    record, _ = KeyStore(database, HASHER, lambda: NOW).create(Terms(name="Ada"))
    database.close()
    store = reopened(path)
    store.revoke(record.id)
    copy = on_a_full_disk(path, "-wal")
    with pytest.raises(StorageUnavailable):
        copy.all()


def test_a_repaired_file_is_used_without_a_restart(path):
    path.write_bytes(b"garbage " * 1000)
    store = reopened(path)
    with pytest.raises(StorageUnavailable):
        store.all()
    path.unlink()
    assert store.all() == []
