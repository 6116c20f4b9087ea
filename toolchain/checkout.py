"""Where things are in one checkout.

Owns the names of the folders and files under `.hearth`. Does not own their content.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkout:
    """`root` is the folder with Pulumi.yaml; `python` is what the stand-ins are run with."""

    root: Path
    python: Path

    @property
    def private(self) -> Path:
        """Everything that is not committed."""
        return self.root / ".hearth"

    @property
    def bin(self) -> Path:
        """pulumi, nomad and the language host; put in front of PATH by the hearth command."""
        return self.private / "bin"

    @property
    def pulumi_home(self) -> Path:
        """PULUMI_HOME of every run of this checkout."""
        return self.private / "pulumi"

    @property
    def plugins(self) -> Path:
        """The plugin cache inside PULUMI_HOME."""
        return self.pulumi_home / "plugins"

    @property
    def logs(self) -> Path:
        """One log file per step."""
        return self.private / "logs"

    @property
    def manifest(self) -> Path:
        """JSON for other programs: what is installed, where, and where it came from."""
        return self.private / "toolchain.json"

    @classmethod
    def containing_this_package(cls) -> Checkout:
        """The checkout this file lies in, with its virtual environment's interpreter."""
        root = Path(__file__).resolve().parent.parent
        return cls(root=root, python=root / ".venv" / "bin" / "python")
