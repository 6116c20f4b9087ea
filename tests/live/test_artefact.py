"""The llama.cpp build is relocatable, and another stack of the checkout previews."""

import shutil
import subprocess
from pathlib import Path

from sandbox import Sandbox

from components.inspection import inspect_hardware
from components.stack import cache_dir


def test_a_build_runs_from_wherever_it_is_copied(up: Sandbox, tmp_path: Path) -> None:
    cpu_class = inspect_hardware().cpu_class.value
    builds = sorted((cache_dir() / "llama.cpp").glob(f"*/{cpu_class}-*/bin"))
    assert builds
    copy = tmp_path / "elsewhere"
    shutil.copytree(builds[-1], copy, symlinks=True)
    listed = subprocess.run(
        ["ldd", str(copy / "llama-server")], capture_output=True, text=True, check=True
    ).stdout
    own = [line for line in listed.splitlines() if "libllama" in line or "libggml" in line]
    assert own
    assert all(str(copy) in line for line in own)
    done = subprocess.run(
        [str(copy / "llama-server"), "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_home_stack_previews_without_reaching_any_machine(up: Sandbox) -> None:
    done = up.hearth("preview", "--stack", "home")
    assert done.returncode == 0, done.stderr
    assert "tower-llama-artefact  command:remote:Command" in done.stdout
    assert "expert-extract-job" in done.stdout
