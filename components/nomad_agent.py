"""NomadAgent: one running Nomad agent.

Owns its configuration file, process, pid file and data directory. Does not own access to it
(NomadAccess) nor the jobs that run on it.
"""

from dataclasses import dataclass

import pulumi

from components.machine import Machine
from components.plan.spec import NomadPlan
from components.render.agent import agent_script


@dataclass(frozen=True, kw_only=True)
class NomadAgentArgs:
    """Where and how the agent runs."""

    machine: Machine
    plan: NomadPlan


class NomadAgent(pulumi.ComponentResource):
    """A supervised agent; ``address`` is the base URL of its API, known at preview."""

    address: str

    def __init__(
        self, name: str, args: NomadAgentArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:cluster:NomadAgent", name, None, opts)
        script = agent_script(args.plan)
        # Two resources, because replacing one command that both starts and stops would stop what
        # it had just started: Pulumi creates the new before it deletes the old.
        stop = args.machine.on_destroy(
            f"{name}-stop", script, opts=pulumi.ResourceOptions(parent=self)
        )
        args.machine.ensure(
            f"{name}-run", script, opts=pulumi.ResourceOptions(parent=self, depends_on=[stop])
        )
        self.address = args.plan.address
        self.register_outputs({"address": self.address})
