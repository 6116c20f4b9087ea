"""Faults that are known and have a test of their own in ``test_rules``, which says when they are
gone. Until then they are not reported once more for every request that meets them.
"""

import re
from typing import Final

_KNOWN: Final = (
    # what was sent, what came back
    (re.compile(rb"HEAD /", re.DOTALL), re.compile(rb".*\r\n\r\n\{", re.DOTALL)),
    (re.compile(rb".*auto.*\de[+]?\d", re.DOTALL | re.IGNORECASE), re.compile(rb"HTTP/1.1 500")),
    (re.compile(rb"\S+ (/?[^/ ]|https?:)", re.DOTALL), re.compile(rb"HTTP/1.1 500")),
)
_TRACEBACKS: Final = re.compile(
    r"Traceback(?:(?!\nTraceback)[\s\S])*?\n(msgspec\.ValidationError: Number out of range"
    r"|httptools\.parser\.errors\.HttpParserInvalidURLError).*"
)


def excused(sent: bytes, heard: bytes) -> bool:
    """Whether this is a known fault."""
    return any(asked.match(sent) and told.match(heard) for asked, told in _KNOWN)


def without_known(log: str) -> str:
    """A log without the tracebacks of known faults."""
    return _TRACEBACKS.sub("", log)
