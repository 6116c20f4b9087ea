"""Whether a text holds source code. Pure. Talk about code is not code: rules find that by words."""

import re
from typing import Final

_READ_CHARACTERS: Final = 8000
_ENOUGH: Final = 3
# Every repetition within a line is bounded, so that no text makes the search slow.
# One of these is proof enough.
_CERTAIN: Final = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^[ \t]*(```|~~~)",
        r"\bTraceback \(most recent call last\)",
        r"^[ \t]*#include[ \t]*[<\"]",
        r"^[ \t]*#![ \t]*/",
        r"^[ \t]*(async )?def \w{1,80}\([^\n)]{0,200}\)[^\n:]{0,80}:",
        r"^[ \t]*(public|private|protected|static) [\w<>\[\], ]{1,80} \w{1,80}\(",
        r"^(diff --git |@@ -\d+)",
    )
)
# These also occur in prose; different ones together do not.
_LIKELY: Final = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"\bdef \w{1,80}\(",
        r"\bclass \w{1,80} ?[:({]",
        r"^[ \t]*(from [\w.]{1,80} )?import [\w.*{]",
        r"\bfunction ?\w{0,80} ?\(",
        r"\b(const|let|var) \w{1,80} ?=",
        r"=>|->|::|:=|&&|\|\||!=|==",
        r"[;{}][ \t]*$",
        r"\w\([^()\n]{0,200}\)[ \t]{0,8}[;{:]",
        r"\breturn\b[ \t]+\S",
        r"\b(if|for|while) ?\([^\n]{1,200}\)",
        r"(?i:\bselect\b.{1,200}\bfrom\b \w)",
        r"</\w{1,40}>|<\w{1,40} ?/>",
        r"\w\.\w{1,80}\(",
        r"^[ \t]*\w{1,80} ?= ?\S",
        r"\b(Error|Exception|undefined|nullptr|println|printf|console\.log)\b",
        r"^[ \t]*(fn|func|impl|struct|enum|interface) \w",
    )
)


def holds_code(text: str) -> bool:
    """True when one certain sign, or several likely ones, stand in the text."""
    read = text[:_READ_CHARACTERS]
    if any(sign.search(read) for sign in _CERTAIN):
        return True
    return sum(sign.search(read) is not None for sign in _LIKELY) >= _ENOUGH
