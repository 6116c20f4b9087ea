"""Asks one llama-server about itself over HTTP. Owns the requests and their deadlines; decides
nothing. ``http.client`` because every further megabyte of this process is one less for a model.
"""

import http.client
import json
from dataclasses import dataclass
from typing import Final

from expert_runner.errors import RungError

_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
_LARGEST_ANSWER: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a server is doing: requests in work and waiting, and decodes since it started."""

    processing: int
    deferred: int
    decoded: int

    @property
    def idle(self) -> bool:
        """True when stopping the server would interrupt nobody."""
        return self.processing == 0 and self.deferred == 0


class ServerClient:
    """One llama-server. Calls are independent: each has its own connection and deadline."""

    def __init__(self, *, host: str, port: int, key: str) -> None:
        self._host = _ANY_ADDRESS.get(host, host)
        self._port = port
        self._key = key

    def healthy(self, timeout_s: float) -> bool:
        """True when the model is loaded."""
        try:
            status, _ = self._ask("GET", "/health", None, timeout_s)
        except RungError:
            return False
        return status == http.client.OK

    def complete(self, timeout_s: float) -> None:
        """Has the model produce one real token.

        Raises:
            RungError: no token came, with the reason.
        """
        question = {
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 1,
            "temperature": 0,
        }
        path = "/v1/chat/completions"
        status, answer = self._ask("POST", path, json.dumps(question).encode(), timeout_s)
        if status != http.client.OK:
            raise RungError(f"the first completion answered HTTP {status}: {_message(answer)}")
        try:
            tokens = json.loads(answer)["usage"]["completion_tokens"]
        except (ValueError, KeyError, TypeError) as error:
            raise RungError("the first completion answered something unreadable") from error
        if not isinstance(tokens, int) or tokens < 1:
            raise RungError("the first completion produced no token")

    def load(self, timeout_s: float) -> Load:
        """What the server's own loop reports, which it does only while it turns.

        Raises:
            RungError: no readable answer in time.
        """
        status, answer = self._ask("GET", "/metrics", None, timeout_s)
        if status != http.client.OK:
            raise RungError(f"/metrics answered HTTP {status}")
        values = _metrics(answer.decode("utf-8", "replace"))
        try:
            return Load(
                processing=int(values["llamacpp:requests_processing"]),
                deferred=int(values["llamacpp:requests_deferred"]),
                decoded=int(values["llamacpp:n_decode_total"]),
            )
        except KeyError as error:
            raise RungError(f"/metrics lacks {error.args[0]}") from error

    def _ask(
        self, method: str, path: str, body: bytes | None, timeout_s: float
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        headers = {"Authorization": f"Bearer {self._key}", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(_LARGEST_ANSWER)
        except TimeoutError as error:
            raise RungError(f"{path} did not answer within {timeout_s:.0f} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise RungError(f"{path}: {type(error).__name__}") from error
        finally:
            connection.close()


def _metrics(text: str) -> dict[str, float]:
    values = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if not name.startswith("#"):
            try:
                values[name] = float(value)
            except ValueError:
                continue
    return values


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["error"]["message"])[:200]
    except (ValueError, KeyError, TypeError):
        return "no explanation"
