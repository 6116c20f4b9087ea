"""kill -9 in the middle of counting: whatever add() had returned for is there afterwards."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.access.database import Database
from gateway.access.ledger import Ledger
from gateway.access.usage import Filter, UsageTable

ROOT = Path(__file__).resolve().parents[3]
ALL = Filter(0, 10**6)
# Reports every add after it has returned; folds beside it, as a gateway does.
CHILD = """
import os, sys, threading
from pathlib import Path
from gateway.access.database import Database
from gateway.access.ledger import Ledger
from gateway.access.usage import UsageTable
folder = Path(sys.argv[1])
ledger = Ledger(folder, UsageTable(Database(folder / "keys.sqlite")), size=160 * 20)
def fold():
    while True:
        ledger.fold()
threading.Thread(target=fold, daemon=True).start()
number = 0
while True:
    ledger.add(f"key-{number % 70}", "coder", 3, 1, 2, 5, False)
    os.write(1, b"x")
    number += 1
"""


def counted_by_killed_child(folder, seconds):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'images/base'}"},
        stdout=subprocess.PIPE,
    )
    reported = len(child.stdout.read(1))
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        reported += len(child.stdout.read1(65536))
    child.send_signal(signal.SIGKILL)
    reported += len(child.stdout.read())
    assert child.wait() == -signal.SIGKILL
    return reported


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.4])
def test_a_killed_process_loses_no_count_it_had_reported_and_doubles_none(tmp_path, seconds):
    reported = 0
    for _ in range(2):
        reported += counted_by_killed_child(tmp_path, seconds)
    ledger = Ledger(tmp_path, UsageTable(Database(tmp_path / "keys.sqlite")))
    total = ledger.report(ALL).total
    ends = time.monotonic() + 5
    while total.requests < reported and time.monotonic() < ends:
        time.sleep(0.05)  # the kernel may hold a killed process's locks for a moment
        total = ledger.report(ALL).total
    # Each of the two may have been killed between its last add and the report of it.
    assert reported <= total.requests <= reported + 2
    assert total.prompt_tokens == 3 * total.requests
    assert total.cost_micro == 5 * total.requests
    ledger.close()
    again = Ledger(tmp_path, UsageTable(Database(tmp_path / "keys.sqlite")))
    assert again.report(ALL).total == total
    again.close()
