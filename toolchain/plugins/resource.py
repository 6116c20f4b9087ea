"""The shape of one resource type of a plugin."""

from dataclasses import dataclass, field
from typing import Protocol

from toolchain.plugins.diffing import Diff, compare
from toolchain.plugins.values import Properties


@dataclass(frozen=True)
class Failure:
    """Why an input is refused; ``name`` may be empty when the whole is meant."""

    name: str
    reason: str


@dataclass(frozen=True)
class Checked:
    """Inputs with defaults filled, or the reasons for refusing them."""

    inputs: Properties
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Created:
    """A new resource: its id (empty in previews) and outputs."""

    id: str
    outputs: Properties


@dataclass(frozen=True)
class Found:
    """A resource as it is in the world."""

    inputs: Properties
    outputs: Properties


class Log(Protocol):
    """Where a long operation tells what it is doing."""

    def progress(self, line: str) -> None:
        """A line shown while the resource is worked on, and forgotten afterwards."""
        ...


class Resource:
    """Behaviour of a type; what is not overridden is the commonest answer.

    Raises PluginError from any operation. ``timeout_s`` is 0 when the program names none.
    """

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        """Validate and complete inputs; values may be unknown."""
        return Checked(new)

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        """Compare old inputs with new ones."""
        return compare(old, new)

    def create(
        self, name: str, inputs: Properties, *, preview: bool, timeout_s: float, log: Log
    ) -> Created:
        """Make it."""
        raise NotImplementedError

    def update(
        self,
        id_: str,
        outputs: Properties,
        old: Properties,
        new: Properties,
        *,
        preview: bool,
        timeout_s: float,
        log: Log,
    ) -> Properties:
        """Change it in place; returns the new outputs."""
        raise NotImplementedError

    def delete(self, id_: str, outputs: Properties, *, timeout_s: float, log: Log) -> None:
        """Remove it; already gone is success."""

    def read(self, id_: str, inputs: Properties, outputs: Properties) -> Found | None:
        """Look at it; None when it is gone."""
        return Found(inputs, outputs)
