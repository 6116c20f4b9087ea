"""Gateway: the OpenAI-compatible endpoint.

Owns its code on the machine, its job and the secret document it reads. Does not own the experts it
finds at run time, nor the image it may run from (ContainerImages).
"""

from dataclasses import dataclass

import pulumi
import pulumi_nomad as nomad

from components.app_bundle import AppBundle, AppBundleArgs
from components.machine import Machine
from components.nomad_service import NomadService, NomadServiceArgs
from components.plan.spec import AppPlan, GatewayPlan
from components.render.service import GATEWAY_SECRETS, gateway_service
from contract.gateway_settings import ApiKey, GatewaySecrets


@dataclass(frozen=True, kw_only=True)
class GatewayArgs:
    """The decided endpoint and its machine, the keys it accepts and the key it sends upstream."""

    machine: Machine
    plan: GatewayPlan
    key: pulumi.Output[ApiKey]
    upstream_key: pulumi.Output[str]
    provider: nomad.Provider


class Gateway(pulumi.ComponentResource):
    """A serving endpoint; ``url`` is what clients use as their base URL."""

    url: str

    def __init__(
        self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:inference:Gateway", name, None, opts)
        secrets = pulumi.Output.all(args.key, args.upstream_key).apply(
            lambda both: GatewaySecrets(keys=[both[0]], upstream_key=both[1]).model_dump_json()
        )
        code = (
            [
                AppBundle(
                    args.plan.app.name,
                    AppBundleArgs(machine=args.machine, plan=args.plan.app),
                    opts=pulumi.ResourceOptions(parent=self),
                )
            ]
            if isinstance(args.plan.app, AppPlan)
            else []
        )
        NomadService(
            args.plan.job,
            NomadServiceArgs(
                service=gateway_service(args.plan),
                secrets={GATEWAY_SECRETS: secrets},
                provider=args.provider,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=code),
        )
        self.url = args.plan.url
        self.register_outputs({"url": self.url})
