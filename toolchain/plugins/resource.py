"""What a resource type and a function must be able to do.

Owns the interface between the gRPC servicer and the resource types, and the values that cross it.
Does not own any type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from typing import ClassVar, Protocol

from toolchain.plugins.diffing import Diff, compare, replacing
from toolchain.plugins.values import Props


class Messages(Protocol):
    """Where progress and warnings go."""

    def status(self, urn: str, text: str) -> None: ...

    def warn(self, urn: str, text: str) -> None: ...

    def error(self, urn: str, text: str) -> None: ...


@dataclass(frozen=True)
class Call:
    """One operation: `timeout` in seconds, 0 where the program set none."""

    urn: str
    engine: Messages
    cancelled: Event
    preview: bool = False
    timeout: float = 0.0
    random_seed: bytes = b""

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.rpartition("::")[2]

    @property
    def type(self) -> str:
        """The resource's type token, such as `command:local:Command`."""
        parts = self.urn.split("::", 3)
        return parts[2].rpartition("$")[2] if len(parts) == 4 else ""


@dataclass(frozen=True)
class Failure:
    """A refused input; `property` may be empty."""

    property: str
    reason: str


@dataclass(frozen=True)
class Checked:
    """Inputs completed with defaults, or what is wrong with them."""

    inputs: Props
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Created:
    """`id` may be empty only in a preview."""

    id: str
    outputs: Props


@dataclass(frozen=True)
class Current:
    """A resource as it is now."""

    id: str
    inputs: Props
    outputs: Props


class Resource(ABC):
    """One resource type. Methods raise PluginError; state is in the arguments alone."""

    replace_on: ClassVar[frozenset[str]] = frozenset()

    def check(self, call: Call, old: Props, new: Props) -> Checked:
        """Completes or refuses the program's inputs; `old` is empty for a new resource."""
        return Checked(new)

    def diff(self, call: Call, resource_id: str, old: Current, new: Props) -> Diff:
        """How `new` inputs differ from the saved ones."""
        return replacing(compare(old.inputs, new), self.replace_on)

    @abstractmethod
    def create(self, call: Call, inputs: Props) -> Created:
        """Makes the resource, or says in a preview what is known about it."""

    def read(self, call: Call, current: Current) -> Current | None:
        """The resource as it is now, None where it has gone."""
        return current

    @abstractmethod
    def update(self, call: Call, old: Current, inputs: Props) -> Props:
        """Changes the resource in place and returns its outputs."""

    def delete(self, call: Call, current: Current) -> None:
        """Removes the resource; one that has gone already is no error."""
        return


class Function(Protocol):
    """A provider function: arguments in, results out; raises PluginError."""

    def __call__(self, call: Call, args: Props) -> Props: ...


@dataclass(frozen=True)
class Capabilities:
    """What a provider tells the engine when it is configured."""

    secrets: bool = False
    resources: bool = False
    outputs: bool = False
    autonaming: bool = False


class Provider(ABC):
    """A package of resource types and functions, by token."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities] = Capabilities()
    # Whether a changed provider setting is reported in detail; where not, the engine is told
    # "unimplemented", which it takes as no change.
    diffs_config: ClassVar[bool] = False

    def __init__(self, version: str) -> None:
        self.version = version

    @property
    @abstractmethod
    def resources(self) -> Mapping[str, Resource]:
        """Resource types by token."""

    @property
    def functions(self) -> Mapping[str, Function]:
        """Functions by token."""
        return {}

    def check_config(self, new: Props) -> Checked:
        """Completes or refuses the provider's own settings."""
        return Checked(new)

    def configure(self, settings: Props) -> None:
        """Takes the settings, secrets unwrapped. Raises PluginError."""
        return

    def cancel(self) -> None:
        """Ends what is running; the process may be ended right after it."""
        return
