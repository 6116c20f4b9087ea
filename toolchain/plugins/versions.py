"""The versions whose behaviour the stand-ins reproduce.

Owns one table. Does not own which plugins are installed (toolchain.plugin_install). The engine
matches a provider's version exactly against the Python SDK's, so these move together with
requirements/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VERSIONS: Final[Mapping[str, str]] = {
    "command": "1.2.1",
    "docker": "5.2.0",
    "nomad": "2.6.1",
    "random": "4.21.4",
    "tls": "5.6.2",
}

LANGUAGE_HOST: Final = "3.259.0"
