"""The usage of one process: counted once, whatever happens to files and days."""

import errno
import logging
import os

import pytest

from gateway.access.database import Database
from gateway.access.errors import StorageUnavailable
from gateway.access.ledger import Ledger
from gateway.access.ledger_file import LedgerFile, abandoned, cut
from gateway.access.usage import Counters, Filter, UsageTable

DAY_S = 86_400
ALL = Filter(0, 10**6)
ROW = 160


class Clock:
    def __init__(self) -> None:
        self.now = 20_000 * DAY_S + 5.0

    def __call__(self) -> float:
        return self.now


class Disk:
    """Full until it is not."""

    def __init__(self) -> None:
        self.full = True
        self.asked = 0

    def __call__(self, handle: int, offset: int, size: int) -> None:
        self.asked += 1
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.posix_fallocate(handle, offset, size)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def table(tmp_path):
    return UsageTable(Database(tmp_path / "keys.sqlite"))


def files(folder):
    return sorted(file.name for file in folder.iterdir() if "ledger" in file.suffix)


def count(ledger, times=1, key="ada", model="coder"):
    for _ in range(times):
        ledger.add(key, model, 10, 4, 5, 7, False)


@pytest.mark.parametrize("kept", [True, False])
def test_what_was_added_is_reported_at_once_by_key_model_and_day(tmp_path, table, clock, kept):
    ledger = Ledger(tmp_path if kept else None, table, clock=clock)
    ledger.add("ada", "coder", 10, 4, 5, 7, False)
    ledger.add("ada", "coder", 1, 0, 2, 3, True)
    ledger.add("bob", "general", 100, 0, 0, 0, False)
    report = ledger.report(ALL)
    assert report.by_key == {
        "ada": Counters(2, 11, 4, 7, 10, 1),
        "bob": Counters(1, 100, 0, 0, 0, 0),
    }
    assert report.by_model["general"].requests == 1
    assert report.by_day == {20_000: report.total}
    assert ledger.durable == kept
    ledger.close()


def test_folding_often_counts_once(tmp_path, table, clock):
    ledger = Ledger(tmp_path, table, clock=clock)
    for times in range(1, 4):
        count(ledger)
        ledger.fold()
        ledger.fold()
        assert table.report(ALL).total.requests == times
    ledger.close()


def test_an_ordinary_end_leaves_no_file_and_all_usage(tmp_path, table, clock):
    ledger = Ledger(tmp_path, table, clock=clock)
    count(ledger, 3)
    assert len(files(tmp_path)) == 1
    ledger.close()
    assert files(tmp_path) == []
    assert table.report(ALL).total.requests == 3


def test_a_full_file_is_followed_by_another_and_its_rows_go_on(tmp_path, table, clock):
    ledger = Ledger(tmp_path, table, clock=clock, size=3 * ROW)
    for _ in range(2):
        for key in "abcde":
            count(ledger, key=key)
    assert len(files(tmp_path)) == 3
    assert {key: sums.requests for key, sums in ledger.report(ALL).by_key.items()} == dict.fromkeys(
        "abcde", 2
    )
    ledger.close()
    assert files(tmp_path) == []
    assert table.report(ALL).total.requests == 10


