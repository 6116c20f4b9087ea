"""The language host under the real engine: programs end as they do under the official one."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from sandbox import Sandbox

PROJECT = """name: small
runtime:
  name: python
  options: {toolchain: pip, virtualenv: VENV}
"""


@pytest.fixture(scope="module")
def project(up: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    (folder / "state").mkdir()
    (folder / "Pulumi.yaml").write_text(PROJECT.replace("VENV", str(up.root / ".venv")))
    (folder / "__main__.py").write_text("")
    assert pulumi(up, folder, "stack", "init", "t").returncode == 0
    return folder


def environment(up: Sandbox, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{up.root}/.hearth/bin:{os.environ['PATH']}",
        "PULUMI_HOME": f"{up.root}/.hearth/pulumi",
        "PULUMI_BACKEND_URL": f"file://{folder}/state",
        "PULUMI_CONFIG_PASSPHRASE": "x",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


def pulumi(up: Sandbox, folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["pulumi", *args, "--non-interactive"],
        cwd=folder,
        env=environment(up, folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ('raise ValueError("boom")', "ValueError: boom"),
        ('import pulumi\nraise pulumi.RunError("clean")', "error: clean"),
        ("import sys\nsys.exit(3)", "program exited with non-zero exit code: 3"),
        ("import os\nos._exit(9)", "program exited with non-zero exit code: 9"),
    ],
)
def test_a_failing_program_is_one_error_and_a_failed_preview(
    up: Sandbox, project: Path, program: str, expected: str
) -> None:
    (project / "__main__.py").write_text(program)
    done = pulumi(up, project, "preview")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert expected in text
    assert text.split("Diagnostics:")[1].count(expected) == 1
    assert "site-packages" not in text


@pytest.mark.parametrize("program", ["", "import sys\nsys.exit(0)", "import pulumi"])
def test_a_program_that_ends_well_is_no_error(up: Sandbox, project: Path, program: str) -> None:
    (project / "__main__.py").write_text(program)
    done = pulumi(up, project, "preview")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_program_sees_its_folder_its_name_and_its_configuration(
    up: Sandbox, project: Path
) -> None:
    (project / "beside.py").write_text("VALUE = 41")
    (project / "__main__.py").write_text(
        "import os, beside, pulumi\n"
        "pulumi.export('sum', beside.VALUE + pulumi.Config('small').require_int('one'))\n"
        "pulumi.export('name', __name__)\n"
        "pulumi.export('here', os.getcwd())\n"
    )
    assert pulumi(up, project, "config", "set", "one", "1", "--stack", "t").returncode == 0
    done = pulumi(up, project, "preview", "--stack", "t")
    assert "sum : 42" in done.stdout, done.stdout + done.stderr
    assert 'name: "__main__"' in done.stdout
    assert f'here: "{project}"' in done.stdout


def test_about_lists_the_interpreter_and_the_plugins(up: Sandbox, project: Path) -> None:
    done = subprocess.run(
        ["pulumi", "about"],
        cwd=project,
        env=environment(up, project),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "toolchain='Pip'" in done.stdout
    assert "nomad    2.6.1" in done.stdout


def test_an_interrupted_program_ends_at_once_without_leftovers(up: Sandbox, project: Path) -> None:
    marker = f"marker-{os.getpid()}"
    (project / "__main__.py").write_text(
        f"import time\nname = {marker!r}\nprint('started', flush=True)\ntime.sleep(60)\n"
    )
    child = subprocess.Popen(
        ["pulumi", "preview", "--non-interactive"],
        cwd=project,
        env=environment(up, project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(3)
    child.send_signal(signal.SIGINT)
    started = time.monotonic()
    child.communicate(timeout=30)
    assert child.returncode != 0
    assert time.monotonic() - started < 10
    time.sleep(0.5)
    left = [
        proc
        for proc in Path("/proc").glob("[0-9]*")
        if os.path.islink(proc / "cwd") and _cwd(proc) == str(project)
    ]
    assert left == []


def _cwd(proc: Path) -> str:
    try:
        return os.readlink(proc / "cwd")
    except OSError:
        return ""
