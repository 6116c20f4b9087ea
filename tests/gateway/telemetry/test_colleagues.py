"""How workers learn of each other's figures."""

import logging
import os
import time

from gateway.telemetry.colleagues import Colleagues, leave, meeting_place
from gateway.telemetry.figures import Figures
from gateway.telemetry.metrics import ExpertCounters


def counted(prompt: int) -> Figures:
    counters = ExpertCounters()
    counters.prompt = prompt
    return Figures(experts={"general": counters}, in_flight={"a": prompt})


def prompt(figures: Figures) -> int:
    return figures.experts["general"].prompt


def test_a_worker_without_colleagues_shows_its_own_figures():
    alone = Colleagues(None, 0)
    own = counted(1)
    alone.tell(own)
    assert alone.together(own) is own
    assert not alone.any


def test_whoever_is_asked_answers_for_all(tmp_path):
    one, two = Colleagues(tmp_path, 0), Colleagues(tmp_path, 1)
    one.tell(counted(1))
    two.tell(counted(10))
    assert prompt(one.together(counted(2))) == 12
    assert prompt(two.together(counted(10))) == 11


def test_the_successor_of_a_worker_goes_on_from_its_counters(tmp_path):
    Colleagues(tmp_path, 0).tell(counted(5))
    successor, other = Colleagues(tmp_path, 0), Colleagues(tmp_path, 1)
    successor.tell(counted(1))
    assert prompt(successor.together(counted(1))) == 6
    seen = other.together(counted(0))
    assert prompt(seen) == 6
    assert seen.in_flight == {"a": 1}


def test_files_that_cannot_be_read_are_nobodys_figures(tmp_path):
    (tmp_path / "1").write_bytes(b"\xc1 torn")
    assert prompt(Colleagues(tmp_path, 0).together(counted(2))) == 2
    assert prompt(Colleagues(tmp_path, 1).together(counted(2))) == 2


def test_a_full_disk_is_said_once_and_stops_nothing(tmp_path, caplog):
    worker = Colleagues(tmp_path / "gone", 0)
    with caplog.at_level(logging.ERROR):
        worker.tell(counted(1))
        worker.tell(counted(2))
    assert len(caplog.records) == 1


def test_the_meeting_place_is_new_and_old_ones_are_cleared(tmp_path):
    first = meeting_place(tmp_path)
    assert first is not None
    (first / "0").write_bytes(b"")
    long_ago = time.time() - 7200
    os.utime(first, (long_ago, long_ago))
    second = meeting_place(tmp_path)
    assert second is not None
    assert list(tmp_path.iterdir()) == [second]
    leave(second)
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_each_worker_is_alone(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    assert meeting_place(tmp_path / "file/data") is None
    assert "cannot exchange figures" in caplog.text
    leave(None)
