"""One run of the toolchain: what is missing, and getting it.

Owns the order of steps and of sources. Does not own any single step.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain import files
from toolchain.cache import Cache, Entry, Stamp
from toolchain.checkout import Checkout
from toolchain.errors import ChecksumError, CommandError, NoSourceError, SourceUnavailableError
from toolchain.gobuild import GoBuilder
from toolchain.llama_source import LlamaSource
from toolchain.lock import Lock, ToolPin
from toolchain.plugin_install import HOST, OFFICIAL, STAND_IN, PluginInstaller
from toolchain.progress import Display, Step, running
from toolchain.sources.base import Source
from toolchain.sources.installed import version_of
from toolchain.sources.registries import RegistriesSource

# The name of the source that makes programs itself, where the others take finished ones.
_BUILT = RegistriesSource.name


@dataclass(frozen=True)
class Finding:
    """One part of the toolchain: `action` is empty where nothing has to be done."""

    part: str
    state: str
    action: str


class Installer:
    """Everything comes ready-made through the constructor; see `assemble`."""

    def __init__(
        self,
        *,
        lock: Lock,
        cache: Cache,
        checkout: Checkout,
        sources: Sequence[Source],
        llama: LlamaSource,
        plugins: PluginInstaller,
        builder: GoBuilder,
        display: Display,
        environ: Mapping[str, str],
    ) -> None:
        self._lock = lock
        self._cache = cache
        self._checkout = checkout
        self._sources = sources
        self._llama = llama
        self._plugins = plugins
        self._builder = builder
        self._display = display
        self._environ = environ

    def _entry(self, pin: ToolPin) -> Entry:
        return self._cache.tool(pin.name, pin.version, self._lock.platform.tag)

    def _ask_vendor(self) -> bool:
        """Plugins are asked of the vendor only where the CLI came from there as well."""
        stamp = self._entry(self._lock.tool("pulumi")).stamp()
        return stamp is not None and stamp.source == "official"

    def _linked(self, pin: ToolPin) -> bool:
        program = self._entry(pin).path / pin.name
        return files.same_file(program, self._checkout.bin / pin.name)

    # -- looking

    def _tool_finding(self, pin: ToolPin) -> Finding:
        part = f"{pin.name} {pin.version}"
        entry = self._entry(pin)
        stamp = entry.stamp()
        if stamp is None:
            plans = [source.outlook(pin) for source in self._sources]
            return Finding(part, "missing", "; else ".join(plan for plan in plans if plan))
        return Finding(part, stamp.detail, "" if self._linked(pin) else "link it for this checkout")

    def findings(self) -> list[Finding]:
        """The state of every part; reads only."""
        found = [self._tool_finding(pin) for pin in self._lock.tools]
        stamp = self._llama.entry.stamp()
        found.append(
            Finding(
                f"llama.cpp source {self._lock.llama.commit[:9]}",
                stamp.detail if stamp else "missing",
                "" if stamp else self._llama.outlook(),
            )
        )
        cli = self._entry(self._lock.tool("pulumi")).path / "pulumi"
        kind = self._plugins.host_kind(cli)
        found.append(Finding(HOST, kind or "missing", "" if kind else "put it beside the CLI"))
        ask_vendor = self._ask_vendor()
        for name, version in sorted(self._plugins.versions.items()):
            kind = self._plugins.kind(name)
            plan = "" if kind else self._plugins.outlook(name, ask_vendor=ask_vendor)
            found.append(Finding(f"plugin {name} {version}", kind or "missing", plan))
        return found

    def damaged(self) -> list[str]:
        """Paths of cached files whose content is not what their stamp says; reads them all."""
        entries = [self._entry(pin) for pin in self._lock.tools]
        entries.append(self._llama.entry)
        return [path for entry in entries if entry.stamp() and (path := entry.damaged())]

    def complete(self) -> bool:
        """Whether a run would have nothing to do."""
        if any(finding.action for finding in self.findings()):
            return False
        try:
            return self._checkout.manifest.read_text(encoding="utf-8") == self._manifest()
        except OSError:
            return False

    # -- doing

    def run(self, *, upgrade: bool = False) -> None:
        """Gets everything that is missing; raises ToolchainError at the first part that fails.

        `upgrade` also looks again for the official form of what was built or stood in for, and
        keeps what is there if that cannot be had.
        """
        with self._cache.exclusively(
            f"toolchain for {self._checkout.root}", self._say_who_holds_it
        ):
            for pin in self._lock.tools:
                self._install_tool(pin, upgrade=upgrade)
            self._install_llama()
            self._install_plugins(upgrade=upgrade)
            files.write_text(self._checkout.manifest, self._manifest())
            if all(self._entry(pin).stamp() for pin in self._lock.tools):
                self._builder.forget_own()

    def _say_who_holds_it(self, holder: str) -> None:
        self._display.note(f"waiting: {self._cache.root} is in use by {holder}")

    def _log(self, part: str) -> Path:
        return self._checkout.logs / f"toolchain-{part}.log"

    def _install_tool(self, pin: ToolPin, *, upgrade: bool) -> None:
        entry = self._entry(pin)
        stamp = entry.stamp()
        better = upgrade and stamp is not None and stamp.source == _BUILT
        if stamp is not None and self._linked(pin) and not better:
            return
        with running(self._display, f"{pin.name} {pin.version}", self._log(pin.name)) as step:
            found = stamp
            if stamp is None:
                stamp = self._supply(pin, entry, step, self._sources)
            elif better:
                ready_made = [source for source in self._sources if source.name != _BUILT]
                with contextlib.suppress(NoSourceError):
                    stamp = self._supply(pin, entry, step, ready_made)
            files.place(entry.path / pin.name, self._checkout.bin / pin.name)
            step.finish(f"in the cache, {stamp.detail}" if stamp is found else stamp.detail)

    def _supply(self, pin: ToolPin, entry: Entry, step: Step, sources: Sequence[Source]) -> Stamp:
        reasons: list[tuple[str, str]] = []
        for source in sources:
            began = time.monotonic()
            step.log(f"== source: {source.name}")
            with self._cache.filling(entry) as folder:
                try:
                    detail = source.supply(pin, folder, step)
                    self._prove(pin, folder / pin.name)
                except SourceUnavailableError as error:
                    # A file that is not the promised one is never passed over in silence.
                    tell = step.warn if isinstance(error, ChecksumError) else step.log
                    tell(f"{source.name}: {error}")
                    reasons.append((source.name, str(error)))
                    continue
                return self._cache.commit(
                    folder, entry, source=source.name, detail=detail, began=began
                )
        raise NoSourceError(
            f"{pin.name} {pin.version}",
            reasons,
            fix=f"put {pin.release.archive} and {pin.release.checksums} into a folder and "
            "set HEARTH_MIRROR to it, or make a package registry reachable",
            log=str(step.log_path),
        )

    def _prove(self, pin: ToolPin, program: Path) -> None:
        answer = version_of(program, pin, self._environ)
        if answer != pin.version:
            raise CommandError(f"{program.name} says it is version {answer or 'unknown'}")

    def _install_llama(self) -> None:
        if self._llama.entry.stamp() is not None:
            return
        title = f"llama.cpp source {self._lock.llama.commit[:9]}"
        with running(self._display, title, self._log("llama")) as step:
            stamp = self._llama.ensure(step)
            count, size = stamp.trees["src"]
            packed = stamp.files["src.tar.gz"][0]
            step.finish(
                f"{stamp.detail}: {count} files, {size / 1e6:.0f} MB, {packed / 1e6:.1f} MB packed"
            )

    def _install_plugins(self, *, upgrade: bool) -> None:
        cli = self._entry(self._lock.tool("pulumi")).path / "pulumi"
        good = (OFFICIAL,) if upgrade else (OFFICIAL, STAND_IN)
        names = [
            name for name in sorted(self._plugins.versions) if self._plugins.kind(name) not in good
        ]
        if not names and self._plugins.host_kind(cli):
            return
        ask_vendor = self._ask_vendor()
        with running(self._display, "plugins", self._log("plugins")) as step:
            kinds = {HOST: self._plugins.install_host(cli)}
            for position, name in enumerate(names):
                kinds[name] = self._plugins.install(name, step, ask_vendor=ask_vendor)
                step.amount(position + 1, len(names), "plugins")
            step.finish(", ".join(f"{name} ({kind})" for name, kind in kinds.items()))

    def _manifest(self) -> str:
        tools = {}
        for pin in self._lock.tools:
            stamp = self._entry(pin).stamp()
            tools[pin.name] = {
                "version": pin.version,
                "path": str(self._checkout.bin / pin.name),
                "source": stamp.source if stamp else "",
                "seconds": stamp.seconds if stamp else 0,
            }
        llama = self._llama.entry
        stamp = llama.stamp()
        cli = self._entry(self._lock.tool("pulumi")).path / "pulumi"
        document = {
            "cache": str(self._cache.root),
            "pulumi-home": str(self._checkout.pulumi_home),
            "tools": tools,
            "language-host": self._plugins.host_kind(cli),
            "plugins": {
                name: {"version": version, "kind": self._plugins.kind(name)}
                for name, version in sorted(self._plugins.versions.items())
            },
            "llama": {
                "commit": self._lock.llama.commit,
                "source": str(llama.path / "src"),
                "archive": str(llama.path / "src.tar.gz"),
                "archive-sha256": stamp.files["src.tar.gz"][1] if stamp else "",
            },
        }
        return json.dumps(document, indent=2) + "\n"
