"""The memory of failed rungs."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expert_runner.failures import FailureMemory, _load, fingerprint


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "failures.json"


def memory(path: Path, clock: Clock) -> FailureMemory:
    return FailureMemory(path, first_rest_s=100, now=clock)


def test_each_failure_in_a_row_doubles_the_rest(path, clock):
    failures = memory(path, clock)
    rests = []
    for _ in range(4):
        failures.record("m", "print", "exit status 1")
        rests.append(failures.retry_in_s("m", "print"))
    assert rests == [100, 200, 400, 800]


def test_the_rest_has_an_upper_bound(path, clock):
    failures = memory(path, clock)
    for _ in range(50):
        failures.record("m", "print", "exit status 1")
    assert failures.retry_in_s("m", "print") == 6 * 3600


def test_a_rest_runs_out(path, clock):
    failures = memory(path, clock)
    failures.record("m", "print", "exit status 1")
    clock.now += 60
    assert failures.retry_in_s("m", "print") == 40
    clock.now += 60
    assert failures.retry_in_s("m", "print") == 0


def test_a_clock_set_back_does_not_prolong_a_rest(path, clock):
    failures = memory(path, clock)
    failures.record("m", "print", "exit status 1")
    clock.now -= 500_000
    assert failures.retry_in_s("m", "print") == 100


def test_another_fingerprint_has_no_failure_and_starts_its_own_count(path, clock):
    failures = memory(path, clock)
    failures.record("m", "old", "exit status 1")
    failures.record("m", "old", "exit status 1")
    assert failures.get("m", "new") is None
    assert failures.retry_in_s("m", "new") == 0
    assert failures.record("m", "new", "exit status 1").count == 1


def test_failures_survive_a_restart(path, clock):
    memory(path, clock).record("m", "print", "exit status 1")
    again = memory(path, clock)
    assert again.retry_in_s("m", "print") == 100
    found = again.get("m", "print")
    assert found is not None
    assert found.reason == "exit status 1"


def test_a_rung_that_proved_itself_is_forgotten_on_disk_too(path, clock):
    failures = memory(path, clock)
    failures.record("m", "print", "exit status 1")
    failures.forget("m")
    assert json.loads(path.read_text()) == {}


def test_a_write_leaves_no_partial_file(path, clock):
    memory(path, clock).record("m", "print", "exit status 1")
    assert [entry.name for entry in path.parent.iterdir()] == ["failures.json"]


def test_a_folder_that_cannot_be_written_costs_the_memory_and_not_the_expert(tmp_path, clock):
    (tmp_path / "file").write_text("")
    failures = memory(tmp_path / "file" / "failures.json", clock)
    failures.record("m", "print", "exit status 1")
    assert failures.retry_in_s("m", "print") == 100


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["m", "fingerprint", "count", "at", "reason"]), inner)
    ),
    max_leaves=10,
)


@given(content=st.binary(max_size=50) | DOCUMENTS.map(lambda d: json.dumps(d).encode()))
def test_a_damaged_state_file_counts_as_empty(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("state") / "failures.json"
    file.write_bytes(content)
    assert isinstance(_load(file), dict)
    rest = memory(file, Clock()).retry_in_s("m", "print")
    assert 0 <= rest <= 6 * 3600


def test_the_fingerprint_changes_with_a_file_its_time_and_the_flags(tmp_path):
    file = tmp_path / "m.gguf"
    prints = [fingerprint([file], ["-c", "1"])]
    file.write_bytes(b"one")
    os.utime(file, (1, 1))
    prints.append(fingerprint([file], ["-c", "1"]))
    os.utime(file, (2, 2))
    prints.append(fingerprint([file], ["-c", "1"]))
    prints.append(fingerprint([file], ["-c", "2"]))
    assert len(set(prints)) == 4
    assert fingerprint([file], ["-c", "2"]) == prints[-1]
