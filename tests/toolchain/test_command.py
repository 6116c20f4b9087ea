import os
import time
from pathlib import Path

import pytest

from toolchain import command
from toolchain.errors import CommandError
from toolchain.progress import Step


def test_every_line_reaches_the_caller_and_the_log(step: Step, tmp_path: Path) -> None:
    seen: list[str] = []
    lines = command.run(
        ["sh", "-c", "echo one; echo two >&2"],
        step=step,
        environ={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
        on_line=seen.append,
    )
    assert sorted(lines) == sorted(seen) == ["one", "two"]
    assert "one\n" in step.log_path.read_text()


def test_a_failed_program_is_reported_with_its_last_words(step: Step, tmp_path: Path) -> None:
    script = "for n in $(seq 1 40); do echo line $n; done; exit 7"
    with pytest.raises(CommandError, match="sh ended with 7") as caught:
        command.run(["sh", "-c", script], step=step, environ=os.environ, cwd=tmp_path)
    assert "line 40" in str(caught.value)
    assert "line 20" not in str(caught.value)


def test_a_program_that_is_not_there_is_named(step: Step, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no-such-program: No such file"):
        command.run(["no-such-program"], step=step, environ={"PATH": ""}, cwd=tmp_path)


def test_an_interruption_ends_the_program_and_what_it_started(step: Step, tmp_path: Path) -> None:
    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    script = "sleep 60 & echo $! > child; echo started; wait"
    with pytest.raises(KeyboardInterrupt):
        command.run(
            ["sh", "-c", script], step=step, environ=os.environ, cwd=tmp_path, on_line=interrupt
        )
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        if "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [(["echo", "v1"], "v1\n"), (["false"], ""), (["no-such-program"], ""), (["sleep", "9"], "")],
)
def test_a_probe_answers_or_is_silent(argv: list[str], expected: str) -> None:
    assert command.probe(argv, os.environ, timeout_s=0.5) == expected
