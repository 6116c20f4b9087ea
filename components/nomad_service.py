"""NomadService: one long-running job and the secrets it alone may read.

Owns the job and its Nomad variable. Does not own what the job runs (render.service says it).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_nomad as nomad

from components import naming
from components.render.nomad import Service, job_text

# The provider polls every few seconds after the deployment's own deadline.
_GRACE_S = 120


@dataclass(frozen=True, kw_only=True)
class NomadServiceArgs:
    """The job as decided, and its secrets by item name."""

    service: Service
    secrets: Mapping[str, pulumi.Input[str]]
    provider: nomad.Provider


class NomadService(pulumi.ComponentResource):
    """A deployed, healthy job."""

    def __init__(
        self, name: str, args: NomadServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:cluster:NomadService", name, None, opts)
        job = args.service.job
        variable = nomad.Variable(
            f"{name}-secrets",
            path=naming.job_variable(job),
            items=dict(args.secrets),
            opts=pulumi.ResourceOptions(parent=self, provider=args.provider),
        )
        deadline = f"{args.service.healthy_deadline_s + _GRACE_S}s"
        nomad.Job(
            f"{name}-job",
            jobspec=job_text(args.service),
            json=True,
            detach=False,
            purge_on_destroy=True,
            rerun_if_dead=True,
            opts=pulumi.ResourceOptions(
                parent=self,
                provider=args.provider,
                depends_on=[variable],
                custom_timeouts=pulumi.CustomTimeouts(create=deadline, update=deadline),
            ),
        )
        self.register_outputs({})
