"""NomadAccess: who may do what on the cluster.

Owns the ACL bootstrap with a token made beforehand, and the provider every job goes through. Does
not own the secrets of single jobs; those read their own through their workload identity.
"""

from dataclasses import dataclass

import pulumi
import pulumi_nomad as nomad
import pulumi_random as random

from components.machine import Machine
from components.plan.spec import NomadPlan
from components.render.agent import acl_script


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
        token = random.RandomUuid(
            f"{name}-bootstrap-token",
            opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["result"]),
        )
        bootstrap = args.machine.ensure(
            f"{name}-bootstrap",
            acl_script(args.plan),
            secret=token.result,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.token = token.result
        self.provider = nomad.Provider(
            f"{name}-provider",
            address=args.plan.address,
            secret_id=token.result,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[bootstrap]),
        )
        self.register_outputs({"token": self.token})
