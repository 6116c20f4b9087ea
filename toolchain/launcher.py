"""The small scripts that stand where an official plugin or language host would be.

Owns their text. Does not own what they start (toolchain.plugins).
"""

from __future__ import annotations

import shlex
from pathlib import Path

from toolchain.checkout import Checkout

# Kernels cut the first line of a script off after 127 characters, and split it at blanks.
_LONGEST_FIRST_LINE = 120

_BODY = '''\
"""Stand-in for {what}; written by `python -m toolchain`, replaced by the official one if found."""

import sys

sys.path.insert(0, {root!r})

from toolchain.plugins import main

raise SystemExit(main({name!r}))
'''


def shebang(python: Path) -> str:
    """The first line or lines that run a script with `python`, wherever that lies."""
    path = str(python)
    if " " not in path and len(path) + 2 <= _LONGEST_FIRST_LINE:
        return f"#!{path}\n"
    # Valid in both languages: the shell executes the second line, Python reads a string.
    return f"#!/bin/sh\n'''exec' {shlex.quote(path)} \"$0\" \"$@\"\n'''\n"


def launcher_text(checkout: Checkout, name: str, what: str) -> str:
    """An executable script that runs the stand-in `name` with the checkout's interpreter."""
    body = _BODY.format(what=what, root=str(checkout.root), name=name)
    return shebang(checkout.python) + body
