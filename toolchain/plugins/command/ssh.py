"""Logging in over SSH: keys, host key check, retries, and the official plugin's words for failures.

Owns connections and the event loop each operation runs in. Does not own what is done over a
connection. The SSH library is imported inside functions: most updates dial nobody, and it would
more than double the plugin's start.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from toolchain.plugins.command.connection import Endpoint, Route
from toolchain.plugins.errors import PluginError
from toolchain.plugins.resource import Log

if TYPE_CHECKING:
    import asyncssh

Result = TypeVar("Result")
Work = Callable[["asyncssh.SSHClientConnection"], Awaitable[Result]]

_FIRST_DELAY_S: Final = 0.1
_LARGEST_DELAY_S: Final = 5.0
_BACKOFF: Final = 1.5
_KEEPALIVE_S: Final = 30
_USUAL_HOST_KEYS: Final = (
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,"
    "rsa-sha2-512,rsa-sha2-256"
)


class DialError(PluginError):
    """An attempt to log in failed; another may succeed."""


class Sessions:
    """The operations running over SSH now, so that a cancelled update can end them."""

    def __init__(self, first_delay_s: float = _FIRST_DELAY_S) -> None:
        self._first_delay_s = first_delay_s
        self._lock = threading.Lock()
        self._running: dict[asyncio.Task[Any], asyncio.AbstractEventLoop] = {}

    def cancel_all(self) -> None:
        """End every operation; commands on the other side see their connection close."""
        with self._lock:
            for task, loop in self._running.items():
                loop.call_soon_threadsafe(task.cancel)

    def run(self, route: Route, work: Work[Result], log: Log) -> Result:
        """Log in along the route, do the work and close. Raises PluginError."""

        async def operation() -> Result:
            import asyncssh

            try:
                async with self._connected(route, log) as connection:
                    return await work(connection)
            except asyncssh.Error as error:
                raise PluginError(f"ssh: {error.reason}") from None

        async def registered() -> Result:
            task = asyncio.ensure_future(operation())
            with self._lock:
                self._running[task] = asyncio.get_running_loop()
            try:
                return await task
            finally:
                with self._lock:
                    self._running.pop(task, None)

        try:
            return asyncio.run(registered())
        except asyncio.CancelledError:
            raise PluginError("the operation was cancelled") from None

    @asynccontextmanager
    async def _connected(
        self, route: Route, log: Log
    ) -> AsyncIterator[asyncssh.SSHClientConnection]:
        if route.proxy is None:
            async with await self._dial(route.target, None, log) as connection:
                yield connection
            return
        try:
            tunnel = await self._dial(route.proxy, None, log)
        except PluginError as error:
            raise PluginError(f"proxy: {error}") from None
        async with tunnel:
            try:
                inner = await self._dial(route.target, tunnel, log)
            except PluginError as error:
                raise PluginError(f"proxy: {error}") from None
            async with inner as connection:
                yield connection

    async def _dial(
        self, endpoint: Endpoint, tunnel: asyncssh.SSHClientConnection | None, log: Log
    ) -> asyncssh.SSHClientConnection:
        options = _options(endpoint)
        limit, failed, delay = endpoint.dial_error_limit, 0, self._first_delay_s
        while True:
            try:
                return await _attempt(endpoint, tunnel, options)
            except DialError as error:
                if 0 <= limit <= failed:
                    words = f"after {failed} failed attempts: {error}"
                    raise PluginError(words) from None
            failed += 1
            log.progress(f"Dial {failed}/{limit if limit >= 0 else 'inf'} failed: retrying")
            await asyncio.sleep(delay)
            delay = min(delay * _BACKOFF, _LARGEST_DELAY_S)


async def _attempt(
    endpoint: Endpoint, tunnel: asyncssh.SSHClientConnection | None, options: dict[str, Any]
) -> asyncssh.SSHClientConnection:
    import asyncssh

    place = f"{endpoint.host}:{endpoint.port}"
    limit = endpoint.dial_timeout_s or None
    try:
        async with asyncio.timeout(limit):
            return await asyncssh.connect(
                endpoint.host, endpoint.port, tunnel=tunnel or (), **options
            )
    except TimeoutError:
        raise DialError(f"dial tcp {place}: i/o timeout") from None
    except socket.gaierror:
        raise DialError(f"dial tcp: lookup {endpoint.host}: no such host") from None
    except asyncssh.ChannelOpenError as error:
        raise DialError(f"ssh: rejected: connect failed ({error.reason})") from None
    except asyncssh.PermissionDenied:
        raise DialError(f"ssh: handshake failed: {_unable(endpoint)}") from None
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        # A server that has only unusual kinds of keys fails in the exchange already.
        other = "ssh: host key mismatch" if endpoint.host_key else f"ssh: {error.reason}"
        raise DialError(f"ssh: handshake failed: {other}") from None
    except asyncssh.Error as error:
        raise DialError(f"ssh: handshake failed: {error.reason}") from None
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise DialError(f"dial tcp {place}: connect: {why}") from None


def _unable(endpoint: Endpoint) -> str:
    tried = ["none"]
    if endpoint.private_key or endpoint.agent:
        tried.append("publickey")
    if endpoint.password:
        tried.append("password")
    return (
        f"ssh: unable to authenticate, attempted methods [{' '.join(tried)}], "
        "no supported methods remain"
    )


def _options(endpoint: Endpoint) -> dict[str, Any]:
    """Everything is said outright, so that nothing of the user's own SSH set-up takes part."""
    return {
        "username": endpoint.user,
        "config": None,
        **_host_key(endpoint),
        "client_keys": _client_keys(endpoint),
        "agent_path": _agent(endpoint),
        "password": endpoint.password,
        "gss_auth": False,
        "gss_kex": False,
        "keepalive_interval": _KEEPALIVE_S,
    }


def _host_key(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.host_key is None:
        return {"known_hosts": None}
    import asyncssh

    try:
        key = asyncssh.import_public_key(endpoint.host_key.strip())
    except asyncssh.KeyImportError:
        raise PluginError("failed to parse host key: ssh: no key found") from None
    # Other kinds are let through to the check: a server that has none of the expected kind would
    # end the exchange itself, which can reach us as a lost connection, a fault worth another dial.
    kinds = ",".join(kind.decode() for kind in key.sig_algorithms)
    return {
        "known_hosts": ([key], [], []),
        "server_host_key_algs": f"{kinds},{_USUAL_HOST_KEYS}",
    }


def _client_keys(endpoint: Endpoint) -> Any:
    if endpoint.private_key is None:
        return None if endpoint.agent is None else []
    import asyncssh

    try:
        return [asyncssh.import_private_key(endpoint.private_key, endpoint.private_key_password)]
    except asyncssh.KeyEncryptionError:
        raise PluginError("x509: decryption password incorrect") from None
    except asyncssh.KeyImportError as error:
        if endpoint.private_key_password is None and "passphrase" in str(error).lower():
            words = "ssh: this private key is passphrase protected"
        elif "decrypt" in str(error).lower() or "passphrase" in str(error).lower():
            words = "x509: decryption password incorrect"
        else:
            words = "ssh: no key found"
        raise PluginError(words) from None


def _agent(endpoint: Endpoint) -> str | None:
    if endpoint.agent is None:
        return None
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(endpoint.agent)
        except OSError as error:
            # One that merely stands in the environment may be left over from another login.
            if not endpoint.agent_required:
                return None
            why = os.strerror(error.errno).lower() if error.errno else str(error)
            raise PluginError(f"dial unix {endpoint.agent}: connect: {why}") from None
    return endpoint.agent
