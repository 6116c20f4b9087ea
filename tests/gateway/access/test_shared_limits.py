"""Limits of several processes over one file."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.access.errors import LimitExceeded
from gateway.access.key import Key
from gateway.access.shared_limits import SharedLimits
from gateway.access.usage import Spent

ROOT = Path(__file__).resolve().parents[3]
NOW, DAY = 10**15, 20_000
# Takes with a clock that stands still until it has been refused; prints how often it was not.
WORKER = """
import json, sys
from pathlib import Path
from gateway.access.errors import LimitExceeded
from gateway.access.key import Key
from gateway.access.shared_limits import SharedLimits
folder, worker, limits = sys.argv[1:]
key = Key(id="a", row=1, name="a", **json.loads(limits))
table = SharedLimits(Path(folder), worker=int(worker), workers=3)
table.share()
print("ready", flush=True)
sys.stdin.readline()
taken, most, settled = 0, 0, 0
for turn in range(3000):
    try:
        table.admit(key, 1, 10**15, 20_000)
    except LimitExceeded:
        continue
    taken += 1
    if turn % 3 == 0:
        table.settle(key, 1, 1, 0, 20_000)
        settled += 1
print(json.dumps([taken, settled]), flush=True)
sys.stdin.readline()
"""


def run_workers(folder, **limits):
    """Two workers at the same time; what each took and settled. They live until they are read."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(number), json.dumps(limits)],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'images/base'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    counts = [json.loads(worker.stdout.readline()) for worker in workers]
    for worker in workers:
        worker.communicate("end\n")
        assert worker.returncode == 0
    return counts


@pytest.mark.parametrize(
    "limits", [{"rpm": 2500}, {"tpm": 2500}, {"daily_tokens": 2500}, {"rpm": 2500, "tpm": 9999}]
)
def test_two_processes_together_take_exactly_what_one_may(tmp_path, limits):
    counts = run_workers(tmp_path, **limits)
    assert sum(taken for taken, _ in counts) == 2500


def test_two_processes_together_never_run_more_at_once_than_one_may(tmp_path):
    counts = run_workers(tmp_path, concurrency=700)
    assert sum(taken - settled for taken, settled in counts) == 700


@pytest.fixture
def key():
    return Key(id="a", row=7, name="a", rpm=10, concurrency=2, daily_tokens=100, budget_micro=9)


def worker(folder, number):
    return SharedLimits(folder, worker=number, workers=3)


def test_a_restarted_worker_forgets_its_own_requests_and_nobody_elses(tmp_path, key):
    first, second = worker(tmp_path, 0), None
    first.share()
    second = worker(tmp_path, 1)
    second.share()
    first.admit(key, 1, NOW, DAY)
    second.admit(key, 1, NOW, DAY)
    second.close()
    second = worker(tmp_path, 1)
    second.share()
    second.admit(key, 1, NOW, DAY)
    with pytest.raises(LimitExceeded, match="concurrency"):
        first.admit(key, 1, NOW, DAY)


def test_who_starts_alone_forgets_every_request_and_keeps_the_minute(tmp_path, key):
    first = worker(tmp_path, 0)
    first.share()
    for _ in range(2):
        first.admit(key, 1, NOW, DAY)
    first.close()
    again = worker(tmp_path, 2)
    again.share()
    again.admit(key, 1, NOW, DAY)
    assert b"x-ratelimit-remaining-requests: 7\r\n" in again.headers(key, NOW)


def test_who_starts_beside_others_lowers_nothing_they_counted(tmp_path, key):
    first = worker(tmp_path, 0)
    first.share()
    first.admit(key, 90, NOW, DAY)
    second = worker(tmp_path, 1)
    second.prime(key, DAY, Spent(tokens=50, cost_micro=3), NOW)
    second.share()
    with pytest.raises(LimitExceeded, match="used 90"):
        second.admit(key, 20, NOW, DAY)
    # What the record knows and the cells did not is taken over.
    first.settle(key, 90, 0, 6, DAY)
    with pytest.raises(LimitExceeded, match="budget"):
        second.admit(key, 0, NOW, DAY)


def test_who_starts_alone_takes_the_record_of_usage_as_it_is(tmp_path, key):
    first = worker(tmp_path, 0)
    first.share()
    first.admit(key, 90, NOW, DAY)
    first.close()
    again = worker(tmp_path, 0)
    again.prime(key, DAY, Spent(tokens=5), NOW)
    again.share()
    again.admit(key, 95, NOW, DAY)


def test_without_room_for_the_file_limits_still_hold_in_each_worker(tmp_path, key, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    limits = SharedLimits(tmp_path, worker=0, workers=3, allocate=full)
    limits.share()
    for _ in range(2):
        limits.admit(key, 1, NOW, DAY)
    with pytest.raises(LimitExceeded):
        limits.admit(key, 1, NOW, DAY)
    assert "No space left on device" in caplog.text
