"""Nomad's HTTP API as the provider uses it. Owns address, token and TLS; knows no resource."""

import base64
import json
import os
import ssl
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

from toolchain.plugins.errors import PluginError
from toolchain.plugins.values import Properties

_TIMEOUT_S: Final = 60.0
_NOT_FOUND: Final = 404


class NotFound(PluginError):
    """The thing asked for does not exist."""


class Api:
    """One cluster. Every failure is a PluginError with the server's own words."""

    def __init__(self) -> None:
        self._settings: Properties = {}
        self._context: ssl.SSLContext | None = None

    def configure(self, settings: Properties) -> None:
        """Take the provider's settings. Never contacts the server, as the official plugin."""
        self._settings = settings
        self._context = self._tls(settings)

    def get(self, path: str, **query: str) -> Any:
        """GET; raises NotFound for 404."""
        return self.call("GET", path, query=query)

    def call(
        self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None
    ) -> Any:
        """One request; returns the decoded answer, or None when it is empty."""
        url = f"{self._address()}{path}"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        request = urllib.request.Request(
            url,
            method=method,
            headers=self._headers(),
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with urllib.request.urlopen(
                request, timeout=_TIMEOUT_S, context=self._context
            ) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            words = error.read().decode(errors="replace").strip()
            msg = f"Unexpected response code: {error.code} ({words})"
            raise (NotFound if error.code == _NOT_FOUND else PluginError)(msg) from None
        except urllib.error.URLError as error:
            host = urllib.parse.urlsplit(url).netloc
            reason = _reason(error.reason)
            msg = f'{method.title()} "{url}": dial tcp {host}: {reason}'
            raise PluginError(msg) from None
        return json.loads(text) if text.strip() else None

    def _address(self) -> str:
        address = self._settings.get("address") or os.environ.get("NOMAD_ADDR")
        if not address:
            msg = "address must be provided either in provider configuration or via NOMAD_ADDR"
            raise PluginError(msg)
        return str(address).rstrip("/")

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        token = self._settings.get("secretId") or os.environ.get("NOMAD_TOKEN")
        if token:
            headers["X-Nomad-Token"] = str(token)
        if auth := self._settings.get("httpAuth"):
            headers["Authorization"] = "Basic " + base64.b64encode(str(auth).encode()).decode()
        for header in _decoded(self._settings.get("headers")) or []:
            headers[header["name"]] = header["value"]
        return headers

    def _tls(self, settings: Properties) -> ssl.SSLContext | None:
        names = ("caFile", "caPem", "certFile", "certPem", "skipVerify")
        if not any(settings.get(name) for name in names):
            return None
        context = ssl.create_default_context(
            cafile=settings.get("caFile") or None, cadata=settings.get("caPem") or None
        )
        if _decoded(settings.get("skipVerify")):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if settings.get("certFile"):
            context.load_cert_chain(settings["certFile"], settings.get("keyFile"))
        elif settings.get("certPem"):
            # The library reads keys from files only; this one is private and gone at once.
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                file.write(f"{settings['certPem']}\n{settings.get('keyPem') or ''}\n")
                file.flush()
                context.load_cert_chain(file.name)
        return context


def _decoded(value: Any) -> Any:
    """Settings of a provider travel as strings; lists and flags are JSON in them."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _reason(reason: object) -> str:
    if isinstance(reason, ConnectionRefusedError):
        return "connect: connection refused"
    return str(reason)
