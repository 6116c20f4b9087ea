"""The runner as a process: exit codes, signals, and what is left when it is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from expert_runner.__main__ import read_key, read_settings
from expert_runner.errors import ConfigurationError


@pytest.fixture
def start(scene, checkout):
    started = []

    def launch(settings=None) -> subprocess.Popen:
        path, key = scene.write_files()
        roots = f"{checkout / 'images/base'}:{checkout / 'images/llama'}"
        started.append(
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "expert_runner"),
                    *("--settings", settings or path, "--api-key-file", key),
                    *("--host", "127.0.0.1", "--port", str(scene.port)),
                ],
                env=os.environ | {"PYTHONPATH": roots},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield launch
    for process in started:
        process.kill()
        process.communicate()


def wait_until(what, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_ends_the_runner_with_0(scene, start, number):
    scene.rung("selftest")
    process = start()
    wait_until(lambda: scene.serving() == "selftest")
    process.send_signal(number)
    assert process.wait(10) == 0
    assert scene.serving() is None


def test_a_killed_runner_leaves_no_server_behind(scene, start):
    scene.rung("selftest")
    process = start()
    wait_until(lambda: scene.serving() == "selftest")
    pid = scene.server_pid()
    process.kill()
    process.wait(10)
    wait_until(lambda: scene.serving() is None)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or is_zombie(pid))


def test_no_working_rung_ends_the_runner_with_1_and_a_table(scene, start):
    scene.rung("selftest", present=False)
    process = start()
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "1. selftest  " in output


def test_the_key_appears_in_no_output_and_no_command_line(scene, start):
    scene.rung("selftest")
    process = start()
    wait_until(lambda: scene.serving() == "selftest")
    key = (scene.folder / "key").read_bytes().strip()
    for pid in (process.pid, scene.server_pid()):
        with open(f"/proc/{pid}/cmdline", "rb") as words:
            assert key not in words.read()
    process.terminate()
    output = "".join(process.communicate(timeout=10))
    assert "starting" in output
    assert key.decode() not in output


def test_wrong_settings_end_the_runner_with_2_and_the_name_of_the_field(scene, start):
    scene.rung("selftest")
    path = scene.folder / "wrong.json"
    path.write_text('{"expert": "general", "colour": "red"}')
    process = start(path)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "colour: Extra inputs are not permitted" in errors
    assert "ladder: Field required" in errors


def test_the_first_line_that_is_no_comment_is_the_key(tmp_path):
    file = tmp_path / "key"
    file.write_text("# made by hearth\n\n  sk-one  \nsk-two\n")
    assert read_key(file) == "sk-one"


def test_a_key_file_without_a_key_is_refused(tmp_path):
    file = tmp_path / "key"
    file.write_text("# nothing\n")
    with pytest.raises(ConfigurationError, match="holds no key"):
        read_key(file)


def test_missing_settings_are_refused_by_their_path(tmp_path):
    with pytest.raises(ConfigurationError, match=r"absent\.json: No such file"):
        read_settings(tmp_path / "absent.json")


def is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