@pytest.mark.parametrize("seconds", [DAY_S, -DAY_S])
def test_another_day_has_its_own_file_and_the_old_one_ends(tmp_path, table, clock, seconds):
    ledger = Ledger(tmp_path, table, clock=clock)
    count(ledger, 2)
    old = files(tmp_path)
    clock.now += seconds
    count(ledger)
    ledger.fold()
    assert len(files(tmp_path)) == 1
    assert files(tmp_path) != old
    days = ledger.report(ALL).by_day
    assert [days[day].requests for day in (20_000, 20_000 + seconds // DAY_S)] == [2, 1]
    ledger.close()


def test_an_idle_day_ends_without_a_request(tmp_path, table, clock):
    ledger = Ledger(tmp_path, table, clock=clock)
    count(ledger)
    old = files(tmp_path)
    clock.now += DAY_S
    ledger.tend()
    ledger.fold()
    assert not set(old) & set(files(tmp_path))
    assert table.report(ALL).total.requests == 1
    ledger.close()


def test_a_full_disk_is_said_once_counted_in_memory_and_left_when_it_has_room(
    tmp_path, table, clock, caplog
):
    disk = Disk()
    ledger = Ledger(tmp_path, table, clock=clock, allocate=disk)
    assert not ledger.durable
    for times in range(1, 4):
        count(ledger)
        ledger.tend()
        assert ledger.report(ALL).total.requests == times
    assert files(tmp_path) == []
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    disk.full = False
    ledger.tend()
    count(ledger)
    ledger.fold()
    assert ledger.durable
    assert len(files(tmp_path)) == 1
    assert ledger.report(ALL).total.requests == 4
    asked = disk.asked
    ledger.tend()
    assert disk.asked == asked
    ledger.close()


def test_a_broken_store_loses_nothing_and_the_next_start_has_it(tmp_path, clock):
    path = tmp_path / "keys.sqlite"
    path.mkdir()
    broken = UsageTable(Database(path))
    ledger = Ledger(tmp_path, broken, clock=clock)
    count(ledger, 5)
    with pytest.raises(StorageUnavailable):
        ledger.fold()
    count(ledger, 2)
    ledger.close()
    assert len(files(tmp_path)) == 1
    path.rmdir()
    table = UsageTable(Database(path))
    again = Ledger(tmp_path, table, clock=clock)
    assert again.report(ALL).total.requests == 7
    assert len(files(tmp_path)) == 1
    again.close()


def test_a_ledger_that_is_in_use_is_never_absorbed(tmp_path, table, clock):
    first = Ledger(tmp_path, table, clock=clock)
    count(first)
    second = Ledger(tmp_path, table, clock=clock)
    count(second)
    second.fold()
    assert len(files(tmp_path)) == 2
    count(first)
    first.fold()
    assert table.report(ALL).total.requests == 3
    first.close()
    second.close()
    assert table.report(ALL).total.requests == 3


@pytest.mark.parametrize("before_the_file_ended", [True, False])
def test_killed_within_the_end_of_a_ledger_nothing_counts_twice(
    tmp_path, table, clock, before_the_file_ended
):
    file = LedgerFile.create(tmp_path, 3 * ROW, free_disk())
    ledger_name = file.name
    file.add_row("ada", "coder", 20_000)
    rows = file.all_rows()
    table.write([(ledger_name, rows)])
    table.absorb(ledger_name, [row._replace(counters=Counters(1)) for row in rows])
    if not before_the_file_ended:
        file.delete()
    else:
        file.close()
    ledger = Ledger(tmp_path, table, clock=clock)
    assert ledger.report(ALL).total.requests == 1
    ledger.close()
    assert files(tmp_path) == []


def free_disk():
    disk = Disk()
    disk.full = False
    return disk


def test_files_of_others_are_left_alone_and_empty_ones_removed(tmp_path, table, clock, caplog):
    (tmp_path / "strange.ledger").write_bytes(b"something else" * 100)
    (tmp_path / "empty.ledger").write_bytes(b"")
    (tmp_path / "zeros.ledger").write_bytes(bytes(1000))
    (tmp_path / "unborn.draft").write_bytes(bytes(1000))
    ledger = Ledger(tmp_path, table, clock=clock)
    ledger.fold()
    ledger.close()
    assert files(tmp_path) == ["strange.ledger"]
    assert not (tmp_path / "unborn.draft").exists()
    assert "strange.ledger is no ledger" in caplog.text


def test_a_row_without_its_last_mark_does_not_count(tmp_path):
    file = LedgerFile.create(tmp_path, 4 * ROW, free_disk())
    for key in "abc":
        file.add_row(key, "coder", 1)
    # As a kill within the third row would leave it.
    file.memory[3 * ROW + 152 : 3 * ROW + 160] = bytes(8)
    file.close()
    (found,) = abandoned(tmp_path)
    assert [row.key for row in found.all_rows()] == ["a", "b"]
    found.close()


@pytest.mark.parametrize(
    ("text", "kept"),
    [("abc", "abc"), ("a" * 70, "a" * 64), ("ü" * 40, "ü" * 32), ("a" + "ü" * 40, "a" + "ü" * 31)],
)
def test_a_long_name_is_cut_between_characters(tmp_path, table, clock, text, kept):
    assert cut(text, 64) == kept.encode()
    ledger = Ledger(tmp_path, table, clock=clock)
    count(ledger, 2, model=text)
    assert list(ledger.report(ALL).by_model) == [kept]
    ledger.close()
