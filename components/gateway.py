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
    """The decided endpoint and its machine, the credentials it accepts and the key it sends
    upstream.
    """

    machine: Machine
    plan: GatewayPlan
    key: pulumi.Output[ApiKey]
    admin_key_digest: pulumi.Output[str]
    upstream_key: pulumi.Output[str]
    provider: nomad.Provider


def gateway_secrets(key: ApiKey, upstream_key: str, admin_key_digest: str) -> str:
    """The secret document. The pepper is not in it: the gateway makes it beside its keys, so that
    these outlive a stack that was taken down and brought up again.
    """
    return GatewaySecrets(
        keys=[key], upstream_key=upstream_key, admin_key_sha256=admin_key_digest
    ).model_dump_json()


class Gateway(pulumi.ComponentResource):
    """A serving endpoint; ``url`` is what clients use as their base URL."""

    url: str

    def __init__(
        self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:inference:Gateway", name, None, opts)
        secrets = pulumi.Output.all(args.key, args.upstream_key, args.admin_key_digest).apply(
            lambda made: gateway_secrets(*made)
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
