"""A second checkout on this machine, with its own state and ports, driven as a user drives it.

Shares the virtual environment and the per-user cache of built tools; touches nothing else of the
checkout under test.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ports:
    """Ports of one sandbox: not the defaults, so that a running dev stack is left alone, and below
    32768, where the kernel takes ports for outgoing connections.
    """

    nomad: int
    gateway: int
    dynamic: tuple[int, int]


@dataclass(frozen=True)
class Sandbox:
    """A checkout in ``root`` with one stack."""

    root: Path
    ports: Ports
    stack: str = "dev"
    environment: Mapping[str, str] = field(default_factory=dict)

    def make(self) -> None:
        """Copy the committed and the new files; link the environment; install the tools."""
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=CHECKOUT,
            capture_output=True,
            check=True,
        ).stdout
        for name in filter(None, listed.decode().split("\0")):
            source, target = CHECKOUT / name, self.root / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        (self.root / ".venv").symlink_to(Path(sys.prefix))
        self.run("-m", "toolchain").check_returncode()

    def cluster(self) -> dict[str, Any]:
        """The stack's tree."""
        document = yaml.safe_load(self._file().read_text())
        return dict(document["config"]["hearth:cluster"])

    def write(self, cluster: Mapping[str, Any]) -> None:
        """Replace the stack's tree, keeping what the engine wrote beside it."""
        document = yaml.safe_load(self._file().read_text())
        low, high = self.ports.dynamic
        document["config"]["hearth:cluster"] = {
            **cluster,
            "nomad": {
                "port": self.ports.nomad,
                "min-dynamic-port": low,
                "max-dynamic-port": high,
            },
            "gateway": {**cluster.get("gateway", {}), "port": self.ports.gateway},
        }
        self._file().write_text(yaml.safe_dump(document, sort_keys=False))

    def run(self, *args: str, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
        """A Python program of the sandbox."""
        return self._process([str(self.root / ".venv" / "bin" / "python"), *args], timeout_s)

    def hearth(self, *args: str, timeout_s: float = 3000) -> subprocess.CompletedProcess[str]:
        """The hearth command."""
        return self.run("-m", "ops", *args, timeout_s=timeout_s)

    def pulumi(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Plain pulumi, with what ``hearth env`` exports and nothing more."""
        return self._process(
            ["bash", "-c", 'eval "$(python -m ops env)" && exec pulumi "$@"', "-", *args], 900
        )

    def outputs(self) -> dict[str, Any]:
        """Stack outputs, secrets in plain."""
        done = self.pulumi("stack", "output", "--json", "--show-secrets")
        return dict(json.loads(done.stdout))

    def processes(self) -> list[int]:
        """Processes whose command line or environment names this sandbox."""
        found = []
        for proc in Path("/proc").glob("[0-9]*"):
            try:
                words = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
            except OSError:
                continue
            if str(self.root).encode() in words and int(proc.name) != os.getpid():
                found.append(int(proc.name))
        return found

    def _file(self) -> Path:
        return self.root / f"Pulumi.{self.stack}.yaml"

    def _process(
        self, command: Sequence[str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        venv = str(self.root / ".venv" / "bin")
        roots = [self.root, self.root / "images/base", self.root / "images/llama"]
        environment = {
            **os.environ,
            "PATH": f"{venv}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(map(str, roots)),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.environment,
        }
        return subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
