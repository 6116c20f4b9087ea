"""The plugins there are stand-ins for, and the versions whose behaviour they copy."""

from typing import Final

LANGUAGE_HOST: Final = "3.259.0"

VERSIONS: Final = {
    "command": "1.2.1",
    "docker": "5.2.0",
    "nomad": "2.6.1",
    "random": "4.21.4",
    "tls": "5.6.2",
}
