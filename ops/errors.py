"""What goes wrong in the hearth command.

OpsError
├── PulumiFailed    the engine refused or failed; its output is already on the screen
├── Unreachable     the cluster or the gateway does not answer
└── Busy            another hearth command changes the same checkout
"""

from typing import Final

INTERRUPTED: Final = 130  # exit codes after a signal, as shells use them
PIPE_CLOSED: Final = 141


class OpsError(Exception):
    """A message for people: what happened, and what to do about it."""

    exit_code = 1


class PulumiFailed(OpsError):
    """The engine ended with ``exit_code``."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Unreachable(OpsError):
    """Nothing answers where something should."""


class Busy(OpsError):
    """Two changes at once would overwrite each other."""
