import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from toolchain import bootstrap
from toolchain.checkout import Checkout
from toolchain.errors import ToolchainError

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class FakeEnvironment:
    """The Python environment, reduced to what is there and what was done."""

    launcher: Path = Path("/checkout/.venv/bin/hearth")
    is_usable: bool = True
    is_current: bool = True
    is_linked: bool = True
    done: list[str] = field(default_factory=list)

    def usable(self) -> bool:
        return self.is_usable

    def packages_current(self) -> bool:
        return self.is_current

    def linked(self) -> bool:
        return self.is_linked

    def python_version(self) -> str:
        return "3.11"

    def create(self, step: object) -> None:
        self.done.append("create")

    def install(self, step: object) -> None:
        self.done.append("install")

    def link(self) -> None:
        self.done.append("link")


@dataclass
class World:
    """Who is asking, what is installed, what was run; `codes` are the exit codes to come."""

    tmp_path: Path
    display: Any
    environment: FakeEnvironment = field(default_factory=FakeEnvironment)
    programs: tuple[str, ...] = ("cc", "c++", "apt-get", "sudo")
    is_root: bool = False
    agrees: bool = True
    codes: list[int] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    def run(self, argv: Sequence[str], environ: Mapping[str, str], log: Path | None) -> int:
        self.runs.append(" ".join(argv))
        if log:
            with log.open("a") as out:
                out.write("E: Unable to locate package g++\n")
        return self.codes.pop(0) if self.codes else 0

    def hand_over(self, argv: Sequence[str], environ: Mapping[str, str]) -> int:
        self.runs.append(" ".join(argv))
        return 7

    def ask(self, question: str) -> bool:
        self.questions.append(question)
        return self.agrees

    def start(self, *arguments: str) -> int:
        made = bootstrap.Bootstrap(
            checkout=Checkout(self.tmp_path, Path("/checkout/.venv/bin/python")),
            environment=self.environment,  # type: ignore[arg-type]
            display=self.display,
            environ={},
            needs_git=False,
            is_root=self.is_root,
            which=lambda name: f"/bin/{name}" if name in self.programs else None,
            run=self.run,
            ask=self.ask,
            hand_over=self.hand_over,
        )
        return bootstrap.run(bootstrap.parser().parse_args(arguments), made)


@pytest.fixture
def world(tmp_path: Path, display: Any) -> World:
    return World(tmp_path, display)


TOOLCHAIN = "/checkout/.venv/bin/python -m toolchain"
INSTALL = "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends g++"


def test_a_ready_checkout_goes_straight_to_the_toolchain_and_up(world: World) -> None:
    assert world.start() == 7
    assert world.runs == [TOOLCHAIN, "/checkout/.venv/bin/hearth up --stack dev --first-run"]
    assert world.environment.done == []


def test_options_for_the_first_run_are_passed_on(world: World) -> None:
    world.start("--stack", "home", "--run-local", "--yes")
    assert world.runs[-1].endswith("hearth up --stack home --run-local --yes --first-run")


def test_a_bare_checkout_gets_its_environment_first(world: World) -> None:
    world.environment = FakeEnvironment(is_usable=False, is_current=False, is_linked=False)
    world.start()
    assert world.environment.done == ["create", "install", "link"]


def test_nothing_is_applied_when_the_toolchain_failed(world: World) -> None:
    world.codes = [130]
    assert world.start() == 130
    assert world.runs == [TOOLCHAIN]


def test_one_can_stop_before_anything_is_applied(world: World) -> None:
    assert world.start("--no-up") == 0
    assert world.runs == [TOOLCHAIN]


def test_a_missing_compiler_is_installed_through_sudo_after_one_question(world: World) -> None:
    world.programs = ("cc", "apt-get", "sudo")
    world.start("--no-up")
    assert len(world.questions) == 1
    assert f"sudo {INSTALL}" in world.questions[0]
    assert world.runs == [f"sudo {INSTALL}", TOOLCHAIN]


def test_root_is_not_asked(world: World) -> None:
    world.programs, world.is_root = ("cc", "apt-get"), True
    world.start("--no-up")
    assert world.questions == []
    assert world.runs[0] == INSTALL


def test_empty_package_lists_are_refreshed_once(world: World) -> None:
    world.programs, world.is_root, world.codes = ("cc", "apt-get"), True, [100, 0, 0]
    world.start("--no-up")
    assert world.runs[1] == "env DEBIAN_FRONTEND=noninteractive apt-get update"
    assert world.runs[2] == INSTALL


def test_a_package_manager_that_fails_is_quoted(world: World) -> None:
    world.programs, world.is_root, world.codes = ("cc", "apt-get"), True, [100, 0, 100]
    with pytest.raises(ToolchainError, match="Unable to locate package") as caught:
        world.start()
    assert caught.value.fix == INSTALL
    assert caught.value.log.endswith("bootstrap-system.log")


