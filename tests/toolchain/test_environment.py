import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolchain.checkout import Checkout
from toolchain.environment import Environment, base_interpreter
from toolchain.errors import CommandError, ToolchainError
from toolchain.progress import Step

# Stands for `.venv/bin/python`: answers the version question, notes pip's arguments.
PYTHON = """#!/bin/sh
case "$*" in
-c*) echo {version} ;;
*"pip install"*) echo "$*" >> {calls}; echo 'Collecting one==1'; {behaviour} ;;
esac
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "checkout"
    (made / "requirements").mkdir(parents=True)
    (made / "requirements" / "runtime.txt").write_text("one==1 \\\n    --hash=sha256:aa\ntwo==2\n")
    (made / "pyproject.toml").write_text('[tool.hearth]\nroots = [".", "images/base"]\n')
    return made


@pytest.fixture
def environment(root: Path) -> Environment:
    checkout = Checkout(root, root / ".venv" / "bin" / "python")
    return Environment(checkout, Path(sys.executable), dict(os.environ))


@pytest.fixture
def put_python(root: Path, program: Any) -> Callable[..., None]:
    def put(version: str = "3.11", behaviour: str = ":") -> None:
        text = PYTHON.format(version=version, behaviour=behaviour, calls=root / "pip-calls")
        program(root / ".venv" / "bin" / "python", text)
        (root / ".venv" / "lib" / f"python{version}" / "site-packages").mkdir(parents=True)

    return put


@pytest.mark.parametrize(("version", "usable"), [("3.11", True), ("3.14", True), ("3.9", False)])
def test_an_environment_is_usable_with_a_python_that_is_new_enough(
    environment: Environment, put_python: Callable[..., None], version: str, usable: bool
) -> None:
    assert not environment.usable()
    put_python(version)
    assert environment.usable() is usable


def test_packages_are_installed_with_hashes_and_once(
    environment: Environment, put_python: Callable[..., None], root: Path, step: Step, display: Any
) -> None:
    put_python()
    assert not environment.packages_current()
    environment.install(step)
    assert "--require-hashes" in (root / "pip-calls").read_text()
    assert display.activities[-1].endswith("1/2 packages")
    assert environment.packages_current()


def test_a_changed_requirements_file_is_installed_again(
    environment: Environment, put_python: Callable[..., None], root: Path, step: Step
) -> None:
    put_python()
    environment.install(step)
    with (root / "requirements" / "runtime.txt").open("a") as file:
        file.write("three==3\n")
    assert not environment.packages_current()


def test_a_failed_installation_is_not_taken_for_done(
    environment: Environment, put_python: Callable[..., None], step: Step
) -> None:
    put_python()
    environment.install(step)
    put_python("3.12", behaviour="echo 'hashes do not match'; exit 1")
    with pytest.raises(CommandError, match="hashes do not match"):
        environment.install(step)
    assert not environment.packages_current()


def test_import_roots_are_absolute_and_follow_a_moved_checkout(
    environment: Environment, put_python: Callable[..., None], root: Path
) -> None:
    put_python()
    assert not environment.linked()
    environment.link()
    assert environment.linked()
    written = root / ".venv/lib/python3.11/site-packages/hearth.pth"
    assert written.read_text() == f"{root}\n{root}/images/base\n"
    moved = root.rename(root.with_name("moved"))
    checkout = Checkout(moved, moved / ".venv" / "bin" / "python")
    assert not Environment(checkout, Path(sys.executable), dict(os.environ)).linked()


def test_a_project_file_without_roots_is_reported(
    environment: Environment, put_python: Callable[..., None], root: Path
) -> None:
    put_python()
    (root / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(ToolchainError, match=r"pyproject\.toml: cannot read \[tool\.hearth\]"):
        environment.link()


def test_a_new_environment_runs_the_hearth_command_of_its_checkout(
    root: Path, tmp_path: Path
) -> None:
    (root / "ops").mkdir()
    (root / "ops" / "cli.py").write_text(
        "import sys\ndef main():\n    print('ops', sys.argv[1:])\n    raise SystemExit(4)\n"
    )
    # Without pip: the packages play no part here, and copying it takes seconds.
    made = Environment(
        Checkout(root, root / ".venv/bin/python"), base_interpreter(), dict(os.environ)
    )
    (root / ".venv").mkdir()
    (root / ".venv" / "stale").touch()
    subprocess.run(
        [base_interpreter(), "-m", "venv", "--clear", "--without-pip", root / ".venv"], check=True
    )
    assert made.usable()
    made.link()
    done = subprocess.run(
        [made.launcher, "up", "--yes"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("ops ['up', '--yes']\n", 4)


def test_the_environment_is_made_by_the_base_interpreter(
    root: Path, step: Step, program: Any, tmp_path: Path
) -> None:
    base = program(tmp_path / "python3", f'#!/bin/sh\necho "$*" > {tmp_path}/calls\n')
    checkout = Checkout(root, root / ".venv" / "bin" / "python")
    Environment(checkout, base, dict(os.environ)).create(step)
    assert (tmp_path / "calls").read_text() == f"-m venv --clear {root}/.venv\n"
