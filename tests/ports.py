"""Ports for servers that tests start."""

import random
import socket


def free_port() -> int:
    """A port below those that stacks of tests/live give their tasks, from 25,000 on, and far below
    those the kernel gives to outgoing connections: both are taken without asking.
    """
    while True:
        port = random.randrange(20_000, 25_000)
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