@pytest.mark.parametrize(
    ("programs", "agrees", "arguments"),
    [
        (("cc", "apt-get", "sudo"), False, ()),
        (("cc", "apt-get", "sudo"), True, ("--no-system-packages",)),
        (("cc", "apt-get"), True, ()),
        (("cc",), True, ()),
    ],
)
def test_without_permission_nothing_is_run_and_the_fix_is_named(
    world: World, programs: tuple[str, ...], agrees: bool, arguments: tuple[str, ...]
) -> None:
    world.programs, world.agrees = programs, agrees
    with pytest.raises(ToolchainError, match=r"a C\+\+ compiler missing") as caught:
        world.start(*arguments)
    assert caught.value.fix
    assert world.runs == []
    assert world.environment.done == []


def test_a_check_names_what_is_missing_and_does_nothing(world: World) -> None:
    world.programs = ("cc", "apt-get", "sudo")
    world.environment = FakeEnvironment(is_usable=False, is_current=False, is_linked=False)
    assert world.start("--check") == 1
    assert (world.runs, world.environment.done, world.questions) == ([], [], [])
    text = "\n".join(world.display.notes)
    for part in ("C++ compiler", "create .venv", "requirements/runtime.txt", "hearth command"):
        assert part in text


@pytest.mark.parametrize("code", [0, 1])
def test_a_check_of_a_ready_checkout_answers_with_the_toolchains_check(
    world: World, code: int
) -> None:
    world.codes = [code]
    assert world.start("--check") == code
    assert world.runs == [f"{TOOLCHAIN} --check"]


# -- bootstrap.sh itself


def shell(
    folder: Path, *arguments: str, path: str = "", python: str = ""
) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": path or os.environ["PATH"], "HOME": str(folder)}
    if python:
        environ["PYTHON"] = python
    return subprocess.run(
        ["/bin/bash", str(folder / "bootstrap.sh"), *arguments],
        env=environ,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with a blank in its name and nothing but bootstrap.sh."""
    made = tmp_path / "my checkout"
    made.mkdir()
    (made / "bootstrap.sh").write_bytes((ROOT / "bootstrap.sh").read_bytes())
    return made


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with the few programs that every system has, and no Python."""
    made = tmp_path / "path"
    made.mkdir()
    for name in ("dirname", "id", "env"):
        (made / name).symlink_to(f"/usr/bin/{name}")
    return made


def test_the_script_is_valid_bash_and_short() -> None:
    subprocess.run(["bash", "-n", str(ROOT / "bootstrap.sh")], check=True)
    text = (ROOT / "bootstrap.sh").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert os.access(ROOT / "bootstrap.sh", os.X_OK)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_script_has_no_shell_trap_that_a_linter_knows() -> None:
    subprocess.run(["shellcheck", str(ROOT / "bootstrap.sh")], check=True)


def test_the_script_hands_its_arguments_to_the_python_it_found(
    folder: Path, bare_path: Path, program: Any
) -> None:
    program(bare_path / "python3", '#!/bin/sh\n[ "$1" = -c ] || echo "$PWD: $*"\n')
    done = shell(folder, "--stack", "my home", path=str(bare_path))
    assert done.stdout == f"{folder}: -m toolchain.bootstrap --stack my home\n"


def test_an_old_python_is_passed_over_for_a_newer_one(
    folder: Path, bare_path: Path, program: Any
) -> None:
    program(bare_path / "python3", "#!/bin/sh\nexit 1\n")
    program(bare_path / "python3.12", '#!/bin/sh\n[ "$1" = -c ] || echo new\n')
    assert shell(folder, path=str(bare_path)).stdout == "new\n"


def test_a_python_can_be_named(folder: Path, tmp_path: Path, program: Any) -> None:
    named = program(tmp_path / "my python", '#!/bin/sh\n[ "$1" = -c ] || echo named\n')
    assert shell(folder, python=str(named)).stdout == "named\n"


@pytest.mark.parametrize("argument", ["--check", "--no-system-packages"])
def test_a_missing_python_is_named_and_not_installed_without_permission(
    folder: Path, bare_path: Path, program: Any, argument: str
) -> None:
    program(bare_path / "apt-get", f"#!/bin/sh\ntouch '{folder}/called'\n")
    done = shell(folder, argument, path=str(bare_path))
    assert done.returncode == 1
    assert "Python 3.11 or newer is missing" in done.stderr
    assert "fix: install it" in done.stderr
    assert not (folder / "called").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs without being asked")
def test_root_gets_a_missing_python_from_the_package_manager(
    folder: Path, bare_path: Path, program: Any
) -> None:
    script = '#!/bin/sh\n[ "$1" = -c ] || echo installed\n'
    program(folder / "packaged", script)
    program(
        bare_path / "apt-get",
        f"#!/bin/sh\n[ $1 = install ] || exit 1\n/bin/cp '{folder}/packaged' {bare_path}/python3\n",
    )
    done = shell(folder, path=str(bare_path))
    assert done.stdout == "installed\n"
