"""Credentials: the secrets Hearth makes for itself.

Owns the first client key and the key between gateway and experts; both live encrypted in the state.
Does not own how they are delivered (the job that needs one holds it in its Nomad variable).
"""

import hashlib
from typing import Final

import pulumi
import pulumi_random as random

from contract.gateway_settings import ApiKey

KEY_PREFIX: Final = "sk-hearth-"
_KEY_LENGTH: Final = 48
_ID_LENGTH: Final = 8


def api_key(random_part: str) -> str:
    """The key a client sends."""
    return KEY_PREFIX + random_part


def key_record(random_part: str) -> ApiKey:
    """What the gateway keeps of a key: the public id and the digest."""
    return ApiKey(
        id=random_part[:_ID_LENGTH],
        sha256=hashlib.sha256(api_key(random_part).encode()).hexdigest(),
    )


class Credentials(pulumi.ComponentResource):
    """``client_key`` for people, ``upstream_key`` for gateway and experts. Both secret."""

    client_key: pulumi.Output[str]
    client_key_record: pulumi.Output[ApiKey]
    upstream_key: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("hearth:cluster:Credentials", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        client = random.RandomPassword(
            f"{name}-client-key", length=_KEY_LENGTH, special=False, opts=child
        )
        upstream = random.RandomPassword(
            f"{name}-upstream-key", length=_KEY_LENGTH, special=False, opts=child
        )
        self.client_key = client.result.apply(api_key)
        self.client_key_record = client.result.apply(key_record)
        self.upstream_key = upstream.result
        self.register_outputs({"clientKey": self.client_key})
