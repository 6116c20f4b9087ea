"""Messages to the engine that started a plugin.

Owns the connection to the engine's log. Does not own what is logged. A message that cannot be
delivered is dropped: a lost progress line must never fail an operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

_DELIVERY_SECONDS = 5.0


def engine_address(argv: Sequence[str]) -> str:
    """The engine's address among a plugin's arguments, empty when there is none."""
    return next((item for item in argv if not item.startswith("-")), "")


class Engine:
    """`address` is `host:port`; with an empty one every message is dropped."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._lock = Lock()
        self._stub: engine_pb2_grpc.EngineStub | None = None

    def _connected(self) -> engine_pb2_grpc.EngineStub:
        with self._lock:
            if self._stub is None:
                self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(self._address))
            return self._stub

    def _log(self, severity: int, text: str, urn: str, *, ephemeral: bool) -> None:
        if not self._address:
            return
        request = engine_pb2.LogRequest(
            severity=severity, message=text, urn=urn, streamId=0, ephemeral=ephemeral
        )
        try:
            self._connected().Log(request, timeout=_DELIVERY_SECONDS)
        except grpc.RpcError:
            return

    def status(self, urn: str, text: str) -> None:
        """One line that is shown beside the resource while it is being worked on."""
        self._log(engine_pb2.INFO, text, urn, ephemeral=True)

    def warn(self, urn: str, text: str) -> None:
        """A warning in the run's diagnostics."""
        self._log(engine_pb2.WARNING, text, urn, ephemeral=False)

    def error(self, urn: str, text: str) -> None:
        """An error line in the run's diagnostics; it alone fails nothing."""
        self._log(engine_pb2.ERROR, text, urn, ephemeral=False)
