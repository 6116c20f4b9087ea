"""Keeps `import pulumi.runtime.proto.*` from executing the whole Pulumi SDK.

Owns putting namesakes of three packages into `sys.modules`. Does not own the messages. Executing
`pulumi/__init__.py` costs about a quarter of a second of CPU, the generated messages alone a
few milliseconds; a plugin process needs only the messages. Only the entry point of a plugin
process may call this: anywhere else a later `import pulumi` would get the empty namesake.
"""

from __future__ import annotations

import importlib.util
import sys
import types

_PACKAGES = ("pulumi", "pulumi.runtime", "pulumi.runtime.proto")


def install() -> None:
    """Idempotent; does nothing where the SDK has been imported. Raises ModuleNotFoundError
    where the SDK is not installed."""
    for name in _PACKAGES:
        if name in sys.modules:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"the Pulumi SDK is not installed ({name})", name=name)
        package = types.ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)
