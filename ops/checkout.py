"""This checkout: where its state lives and which environment its tools need.

Everything a stack makes on this machine is below ``.hearth``, except the per-user cache of tools.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PASSPHRASE_BYTES: Final = 32


@dataclass(frozen=True)
class Checkout:
    """A clone of the project. ``root`` holds Pulumi.yaml."""

    root: Path

    @property
    def home(self) -> Path:
        """The one directory for state, logs and links."""
        return self.root / ".hearth"

    @property
    def passphrase_file(self) -> Path:
        """Encrypts the secrets in the state."""
        return self.home / "passphrase"

    @property
    def pulumi(self) -> Path:
        """The pinned engine."""
        return self.home / "bin" / "pulumi"

    @property
    def logs(self) -> Path:
        """Log files of the commands."""
        return self.home / "logs"

    def data_dir(self, stack: str) -> Path:
        """Default data directory of a stack on this machine."""
        return self.home / stack

    def stack_file(self, stack: str) -> Path:
        """The stack's YAML."""
        return self.root / f"Pulumi.{stack}.yaml"

    def prepare(self) -> None:
        """Create the state directory and, once, the passphrase (0600)."""
        for folder in (self.home, self.home / "state", self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.passphrase_file.exists():
            partial = self.passphrase_file.with_suffix(f".{os.getpid()}")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(_PASSPHRASE_BYTES) + "\n")
            # A link fails when the file appeared meanwhile; the first passphrase wins.
            try:
                os.link(partial, self.passphrase_file)
            except FileExistsError:
                pass
            finally:
                partial.unlink()

    def environment(self) -> dict[str, str]:
        """Variables that make plain ``pulumi`` work in this checkout."""
        return {
            "PULUMI_HOME": str(self.home / "pulumi"),
            "PULUMI_BACKEND_URL": f"file://{self.home / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.passphrase_file),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        }

    def path(self) -> str:
        """PATH with this checkout's tools first."""
        own = [str(self.home / "bin"), str(self.root / ".venv" / "bin")]
        rest = [part for part in os.environ.get("PATH", "").split(os.pathsep) if part not in own]
        return os.pathsep.join([*own, *rest])


def find_checkout() -> Checkout:
    """The checkout this program belongs to."""
    return Checkout(Path(__file__).resolve().parent.parent)
