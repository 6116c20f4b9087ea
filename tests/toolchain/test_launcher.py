import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.checkout import Checkout
from toolchain.launcher import launcher_text


def checkout_at(root: Path) -> Checkout:
    """A checkout whose stand-ins print what they were asked for, with a real interpreter."""
    package = root / "toolchain" / "plugins"
    package.mkdir(parents=True)
    (root / "toolchain" / "__init__.py").touch()
    (package / "__init__.py").write_text(
        "import sys\ndef main(name):\n    print(name, sys.argv[1:])\n    return 3\n"
    )
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    return Checkout(root, python)


@pytest.mark.parametrize("folder", ["short", "with blank", "long" * 50, "it's"])
def test_a_launcher_runs_the_stand_in_wherever_the_checkout_lies(
    folder: str, tmp_path: Path
) -> None:
    checkout = checkout_at(tmp_path / folder)
    script = tmp_path / "pulumi-resource-command"
    script.write_text(launcher_text(checkout, "command", "pulumi-resource-command"))
    script.chmod(0o755)
    done = subprocess.run(
        [script, "127.0.0.1:1", "two words"], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.stdout == "command ['127.0.0.1:1', 'two words']\n"
    assert done.returncode == 3
    assert done.stderr == ""


def test_a_first_line_is_never_longer_than_a_kernel_reads(tmp_path: Path) -> None:
    for length in range(80, 140):
        python = Path("/" + "x" * length)
        text = launcher_text(Checkout(tmp_path, python), "command", "what")
        assert len(text.splitlines()[0]) <= 127
