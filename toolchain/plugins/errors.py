"""What can go wrong in a plugin.

Owns the exception tree. Does not own how an error reaches the engine (server). Texts are shown
to the user as they are, so they must not hold secrets that the official plugins would hide.
"""

from __future__ import annotations

from toolchain.plugins.values import Props


class PluginError(Exception):
    """An operation failed; the text is the diagnostic."""


class PartialError(PluginError):
    """A resource exists but is not as wanted: the engine saves it and updates it next time.

    `outputs` are the resource's outputs now, `reasons` the diagnostics.
    """

    def __init__(self, resource_id: str, outputs: Props, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.resource_id = resource_id
        self.outputs = outputs
        self.reasons = reasons


class CancelledError(PluginError):
    """The engine asked for an end while the operation was running."""
