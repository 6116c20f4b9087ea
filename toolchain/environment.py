"""The Python environment of one checkout: `.venv`, its packages, import roots and launcher.

Owns what is inside `.venv` that is ours. Does not own the packages' versions
(requirements/runtime.txt). Standard library only: it runs before the environment exists.
"""

from __future__ import annotations

import hashlib
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from toolchain import command, files
from toolchain.checkout import Checkout
from toolchain.errors import ToolchainError
from toolchain.launcher import shebang
from toolchain.progress import Step

_STAMP = "hearth-requirements.sha256"

_HEARTH = '''\
"""The hearth command of this checkout; written by bootstrap."""

import sys

# Whatever else is on the path must not shadow the checkout.
sys.path.insert(0, {root!r})

from ops.cli import main

main()
'''


class Environment:
    """`base` is the interpreter that makes the virtual environment."""

    def __init__(self, checkout: Checkout, base: Path, environ: Mapping[str, str]) -> None:
        self._checkout = checkout
        self._base = base
        self._environ = environ

    @property
    def folder(self) -> Path:
        """`.venv` of the checkout."""
        return self._checkout.root / ".venv"

    @property
    def requirements(self) -> Path:
        """The pinned packages with their hashes."""
        return self._checkout.root / "requirements" / "runtime.txt"

    @property
    def _stamp(self) -> Path:
        return self.folder / _STAMP

    @property
    def launcher(self) -> Path:
        """`.venv/bin/hearth`."""
        return self.folder / "bin" / "hearth"

    def python_version(self) -> str:
        """`3.11` of the environment's own interpreter, or empty if there is none that runs."""
        asked = "import sys; print('%d.%d' % sys.version_info[:2])"
        answer = command.probe([str(self._checkout.python), "-c", asked], self._environ)
        return answer.strip()

    def usable(self) -> bool:
        """Whether there is an environment with Python 3.11 or newer."""
        version = self.python_version()
        return bool(version) and tuple(map(int, version.split("."))) >= (3, 11)

    def _wanted_stamp(self) -> str:
        text = self.requirements.read_bytes()
        return f"{hashlib.sha256(text).hexdigest()} python{self.python_version()}\n"

    def packages_current(self) -> bool:
        """Whether exactly this requirements file was installed into this environment."""
        try:
            return self._stamp.read_text(encoding="utf-8") == self._wanted_stamp()
        except OSError:
            return False

    def _pth(self) -> Path:
        return (
            self.folder / "lib" / f"python{self.python_version()}" / "site-packages" / "hearth.pth"
        )

    def _pth_text(self) -> str:
        project = self._checkout.root / "pyproject.toml"
        try:
            roots = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["hearth"]["roots"]
        except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
            raise ToolchainError(f"{project}: cannot read [tool.hearth] roots: {error}") from error
        return "".join(f"{(self._checkout.root / root).resolve()}\n" for root in roots)

    def _launcher_text(self) -> str:
        return shebang(self._checkout.python) + _HEARTH.format(root=str(self._checkout.root))

    def linked(self) -> bool:
        """Whether import roots and launcher are in place for this very folder."""
        try:
            return (
                self._pth().read_text(encoding="utf-8") == self._pth_text()
                and self.launcher.read_text(encoding="utf-8") == self._launcher_text()
            )
        except OSError:
            return False

    def create(self, step: Step) -> None:
        """Makes `.venv`, replacing one whose interpreter is gone or too old."""
        argv = [str(self._base), "-m", "venv", "--clear", str(self.folder)]
        command.run(argv, step=step, environ=self._environ, cwd=self._checkout.root)

    def install(self, step: Step) -> None:
        """Installs the pinned packages; the stamp is written last."""
        self._stamp.unlink(missing_ok=True)
        argv = [str(self._checkout.python), "-m", "pip", "install", "--require-hashes"]
        argv += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        argv += ["-r", str(self.requirements)]
        done = 0

        def count(line: str) -> None:
            nonlocal done
            if line.startswith(("Collecting ", "Requirement already satisfied: ")):
                done += 1
                step.amount(done, self._pinned(), "packages")

        command.run(argv, step=step, environ=self._environ, cwd=self._checkout.root, on_line=count)
        files.write_text(self._stamp, self._wanted_stamp())

    def _pinned(self) -> int:
        text = self.requirements.read_text(encoding="utf-8")
        return sum(1 for line in text.splitlines() if line[:1].isalnum())

    def link(self) -> None:
        """Writes import roots and launcher."""
        files.write_text(self._pth(), self._pth_text())
        files.write_text(self.launcher, self._launcher_text(), mode=0o755)


def base_interpreter() -> Path:
    """The interpreter that is not itself inside a virtual environment."""
    return Path(getattr(sys, "_base_executable", "") or sys.executable)
