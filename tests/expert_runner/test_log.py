"""The form of a log line."""

import io

from expert_runner.log import Log


def line(message: str, **fields: object) -> str:
    stream = io.StringIO()
    Log(stream, expert="general", now=lambda: 1_700_000_000.0).warning(message, **fields)
    return stream.getvalue()


def test_an_event_is_one_line_with_its_fields_behind_the_message():
    expected = '2023-11-14T22:13:20Z warning failed expert=general rung=m why="a b" after_s=1.5\n'
    assert line("failed", rung="m", why="a b", after_s=1.52) == expected


def test_a_value_never_breaks_the_line():
    assert line("failed", why="one\ntwo").count("\n") == 1


def test_a_table_follows_its_headline():
    assert line("none works\n  1. m  missing").splitlines()[1] == "  1. m  missing"
