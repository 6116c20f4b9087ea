"""Provider plugins and the language host of one checkout.

Owns putting them where the engine looks: the official ones where they can be had, else
launchers of our stand-ins. Does not own the stand-ins (toolchain.plugins) or the versions,
which are those of the installed Python SDKs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain import archive, command, files
from toolchain.cache import Cache, Entry
from toolchain.checkout import Checkout
from toolchain.errors import ChecksumError, SourceUnavailableError
from toolchain.launcher import launcher_text
from toolchain.lock import Lock
from toolchain.progress import Step
from toolchain.sources.mirror import MirrorSource

HOST = "pulumi-language-python"
HOST_EXECUTOR = "pulumi-language-python-exec"
OFFICIAL = "official"
STAND_IN = "stand-in"
_ELF = b"\x7fELF"


def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(4) == _ELF and path.stat().st_mode & 0o100 != 0
    except OSError:
        return False


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text and path.stat().st_mode & 0o100 != 0
    except (OSError, UnicodeDecodeError):
        return False


class PluginInstaller:
    """`versions` maps a plugin's name to the version its Python SDK asks for."""

    def __init__(
        self,
        lock: Lock,
        cache: Cache,
        checkout: Checkout,
        mirror: MirrorSource,
        versions: Mapping[str, str],
        environ: Mapping[str, str],
        allowed: Sequence[str],
    ) -> None:
        self._lock = lock
        self._cache = cache
        self._checkout = checkout
        self._mirror = mirror
        self._environ = environ
        self._allowed = allowed
        self.versions = dict(versions)

    def _entry(self, name: str) -> Entry:
        return self._cache.tool(
            f"pulumi-resource-{name}", self.versions[name], self._lock.platform.tag
        )

    def program(self, name: str) -> Path:
        """Where the engine looks for the plugin `name`."""
        folder = self._checkout.plugins / f"resource-{name}-v{self.versions[name]}"
        return folder / f"pulumi-resource-{name}"

    def _text(self, name: str) -> str:
        return launcher_text(self._checkout, name, f"pulumi-resource-{name}")

    def kind(self, name: str) -> str:
        """`official`, `stand-in`, or empty where the plugin is missing or out of date."""
        program = self.program(name)
        if program.parent.with_name(program.parent.name + ".partial").exists():
            return ""
        if _is_program(program):
            return OFFICIAL
        return STAND_IN if _holds(program, self._text(name)) else ""

    def outlook(self, name: str, *, ask_vendor: bool) -> str:
        """For `--check`: what would be done."""
        archive_name = self._lock.plugin_file(name, self.versions[name])
        if "mirror" in self._allowed and self._mirror.has(archive_name):
            return f"unpack {archive_name} from the mirror"
        if self._entry(name).stamp() is not None:
            return "take the official plugin from the cache"
        vendor = "install the official plugin, else " if ask_vendor else ""
        return f"{vendor}write a launcher for the stand-in"

    def _from_mirror(self, name: str, folder: Path, step: Step) -> str:
        archive_name = self._lock.plugin_file(name, self.versions[name])
        found = self._mirror.verified(archive_name, "", ())
        archive.extract_programs(found, [f"pulumi-resource-{name}"], folder)
        return f"unpacked {archive_name}"

    def _from_vendor(self, name: str, folder: Path, step: Step) -> str:
        version = f"v{self.versions[name]}"
        home = folder / "home"
        environ = {
            **self._environ,
            "PULUMI_HOME": str(home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        environ.pop("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", None)
        argv = [str(self._checkout.bin / "pulumi"), "plugin", "install", "resource", name, version]
        command.run([*argv, "--non-interactive"], step=step, environ=environ, cwd=folder)
        program = f"pulumi-resource-{name}"
        installed = home / "plugins" / f"resource-{name}-{version}" / program
        if not _is_program(installed):
            raise SourceUnavailableError(f"the CLI did not install {installed.name}")
        installed.rename(folder / program)
        files.remove_tree(home)
        return "installed by the CLI"

    def _official(self, name: str, step: Step, *, ask_vendor: bool) -> bool:
        entry = self._entry(name)
        if entry.stamp() is not None:
            return True
        ways = [("mirror", self._from_mirror)]
        if ask_vendor:
            ways.append(("official", self._from_vendor))
        for source, fetch in ways:
            if source not in self._allowed:
                continue
            began = time.monotonic()
            with self._cache.filling(entry) as folder:
                try:
                    detail = fetch(name, folder, step)
                except SourceUnavailableError as error:
                    tell = step.warn if isinstance(error, ChecksumError) else step.log
                    tell(f"{name}: {source}: {error}")
                    continue
                self._cache.commit(folder, entry, source=source, detail=detail, began=began)
                return True
        return False

    def install(self, name: str, step: Step, *, ask_vendor: bool) -> str:
        """Puts the plugin `name` in place and returns its kind."""
        step.activity(f"plugin {name} {self.versions[name]}")
        program = self.program(name)
        official = self._official(name, step, ask_vendor=ask_vendor)
        program.parent.with_name(program.parent.name + ".partial").unlink(missing_ok=True)
        if official:
            files.place(self._entry(name).path / program.name, program)
            return OFFICIAL
        files.write_text(program, self._text(name), mode=0o755)
        return STAND_IN

    def host_kind(self, cli: Path) -> str:
        """As `kind`, for the language host beside the CLI; `cli` is the CLI in the cache."""
        here = self._checkout.bin
        if cli.with_name(HOST).is_file() and cli.with_name(HOST_EXECUTOR).is_file():
            placed = all(
                files.same_file(cli.with_name(name), here / name) for name in (HOST, HOST_EXECUTOR)
            )
            return OFFICIAL if placed else ""
        text = launcher_text(self._checkout, "python", HOST)
        return STAND_IN if _holds(here / HOST, text) else ""

    def install_host(self, cli: Path) -> str:
        """Puts the language host beside the checkout's CLI and returns its kind."""
        here = self._checkout.bin
        if cli.with_name(HOST).is_file() and cli.with_name(HOST_EXECUTOR).is_file():
            for name in (HOST, HOST_EXECUTOR):
                files.place(cli.with_name(name), here / name)
            return OFFICIAL
        text = launcher_text(self._checkout, "python", HOST)
        files.write_text(here / HOST, text, mode=0o755)
        (here / HOST_EXECUTOR).unlink(missing_ok=True)
        return STAND_IN
