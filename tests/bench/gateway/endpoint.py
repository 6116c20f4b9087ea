"""Small HTTP exchanges with a server under test: is it there, what does it say."""

import http.client
import json
import socket
import time
from collections.abc import Callable
from email.message import Message
from typing import NamedTuple

Json = dict[str, "Json"] | list["Json"] | str | float | int | bool | None
_READY_STEP_S = 0.1


class Answer(NamedTuple):
    """What a server said."""

    status: int
    text: str
    headers: Message


class NotReady(Exception):
    """A server did not start to answer; the message says what it did instead."""


def exchange(
    port: int, method: str, path: str, body: Json = None, key: str = "none", timeout: float = 5.0
) -> Answer:
    """One request on a connection of its own.

    Raises:
        OSError, http.client.HTTPException: there was none.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read().decode(errors="replace"), answer.headers)
    finally:
        connection.close()


def wait_until_it_chats(port: int, key: str, alive: Callable[[], bool], limit_s: float) -> None:
    """Returns after the first chat answer.

    Raises:
        NotReady: the process ended, or the limit has passed.
    """
    ask: Json = {"model": "fake", "messages": [{"role": "user", "content": "ready?"}]}
    deadline, last = time.monotonic() + limit_s, "no answer"
    while time.monotonic() < deadline:
        if not alive():
            msg = f"the process ended; last: {last}"
            raise NotReady(msg)
        try:
            status, text, _ = exchange(port, "POST", "/v1/chat/completions", ask, key)
            if status == http.HTTPStatus.OK:
                return
            last = f"status {status} {text[:160]}"
        except (OSError, http.client.HTTPException) as error:
            last = repr(error)
        time.sleep(_READY_STEP_S)
    msg = f"no chat answer within {limit_s:.0f} s; last: {last}"
    raise NotReady(msg)


def is_free(port: int) -> bool:
    """Whether a server could listen on it now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
