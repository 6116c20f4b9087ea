"""Credentials: the secrets Hearth makes for itself.

Owns the first client key, the admin credential and the key between gateway and experts; all live
encrypted in the state. Does not own how they are delivered (the job that needs one holds it in its
Nomad variable).
"""

import hashlib
from typing import Final

import pulumi
import pulumi_random as random

from contract.gateway_settings import ApiKey

KEY_PREFIX: Final = "sk-hearth-"
ADMIN_PREFIX: Final = "hearth-admin-"
_KEY_LENGTH: Final = 48
_ID_LENGTH: Final = 8


def api_key(random_part: str) -> str:
    """The key a client sends."""
    return KEY_PREFIX + random_part


def key_record(random_part: str) -> ApiKey:
    """What the gateway keeps of a key: the public id and the digest."""
    return ApiKey(
        id=random_part[:_ID_LENGTH],
        sha256=digest(api_key(random_part)),
    )


def admin_key(random_part: str) -> str:
    """The credential for /admin."""
    return ADMIN_PREFIX + random_part


def digest(text: str) -> str:
    """What the gateway keeps of a credential it need not know."""
    return hashlib.sha256(text.encode()).hexdigest()


class Credentials(pulumi.ComponentResource):
    """``client_key`` for people, ``admin_key`` for who manages keys, ``upstream_key`` for gateway
    and experts. All secret.
    """

    client_key: pulumi.Output[str]
    client_key_record: pulumi.Output[ApiKey]
    admin_key: pulumi.Output[str]
    admin_key_digest: pulumi.Output[str]
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
        admin = random.RandomPassword(
            f"{name}-admin-key", length=_KEY_LENGTH, special=False, opts=child
        )
        self.client_key = client.result.apply(api_key)
        self.client_key_record = client.result.apply(key_record)
        self.admin_key = admin.result.apply(admin_key)
        self.admin_key_digest = self.admin_key.apply(digest)
        self.upstream_key = upstream.result
        self.register_outputs({"clientKey": self.client_key})
