"""Shell scripts as text: the same script ensures, probes and removes.

A script defines functions; the command that runs it picks one: ``bash -s ensure``. It travels on
stdin, so argv stays short, error messages show output instead of program text, and a change of
the text is a change of one input. `hearth` runs ``probe`` of the very same text to see what is off.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_HEAD: Final = "set -euo pipefail\n"
# Children must not eat the script from stdin.
_TAIL: Final = '"$1" </dev/null\nexit\n'
_NEWLINE: Final = "\n"


@dataclass(frozen=True, kw_only=True)
class Script:
    """Functions by name (bash bodies) and the variables they use. Values are quoted here."""

    variables: Mapping[str, str]
    functions: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The whole script."""
        lines = [f"{name}={shlex.quote(value)}" for name, value in self.variables.items()]
        for name, body in self.functions.items():
            # Not indented: a quoted value may span lines, and every space in it counts.
            lines.append(f"{name}() {{\n{body.strip(_NEWLINE)}\n}}")
        return _HEAD + "\n".join(lines) + "\n" + _TAIL


def quoted(words: tuple[str, ...]) -> str:
    """Words as one bash array body: every word quoted."""
    return " ".join(shlex.quote(word) for word in words)
