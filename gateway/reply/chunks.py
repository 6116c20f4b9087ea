"""Finds the pieces in a chunked answer without copying what can be passed on as it came. Pure."""

_LONGEST_SIZE_LINE = 1024


class BadChunks(Exception):
    """The upstream broke the rules of chunked transfer."""


class ChunkReader:
    """Reads a chunked body piece by piece.

    ``feed`` returns how many bytes at the front of what is held are whole chunks; the caller takes
    them as they are. The payloads in them are in ``payloads``, the end of the body is ``done``.
    """

    __slots__ = ("done", "held", "payloads")

    def __init__(self) -> None:
        self.held = b""
        self.payloads: list[bytes] = []
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """The whole chunks now complete, framing included; what is left is held back.

        Raises:
            BadChunks: a size line is none, or bytes follow the last chunk.
        """
        if self.held:
            data = self.held + data
        payloads = self.payloads = []
        place, size = 0, len(data)
        while place < size:
            line_end = data.find(b"\r\n", place, place + _LONGEST_SIZE_LINE)
            if line_end < 0:
                if size - place >= _LONGEST_SIZE_LINE:
                    raise BadChunks
                break
            try:
                length = int(data[place:line_end].split(b";", 1)[0], 16)
            except ValueError:
                raise BadChunks from None
            if length < 0:
                raise BadChunks
            if length == 0:
                # Trailers are rare and of no use to anyone here, but they end the message.
                end = data.find(b"\r\n\r\n", line_end)
                if end < 0:
                    break
                self.done = True
                place = end + 4
                if place != size:
                    raise BadChunks
                break
            start = line_end + 2
            end = start + length + 2
            if end > size:
                break
            if data[end - 2 : end] != b"\r\n":
                raise BadChunks
            payloads.append(data[start : end - 2])
            place = end
        if place == size:
            self.held = b""
            return data
        self.held = data[place:]
        return data[:place]


def chunk(payload: bytes) -> bytes:
    """One chunk around a payload, which must not be empty."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


LAST_CHUNK = b"0\r\n\r\n"
