"""Keys, limits and usage put together, in one process and beside others."""

import asyncio
import contextlib
import hashlib

import pytest

from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.access.access import Access
from gateway.access.errors import LimitExceeded, StorageUnavailable
from gateway.access.key import Terms
from gateway.access.usage import Filter
from gateway.errors import Unauthorized

ALL = Filter(0, 10**6)
FILE_KEY = "sk-from-a-file"
DAY = 20_000
NOW_NS = 10**15


def settings_of(data_dir, **changes):
    return GatewaySettings.model_validate(
        {
            "experts": {"general": {"upstreams": [{"url": "http://127.0.0.1:1"}]}},
            "data_dir": None if data_dir is None else str(data_dir),
            **changes,
        }
    )


def secrets_of():
    digest = hashlib.sha256(FILE_KEY.encode()).hexdigest()
    return GatewaySecrets.model_validate({"keys": [{"id": "file", "sha256": digest}]})


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:

        def make(data_dir=tmp_path, *, worker=0, **changes):
            access = Access(
                settings_of(data_dir, **changes),
                secrets_of(),
                worker=worker,
                clock=lambda: DAY * 86_400.0,
                clock_ns=lambda: NOW_NS,
            )
            stack.callback(access.close)
            return access

        yield make


@contextlib.asynccontextmanager
async def running(*accesses):
    tasks = [asyncio.create_task(access.run()) for access in accesses]
    yield
    for task in tasks:
        assert not task.done()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until(check, seconds=1.0):
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.01)


def opens(access, text):
    try:
        access.ring.find(text.encode())
    except (Unauthorized, StorageUnavailable):
        return False
    return True


def test_without_a_folder_file_keys_open_and_usage_is_counted(start):
    access = start(None)
    key = access.ring.find(FILE_KEY.encode())
    access.limits.admit(key, 10, NOW_NS, DAY)
    access.limits.settle(key, 10, 10, 1, DAY)
    access.ledger.add(key.id, "general", 5, 0, 5, 1, False)
    assert access.store is None
    assert access.admin_digest is None
    assert access.ledger.report(ALL).by_key["file"].requests == 1


def test_a_restart_keeps_keys_quotas_and_usage(tmp_path, start):
    first = start(tmp_path / "new" / "folder")
    record, text = first.store.create(Terms(name="Ada", daily_tokens=100, budget_micro=50))
    first.ledger.add(record.id, "general", 60, 0, 20, 49, False)
    first.close()
    again = start(tmp_path / "new" / "folder")
    key = again.ring.find(text.encode())
    assert again.ledger.report(ALL).total.prompt_tokens == 60
    with pytest.raises(LimitExceeded, match="used 80"):
        again.limits.admit(key, 21, NOW_NS, DAY)
    again.limits.admit(key, 20, NOW_NS, DAY)
    again.limits.settle(key, 20, 0, 1, DAY)
    with pytest.raises(LimitExceeded, match="budget"):
        again.limits.admit(key, 0, NOW_NS, DAY)


async def test_a_revocation_elsewhere_works_within_a_second(start):
    here, there = start(workers=2), start(workers=2, worker=1)
    record, text = there.store.create(Terms(name="Ada"))
    async with running(here, there):
        await until(lambda: opens(here, text))
        version = here.ring.version
        there.store.revoke(record.id)
        await until(lambda: not opens(here, text))
        assert here.ring.version != version


async def test_a_quota_given_later_counts_what_the_day_has_seen(start):
    access = start()
    record, text = access.store.create(Terms(name="Ada"))
    access.ring.refresh()
    access.ledger.add(record.id, "general", 50, 0, 40, 0, False)
    access.store.update(record.id, {"daily_tokens": 100})
    await access.reload()
    with pytest.raises(LimitExceeded, match="used 90"):
        access.limits.admit(access.ring.find(text.encode()), 11, NOW_NS, DAY)


async def test_usage_reaches_the_store_within_seconds_and_without_being_asked(start):
    access = start()
    async with running(access):
        access.ledger.add("file", "general", 5, 0, 5, 1, False)
        await until(lambda: access._usage.report(ALL).total.requests == 1, 3.0)


async def test_a_broken_store_stops_neither_the_start_nor_the_watchers(tmp_path, start, caplog):
    database = tmp_path / "keys.sqlite"
    database.mkdir()
    access = start()
    assert opens(access, FILE_KEY)
    assert "only keys from files" in caplog.text
    async with running(access):
        await until(lambda: "known keys stay in force" in caplog.text)
        database.rmdir()
        other = start(worker=1)
        _, text = other.store.create(Terms(name="Ada"))
        await until(lambda: opens(access, text))


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path, start):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="file/data cannot be made"):
        start(tmp_path / "file" / "data")
