"""Who may use the paths beside the experts' own. Owns how a request of FastAPI presents its key."""

import ipaddress
from collections.abc import Mapping

from fastapi import Request

from gateway.access.key import Key
from gateway.core import Core


def identify(core: Core, request: Request) -> Key:
    """The key a request presents.

    Raises:
        Unauthorized: it presents none that is valid.
    """
    key = core.ring.find(_presented(request.headers).encode("latin-1"))
    request.state.key_id = key.id
    return key


def presents_key(request: Request) -> bool:
    """Whether it comes with a key, valid or not."""
    return bool(_presented(request.headers))


def is_local(request: Request) -> bool:
    """Whether it comes from this machine."""
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _presented(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "").strip()
