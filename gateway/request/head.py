"""What the head of a request to an expert says, and how its sender's next head is recognised."""

import re
from typing import Final

import httptools

from gateway.request.endpoints import ENDPOINTS, Endpoint

_LENGTH: Final = re.compile(rb"\r\ncontent-length: ?(\d+)\r\n", re.IGNORECASE)
_LONGEST_LENGTH: Final = 9


def endpoint_of(target: bytes) -> Endpoint | None:
    """Which endpoint a request line wants; None for every other path, and for what is no URL."""
    path = target.partition(b"?")[0]
    if not path.startswith(b"/"):
        try:
            path = httptools.parse_url(target).path  # with scheme and host, as proxies ask
        except httptools.HttpParserInvalidURLError:
            return None
    return ENDPOINTS.get(path)


class RequestHead:
    """The header lines that matter here; ``presented`` is the whole value of ``authorization``.
    ``length`` is -1 for a chunked body. ``last``: the client closes behind the answer.
    """

    __slots__ = (
        "content_type",
        "endpoint",
        "expects",
        "http10",
        "last",
        "length",
        "offered_id",
        "presented",
        "session",
        "traceparent",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.content_type = b"application/json"
        self.expects = self.http10 = self.last = False
        self.length = -1
        self.presented: bytes | None = None
        self.offered_id: bytes | None = None
        self.session: bytes | None = None
        self.traceparent: bytes | None = None

    def header(self, name: bytes, value: bytes) -> None:
        """One header line, as the parser finds it."""
        name = name.lower()
        if name == b"authorization":
            self.presented = value
        elif name == b"content-length":
            self.length = int(value)
        elif name == b"content-type":
            self.content_type = value
        elif name == b"x-api-key":
            if self.presented is None:
                self.presented = b"Bearer " + value
        elif name == b"x-request-id":
            self.offered_id = value
        elif name == b"traceparent":
            self.traceparent = value
        elif name in (b"x-session-id", b"x-litellm-session-id"):
            self.session = value
        elif name == b"expect":
            self.expects = value.lower() == b"100-continue"


class Repeat:
    """A client that keeps its connection sends the same head again and again, but for the length of
    the body; what was read once need not be parsed again.
    """

    __slots__ = ("head", "prefix", "suffix")

    def __init__(self, head: RequestHead, prefix: bytes, suffix: bytes) -> None:
        self.head = head
        self.prefix = prefix
        self.suffix = suffix

    @classmethod
    def of(cls, head: RequestHead, data: bytes) -> "Repeat | None":
        """From the bytes that begin with the head just parsed; None where it says anything about
        the message or the connection that holds for one request only.
        """
        end = data.find(b"\r\n\r\n")
        found = _LENGTH.search(data, 0, end + 2) if end > 0 else None
        if found is None or head.last or head.http10 or head.expects:
            return None
        if len(data) > end + 4 + int(found[1]):
            return None  # another request follows, and the head just parsed may be that one's
        return cls(head, data[: found.start(1)], data[found.end(1) : end + 4])

    def body_at(self, data: bytes) -> tuple[int, int]:
        """Where the body starts in data that begins with this head, and its length; (-1, 0) when it
        does not.
        """
        prefix = self.prefix
        if not data.startswith(prefix):
            return -1, 0
        start = len(prefix)
        end = data.find(b"\r", start, start + _LONGEST_LENGTH)
        if end < 0 or not data.startswith(self.suffix, end):
            return -1, 0
        digits = data[start:end]
        return (end + len(self.suffix), int(digits)) if digits.isdigit() else (-1, 0)
