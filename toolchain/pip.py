"""pip as a way to fetch pinned files from the package registry.

Owns the command lines. Does not own which packages. The user's PIP_* settings and pip.conf
apply as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from toolchain import command
from toolchain.progress import Step

_FAKE_BACKEND = '''\
"""Answers pip's question for metadata so that nothing has to be built to download a file."""

import os


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name = {folder!r}
    os.mkdir(os.path.join(metadata_directory, name))
    with open(os.path.join(metadata_directory, name, "METADATA"), "w") as out:
        out.write("Metadata-Version: 2.1\\nName: {package}\\nVersion: {version}\\n")
    return name
'''


class Pip:
    """pip of the interpreter `python`."""

    def __init__(self, python: Path, environ: Mapping[str, str]) -> None:
        self._python = python
        self._environ = environ

    def _run(self, arguments: list[str], step: Step, extra: Mapping[str, str]) -> None:
        argv = [str(self._python), "-m", "pip", *arguments]
        argv += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        command.run(argv, step=step, environ={**self._environ, **extra}, cwd=Path("/"))

    def install_into(
        self, target: Path, package: str, version: str, sha256: str, step: Step
    ) -> None:
        """Unpacks one pinned wheel into the folder `target`; raises CommandError."""
        with tempfile.TemporaryDirectory() as scratch:
            pins = Path(scratch, "pins.txt")
            pins.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
            arguments = ["install", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
            arguments += ["--no-compile", "--target", str(target), "-r", str(pins)]
            self._run(arguments, step, {})

    def download_sdist(
        self,
        target: Path,
        package: str,
        version: str,
        sha256: str,
        backend: str,
        step: Step,
    ) -> None:
        """Puts one pinned source distribution into the folder `target`; raises CommandError.

        pip insists on asking the package's build backend (module `backend`) for metadata, even
        for a download. The real one would want a compiler and packages of its own, so a
        five-line one of that name stands in front of it for this call.
        """
        with tempfile.TemporaryDirectory() as scratch:
            pins = Path(scratch, "pins.txt")
            pins.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
            folder = Path(scratch, "backend", *backend.split(".")[:-1])
            folder.mkdir(parents=True)
            (folder / "__init__.py").touch()
            module = folder / f"{backend.split('.')[-1]}.py"
            text = _FAKE_BACKEND.format(
                folder=f"{package.replace('-', '_')}-{version}.dist-info",
                package=package,
                version=version,
            )
            module.write_text(text, encoding="utf-8")
            arguments = ["download", "--no-deps", "--no-binary", package, "--no-build-isolation"]
            arguments += ["--require-hashes", "-r", str(pins), "-d", str(target)]
            self._run(arguments, step, {"PYTHONPATH": str(Path(scratch, "backend"))})
