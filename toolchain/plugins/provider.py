"""The shape of one plugin: its name, its types, its settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from toolchain.plugins.resource import Checked, Log, Resource
from toolchain.plugins.values import Properties

Invoke = Callable[[Properties, Log], Properties]


@dataclass
class Provider:
    """A plugin. ``configure`` takes the settings (secrets revealed) and may raise PluginError.

    ``accepts_secrets`` copies the official plugin: where it is False, secrets arrive as plain
    values and the engine marks outputs of the same names again.
    """

    name: str
    version: str
    types: Mapping[str, Resource]
    invokes: Mapping[str, Invoke] = field(default_factory=dict)
    accepts_secrets: bool = True
    configure: Callable[[Properties], None] = lambda _: None
    check_config: Callable[[Properties], Checked] = Checked
    cancel: Callable[[], None] = lambda: None
