"""What tells conversations apart: the client's own name for one, or else how it began. Pure."""

import hashlib
from typing import Final

from contract import headers
from gateway.routing.facts import Facts

_NAMES: Final = (headers.SESSION, "x-litellm-session-id")
_DIGEST_BYTES: Final = 16


def conversation_id(facts: Facts) -> bytes | None:
    """16 bytes; None for a request that says nothing to be known by. The key is part of it, so that
    no client can steer another's conversation.
    """
    session = next((name for name in map(facts.headers.get, _NAMES) if name), None)
    if session is not None:
        return _digest(facts.key_id, "session", session)
    if not facts.system_text and not facts.first_user_text:
        return None
    return _digest(facts.key_id, "opening", facts.system_text, facts.first_user_text)


def _digest(*parts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()
