"""Commands on this machine."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from toolchain.plugins.command.local import LocalCommand, run_invoke
from toolchain.plugins.command.process import Processes
from toolchain.plugins.errors import PluginError
from toolchain.plugins.values import ASSET, SIGNATURE, UNKNOWN, secret


@pytest.fixture
def command() -> LocalCommand:
    return LocalCommand(Processes())


def run(command: LocalCommand, log: Any, **inputs: Any) -> Any:
    checked = command.check("c", {}, inputs)
    assert not checked.failures, checked.failures
    return command.create("c", checked.inputs, preview=False, timeout_s=0, log=log)


def failure(command: LocalCommand, log: Any, **inputs: Any) -> str:
    with pytest.raises(PluginError) as caught:
        run(command, log, **inputs)
    return str(caught.value)


def update(command: LocalCommand, log: Any, made: Any, old: Any, new: Any, **how: Any) -> Any:
    full = {"preview": False, "timeout_s": 0, "log": log, **how}
    return command.update(made.id, made.outputs, old, new, **full)


def until(condition: Any) -> bool:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


# --- what Check says ------------------------------------------------------------------------------


def test_check_leaves_inputs_alone_and_adds_no_defaults(command: LocalCommand) -> None:
    given = {"create": secret("x"), "environment": {"A": "1"}, "triggers": [UNKNOWN]}
    assert command.check("c", {}, given).inputs == given


@pytest.mark.parametrize(
    ("inputs", "name", "reason"),
    [
        (
            {"create": 1.5},
            "create",
            "Field 'create' on 'local.CommandInputs' must be a 'string'; got 'float64' instead",
        ),
        ({"bogus": 1}, "bogus", "Unrecognized field 'bogus' on 'local.CommandInputs'"),
    ],
)
def test_wrong_inputs_are_refused_in_the_official_words(
    command: LocalCommand, inputs: dict[str, Any], name: str, reason: str
) -> None:
    (found,) = command.check("c", {}, inputs).failures
    assert (found.name, found.reason) == (name, reason)


def test_a_variable_that_is_no_text_is_refused(command: LocalCommand) -> None:
    (found,) = command.check("c", {}, {"environment": {"A": 1}}).failures
    assert found.reason.startswith("Field 'environment[A] value' on 'local.CommandInputs'")


# --- running --------------------------------------------------------------------------------------


def test_exactly_one_newline_is_removed_and_zero_bytes_stay(
    command: LocalCommand, log: Any
) -> None:
    made = run(command, log, create="printf 'a\\000b\\n\\n'; echo e >&2")
    assert made.outputs["stdout"] == "a\0b\n"
    assert made.outputs["stderr"] == "e"


def test_the_id_is_the_name_and_eight_hex_digits(command: LocalCommand, log: Any) -> None:
    made = run(command, log, create="true")
    assert made.id[:1] == "c"
    assert len(made.id) == 9
    assert int(made.id[1:], 16) >= 0


def test_without_a_command_nothing_runs_and_both_outputs_are_empty(
    command: LocalCommand, log: Any
) -> None:
    made = run(command, log, environment={"A": "1"})
    assert made.outputs == {"environment": {"A": "1"}, "stdout": "", "stderr": ""}


def test_stdin_environment_directory_and_interpreter_are_used(
    command: LocalCommand, log: Any, tmp_path: Path
) -> None:
    made = run(
        command,
        log,
        create="cat; printf ' %s %s' $A $PWD",
        stdin=secret("in"),
        environment={"A": secret("a")},
        dir=str(tmp_path),
        interpreter=["/bin/sh", "-ec"],
    )
    assert made.outputs["stdout"] == f"in a {tmp_path}"
    assert made.outputs["stdin"] == secret("in")


def test_a_command_that_ignores_a_long_stdin_succeeds(command: LocalCommand, log: Any) -> None:
    assert run(command, log, create="echo ok", stdin="x" * 1_000_000).outputs["stdout"] == "ok"


def test_one_line_of_200_000_characters_does_not_hang(command: LocalCommand, log: Any) -> None:
    made = run(command, log, create="head -c 200000 /dev/zero | tr '\\0' x")
    assert made.outputs["stdout"] == "x" * 200_000
    assert any(line.startswith("xxx") for line in log.lines)


def test_much_output_on_both_streams_does_not_hang(command: LocalCommand, log: Any) -> None:
    text = "for i in 1 2 3; do head -c 200000 /dev/zero | tr '\\0' o; "
    made = run(command, log, create=text + "head -c 200000 /dev/zero | tr '\\0' e >&2; done")
    assert (len(made.outputs["stdout"]), len(made.outputs["stderr"])) == (600_000, 600_000)


def test_logging_none_shows_no_lines(command: LocalCommand, log: Any) -> None:
    run(command, log, create="echo x", logging="none")
    assert log.lines == []


def test_files_asked_for_come_with_their_hashes(
    command: LocalCommand, log: Any, tmp_path: Path
) -> None:
    made = run(command, log, create="printf x > a.txt", dir=str(tmp_path), assetPaths=["*.txt"])
    asset = made.outputs["assets"]["a.txt"]
    assert asset[SIGNATURE] == ASSET
    assert asset["path"] == str(tmp_path / "a.txt")
    assert asset["hash"].startswith("2d711642b726b044")


def test_the_function_runs_and_returns_its_arguments(log: Any) -> None:
    result = run_invoke(Processes())({"command": "echo hi"}, log)
    assert result == {"command": "echo hi", "stdout": "hi", "stderr": ""}


# --- failing --------------------------------------------------------------------------------------


def test_a_failure_names_the_cause_the_command_and_all_output(
    command: LocalCommand, log: Any
) -> None:
    words = failure(command, log, create="echo out; echo err >&2; exit 3")
    assert words.startswith('exit status 3: running "echo out; echo err >&2; exit 3":\n')
    assert {"out", "err"} <= set(words.splitlines())


def test_a_killed_command_says_so(command: LocalCommand, log: Any) -> None:
    assert failure(command, log, create="kill -9 $$").startswith("signal: killed: running ")


def test_a_missing_directory_or_interpreter_is_told_apart(command: LocalCommand, log: Any) -> None:
    words = failure(command, log, create="true", dir="/nonexist")
    assert words.startswith('chdir /nonexist: no such file or directory: running "true":')
    words = failure(command, log, create="true", interpreter=["/bin/nope"])
    assert words.startswith('fork/exec /bin/nope: no such file or directory: running "true":')


def test_a_failure_shows_no_secret_variable_and_no_secret_stdin(
    command: LocalCommand, log: Any
) -> None:
    hidden = {"stdin": secret("s3cret-in"), "environment": {"K": secret("s3cret-env")}}
    words = failure(command, log, create="exit 1", **hidden)
    assert "s3cret" not in words


# --- updating and deleting ------------------------------------------------------------------------


def test_an_update_runs_update_or_else_create_and_sees_the_output_before(
    command: LocalCommand, log: Any
) -> None:
    old = {"create": "echo one"}
    made = run(command, log, **old)
    new = {"create": "echo one", "update": "echo after $PULUMI_COMMAND_STDOUT"}
    assert update(command, log, made, old, new)["stdout"] == "after one"
    again = {"create": "echo two $PULUMI_COMMAND_STDOUT"}
    assert update(command, log, made, old, again)["stdout"] == "two one"


def test_with_nothing_to_run_an_update_keeps_the_output(command: LocalCommand, log: Any) -> None:
    old = {"create": "echo one"}
    made = run(command, log, **old)
    assert update(command, log, made, old, {"delete": "true"})["stdout"] == "one"


def test_an_empty_output_sets_no_variable_and_it_can_be_switched_off(
    command: LocalCommand, log: Any
) -> None:
    old = {"create": "true"}
    made = run(command, log, **old)
    new = {"create": "echo ${PULUMI_COMMAND_STDOUT-unset}"}
    assert update(command, log, made, old, new)["stdout"] == "unset"
    old = {"create": "echo one"}
    made = run(command, log, **old)
    assert (
        update(command, log, made, old, {**new, "addPreviousOutputInEnv": False})["stdout"]
        == "unset"
    )


def test_delete_runs_the_saved_text_with_the_saved_output(
    command: LocalCommand, log: Any, tmp_path: Path
) -> None:
    text = f"echo $PULUMI_COMMAND_STDOUT > {tmp_path}/said"
    made = run(command, log, create="echo bye", delete=text)
    command.delete(made.id, made.outputs, timeout_s=0, log=log)
    assert (tmp_path / "said").read_text() == "bye\n"


# --- previews -------------------------------------------------------------------------------------


def test_a_preview_runs_nothing_and_knows_no_output(
    command: LocalCommand, log: Any, tmp_path: Path
) -> None:
    inputs = {"create": f"touch {tmp_path}/ran"}
    made = command.create("c", inputs, preview=True, timeout_s=0, log=log)
    assert made.outputs == {**inputs, "stdout": UNKNOWN, "stderr": UNKNOWN}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("new", "known"),
    [
        ({"create": "echo one", "delete": "true"}, True),
        ({"create": "echo two"}, False),
        ({}, False),
        ({"create": UNKNOWN}, False),
    ],
)
def test_outputs_stay_known_in_a_preview_only_if_inputs_were_only_added(
    command: LocalCommand, log: Any, new: dict[str, Any], known: bool
) -> None:
    old = {"create": "echo one"}
    made = run(command, log, **old)
    outputs = update(command, log, made, old, new, preview=True)
    assert outputs["stdout"] == ("one" if known else UNKNOWN)


def test_triggers_replace_only_as_a_whole(command: LocalCommand) -> None:
    assert command.diff({}, {"triggers": [1]}, {}).replaces == {"triggers"}
    changed = command.diff({"triggers": [1]}, {"triggers": [2]}, {})
    assert dict(changed.changes) == {"triggers[0]": "UPDATE"}
    assert not changed.replaces


# --- ending ---------------------------------------------------------------------------------------


def test_cancelling_ends_the_command_and_its_children(log: Any, tmp_path: Path) -> None:
    processes = Processes()
    command = LocalCommand(processes)
    found: list[str] = []
    text = f"sleep 45 & echo $! > {tmp_path}/child; wait"
    thread = threading.Thread(target=lambda: found.append(failure(command, log, create=text)))
    start = time.monotonic()
    thread.start()
    written = tmp_path / "child"
    assert until(lambda: written.exists() and written.read_text().strip())
    processes.kill_all()
    thread.join(10)
    assert time.monotonic() - start < 20
    assert found[0].startswith("signal: killed: running ")
    assert until(lambda: not alive(int(written.read_text())))


def test_a_detached_process_neither_holds_the_command_nor_ends_with_it(
    log: Any, tmp_path: Path
) -> None:
    processes = Processes()
    text = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 40' </dev/null >/dev/null 2>&1 &"
    start = time.monotonic()
    run(LocalCommand(processes), log, create=text)
    assert time.monotonic() - start < 10
    assert until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    processes.kill_all()
    try:
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
