"""The stack's own endpoint, used as any client would use it."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from contract import headers
from ops.errors import OpsError, Unreachable


@dataclass(frozen=True)
class Answer:
    """A whole chat answer and which model gave it. ``degraded`` names a fallback rung."""

    text: str
    model: str
    degraded: str | None


class Endpoint:
    """An OpenAI-compatible base URL and a key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(10.0, read=300.0),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def models(self) -> list[dict[str, Any]]:
        """The entries of ``/models``, Hearth's own facts under ``hearth``."""
        try:
            response = self._client.get("/models")
        except httpx.TransportError as error:
            msg = f"the gateway at {self.url} does not answer ({error}); run: hearth heal"
            raise Unreachable(msg) from None
        _check(response)
        return list(response.json()["data"])

    def wait_until_serving(self, experts: list[str], timeout_s: float) -> list[str]:
        """Wait until every expert has a replica; returns those that have none at the end."""
        deadline = time.monotonic() + timeout_s
        missing = experts
        while missing and time.monotonic() < deadline:
            try:
                serving = {m["id"] for m in self.models() if m.get("hearth", {}).get("serving")}
                missing = [expert for expert in experts if expert not in serving]
            except Unreachable:
                missing = experts
            if missing:
                time.sleep(0.2)
        return missing

    def chat(self, model: str, message: str) -> Answer:
        """One question, one answer."""
        response = self._client.post(
            "/chat/completions",
            json={"model": model, "messages": [{"role": "user", "content": message}]},
        )
        _check(response)
        return Answer(
            text=response.json()["choices"][0]["message"]["content"] or "",
            model=response.headers.get(headers.MODEL, model),
            degraded=response.headers.get(headers.DEGRADED),
        )

    def chat_pieces(self, model: str, message: str) -> Iterator[str]:
        """One question, the answer as it is written."""
        body = {
            "model": model,
            "stream": True,
            "messages": [{"role": "user", "content": message}],
        }
        with self._client.stream("POST", "/chat/completions", json=body) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
            _check(response)
            for line in response.iter_lines():
                data = line.removeprefix("data: ")
                if not line.startswith("data: ") or data == "[DONE]":
                    continue
                event = json.loads(data)
                if "error" in event:
                    raise OpsError(str(event["error"].get("message")))
                for choice in event["choices"]:
                    yield choice["delta"].get("content") or ""


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text.strip()[:400]
    msg = f"the gateway answered {response.status_code}: {message}"
    raise OpsError(msg)
