"""Recognises API keys. Owns nothing but hashes: no key is ever stored, logged or compared."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from contract.gateway_settings import ApiKey
from gateway.errors import Unauthorized


class KeyRing:
    """The keys that may call the API."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = [(key.id, bytes.fromhex(key.sha256)) for key in keys]

    def identify(self, headers: Mapping[str, str]) -> str:
        """The id of the key a request presents.

        Raises:
            Unauthorized: it presents none, or an unknown one.
        """
        presented = presented_key(headers)
        if not presented:
            raise Unauthorized(
                "You didn't provide an API key. Send it as `Authorization: Bearer <key>`."
            )
        digest = hashlib.sha256(presented.encode()).digest()
        found = None
        # Every key is compared, in constant time, so that timing tells nothing about the list.
        for key_id, expected in self._keys:
            if hmac.compare_digest(digest, expected):
                found = key_id
        if found is None:
            raise Unauthorized("Incorrect API key provided.")
        return found


def presented_key(headers: Mapping[str, str]) -> str:
    """The key of a request, or an empty text."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "").strip()
