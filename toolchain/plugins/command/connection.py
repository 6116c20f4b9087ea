"""The ``connection`` input of the remote types: its defaults, secrets and refusals.

Owns the step from the input to an ``Endpoint``. Does not own dialling (ssh).
"""

import os
from dataclasses import dataclass, field
from typing import Any, Final

from toolchain.plugins.resource import Failure
from toolchain.plugins.values import UNKNOWN, Properties, is_secret, reveal, secret

_DEFAULTS: Final[Properties] = {
    "user": "root",
    "port": 22,
    "dialErrorLimit": 10,
    "perDialTimeout": 15,
}
# The official plugin marks these inside the secret connection as well; without the inner marks
# its first preview would run every remote command again.
_SECRETS: Final = ("password", "privateKey", "privateKeyPassword")
_KNOWN: Final = frozenset({*_DEFAULTS, *_SECRETS, "host", "hostKey", "agentSocketPath", "proxy"})


@dataclass(frozen=True)
class Endpoint:
    """One machine to log in to. ``dial_error_limit`` below 0 means without end; ``dial_timeout_s``
    0 without limit; ``agent_required`` says that the agent was asked for by name.
    """

    host: str
    port: int
    user: str
    dial_error_limit: int
    dial_timeout_s: float
    host_key: str | None = None
    agent: str | None = None
    agent_required: bool = False
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    private_key_password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Route:
    """Where to go, and through which machine."""

    target: Endpoint
    proxy: Endpoint | None = None


def checked(kind: str, inputs: Properties) -> tuple[Properties, list[Failure]]:
    """The inputs with a completed, secret connection; ``kind`` names the inputs in messages."""
    given = _bare(inputs.get("connection"))
    if given is None:
        words = f"Missing required field 'connection' on 'remote.{kind}'"
        return inputs, [Failure("connection", words)]
    if given == UNKNOWN or (isinstance(given, dict) and _bare(given.get("host")) == UNKNOWN):
        return {**inputs, "connection": secret(UNKNOWN)}, []
    reasons = _refusals(given, "remote.Connection")
    if reasons:
        words = (
            f"An error occurred decoding '{kind}.connection': "
            f"{len(reasons)} failures decoding: {'; '.join(reasons)}"
        )
        return inputs, [Failure("connection", words)]
    full = _completed(given)
    proxy = _bare(given.get("proxy"))
    if isinstance(proxy, dict):
        full["proxy"] = _completed(proxy)
    return {**inputs, "connection": secret(full)}, []


def route(connection: Properties) -> Route:
    """The way a revealed and checked connection describes."""
    proxy = connection.get("proxy")
    return Route(_endpoint(connection), _endpoint(proxy) if proxy else None)


def _completed(given: Properties) -> Properties:
    full = {**_DEFAULTS, **{key: value for key, value in given.items() if value is not None}}
    return {key: secret(value) if key in _SECRETS else value for key, value in full.items()}


def _refusals(given: Any, kind: str) -> list[str]:
    if not isinstance(given, dict):
        return [f"must be an object, not {type(given).__name__}"]
    found = [
        f"{name}: Unrecognized field '{name}' on '{kind}'"
        for name in given
        if name not in _KNOWN and not name.startswith("__")
    ]
    if reveal(given.get("host")) is None:
        found.append(f"host: Missing required field 'host' on '{kind}'")
    proxy = _bare(given.get("proxy"))
    if proxy is not None and proxy != UNKNOWN:
        found += [f"proxy: {reason}" for reason in _refusals(proxy, "remote.ProxyConnection")]
    return found


def _bare(value: Any) -> Any:
    """The value without its own mark; what is inside keeps its marks."""
    while is_secret(value):
        value = value["value"]
    return value


def _endpoint(connection: Properties) -> Endpoint:
    settings = {**_DEFAULTS, **connection}
    asked = connection.get("agentSocketPath")
    return Endpoint(
        host=str(settings["host"]),
        port=int(settings["port"]),
        user=str(settings["user"]),
        dial_error_limit=int(settings["dialErrorLimit"]),
        dial_timeout_s=float(settings["perDialTimeout"]),
        host_key=connection.get("hostKey") or None,
        agent=asked or os.environ.get("SSH_AUTH_SOCK") or None,
        agent_required=bool(asked),
        password=connection.get("password") or None,
        private_key=connection.get("privateKey") or None,
        private_key_password=connection.get("privateKeyPassword") or None,
    )
