"""What a plugin may answer instead of a result.

PluginError       the operation failed; the text goes to the user as it is
└── InitFailed    the resource exists but is not as wanted; it is saved and updated next time
"""

from typing import Any


class PluginError(Exception):
    """The operation failed."""


class InitFailed(PluginError):
    """The resource was made, but did not become healthy. ``id`` and ``outputs`` are saved."""

    def __init__(self, message: str, id_: str, outputs: dict[str, Any]) -> None:
        super().__init__(message)
        self.id = id_
        self.outputs = outputs
