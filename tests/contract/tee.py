"""A wire with an ear: passes TCP on unchanged and keeps every byte the server sent."""

import contextlib
import socket
import threading

from tests.ports import free_port


class Tee:
    """Listens in front of a server. ``heard`` holds the answers, one entry per connection."""

    def __init__(self, server_port: int) -> None:
        self.port = free_port()
        self.heard: list[bytearray] = []
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Listens no more."""
        self._listener.close()

    def bodies(self) -> list[bytes]:
        """The answers to POST requests, without heads and framing, one per connection that had any.

        Every connection must have carried one answer at most since ``forget``.
        """
        return [_body(bytes(answer)) for answer in self.heard if answer]

    def forget(self) -> None:
        """Drops what was heard until now."""
        for answer in self.heard:
            answer.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                heard = bytearray()
                self.heard.append(heard)
                for source, target, ear in ((client, server, None), (server, client, heard)):
                    threading.Thread(
                        target=_pass_on, args=(source, target, ear), daemon=True
                    ).start()


def _pass_on(source: socket.socket, target: socket.socket, ear: bytearray | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if ear is not None:
                ear += data
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _body(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return body
    whole = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return whole
        whole, body = whole + body[:length], body[length + 2 :]
