"""NomadAccess: who may do what on the cluster.

Owns the ACL bootstrap with a token made beforehand, and the provider every job goes through. Does
not own the secrets of single jobs; those read their own through their workload identity.
"""

import uuid
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_nomad as nomad
import pulumi_random as random

from components.machine import Machine
from components.plan.spec import NomadPlan
from components.render.agent import acl_script

_UUID_BYTES: Final = 16


def uuid_text(hexadecimal: str) -> str:
    """Random bytes in the form of a UUID, which is the only form of token Nomad takes."""
    return str(uuid.UUID(hex=hexadecimal, version=4))


@dataclass(frozen=True, kw_only=True)
class NomadAccessArgs:
    """The agent to bootstrap."""

    machine: Machine
    plan: NomadPlan


class NomadAccess(pulumi.ComponentResource):
    """ACLs in force: nothing is anonymous. ``token`` is the operator's, secret."""

    provider: nomad.Provider
    token: pulumi.Output[str]

    def __init__(
        self, name: str, args: NomadAccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:cluster:NomadAccess", name, None, opts)
        # Made before the cluster exists, so it is in the encrypted state before it is in force.
        # Not a RandomUuid: that one's id is the value, and ids stand in the state in plain text.
        entropy = random.RandomBytes(
            f"{name}-bootstrap-token", length=_UUID_BYTES, opts=pulumi.ResourceOptions(parent=self)
        )
        self.token = pulumi.Output.secret(entropy.hex.apply(uuid_text))
        bootstrap = args.machine.ensure(
            f"{name}-bootstrap",
            acl_script(args.plan),
            secret=self.token,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.provider = nomad.Provider(
            f"{name}-provider",
            address=args.plan.address,
            secret_id=self.token,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[bootstrap]),
        )
        self.register_outputs({"token": self.token})
