"""Lets the SDK's generated messages be imported without running the SDK.

``import pulumi`` costs a quarter of a second, which every plugin process would pay in every update.
The messages need none of it; they only have to be found below packages of these names.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


def install() -> None:
    """Register empty ``pulumi`` and ``pulumi.runtime`` packages that only know their folders."""
    for name in ("pulumi", "pulumi.runtime"):
        if name in sys.modules:
            return  # the real SDK is here already, so there is nothing to save
        found = find_spec(name)
        if found is None or found.submodule_search_locations is None:
            msg = f"{name} is not installed in {sys.prefix}"
            raise ImportError(msg)
        module = ModuleType(name)
        module.__path__ = list(found.submodule_search_locations)
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__spec__.submodule_search_locations = module.__path__
        sys.modules[name] = module
