"""The HTTP client for the local Nomad agent. Owns address, TLS and identity; knows no endpoints."""

import ssl
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

import httpx

_UNIX: Final = "unix://"


def nomad_client(
    address: str,
    environment: Mapping[str, str],
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """A client for ``http://``, ``https://`` or ``unix://`` (the task's own API socket). TLS files
    and the namespace come from the variables that Nomad's own tools read.
    """
    unix = address.removeprefix(_UNIX) if address.startswith(_UNIX) else None
    namespace = environment.get("NOMAD_NAMESPACE")
    return httpx.AsyncClient(
        base_url="http://nomad" if unix else address,
        transport=transport
        or httpx.AsyncHTTPTransport(verify=_tls(address, environment), uds=unix),
        auth=WorkloadIdentity(environment),
        params={"namespace": namespace} if namespace else {},
        trust_env=False,
    )


class WorkloadIdentity(httpx.Auth):
    """Presents the workload's identity, read anew for each request: where there is a file, Nomad
    renews it while the task runs.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def token(self) -> str | None:
        """The present token, or None on a cluster without access control."""
        folder = self._environment.get("NOMAD_SECRETS_DIR")
        file = Path(folder, "nomad_token") if folder else None
        if file is not None and file.is_file():
            return file.read_text().strip()
        return self._environment.get("NOMAD_TOKEN") or None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Adds the header."""
        token = self.token()
        if token:
            request.headers["x-nomad-token"] = token
        yield request


def _tls(address: str, environment: Mapping[str, str]) -> ssl.SSLContext | bool:
    if not address.startswith("https://"):
        return False  # nothing to verify, and loading the system's authorities costs memory
    context = ssl.create_default_context(cafile=environment.get("NOMAD_CACERT") or None)
    certificate, key = environment.get("NOMAD_CLIENT_CERT"), environment.get("NOMAD_CLIENT_KEY")
    if certificate:
        context.load_cert_chain(certificate, key or None)
    return context
