"""Expert: one model ladder, placed and running.

Owns its job and secrets. Does not own the binary (LlamaBuild), the files (ModelStore) nor which
rung serves (the runner decides on the host).
"""

from dataclasses import dataclass

import pulumi
import pulumi_nomad as nomad

from components.nomad_service import NomadService, NomadServiceArgs
from components.plan.spec import ExpertPlan
from components.render.service import UPSTREAM_KEY, expert_service


@dataclass(frozen=True, kw_only=True)
class ExpertArgs:
    """The placed expert and the key its server demands."""

    plan: ExpertPlan
    upstream_key: pulumi.Input[str]
    provider: nomad.Provider


class Expert(pulumi.ComponentResource):
    """A serving expert."""

    def __init__(
        self, name: str, args: ExpertArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:inference:Expert", name, None, opts)
        NomadService(
            args.plan.job,
            NomadServiceArgs(
                service=expert_service(args.plan),
                secrets={UPSTREAM_KEY: args.upstream_key},
                provider=args.provider,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
