"""The life of a plugin process: announce a port, serve, end quietly.

Owns the gRPC server, signals and the watch over the parent. Does not own what is served. A plugin
never outlives its engine: where that was killed and could not end its plugins, the changed parent
says so.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent import futures
from threading import Event

import grpc

# A stack is one message in some calls; the limit is the one the engine sets itself.
_LARGEST_MESSAGE = 400 * 1024 * 1024
_PARENT_CHECK_SECONDS = 2.0
# Threads are made on demand; an operation keeps one for as long as it runs.
_THREADS = 256


def make_server() -> grpc.Server:
    """A server that is not started and has no port yet."""
    return grpc.server(
        futures.ThreadPoolExecutor(_THREADS),
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
            ("grpc.so_reuseport", 0),
        ],
    )


def serve(server: grpc.Server, at_end: Callable[[], None]) -> int:
    """Prints the port, serves until a signal or the parent's end, then calls `at_end`.

    Returns 0: being ended is a plugin's normal way out.
    """
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    parent = os.getppid()
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while not stop.wait(_PARENT_CHECK_SECONDS):
        if os.getppid() != parent:
            break
    at_end()
    server.stop(grace=None)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of operations that cannot be interrupted must not hold the process back.
    os._exit(0)
