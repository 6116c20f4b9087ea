"""The composition: load, decide, build in bring-up order, export. Stacks differ by their YAML."""

import pulumi

from components.container_image import ContainerImages, ContainerImagesArgs
from components.credentials import Credentials
from components.expert import Expert, ExpertArgs
from components.gateway import Gateway, GatewayArgs
from components.nomad_access import NomadAccess, NomadAccessArgs
from components.nomad_agent import NomadAgent, NomadAgentArgs
from components.preflight import preflight
from components.stack import load
from components.worker import Worker, WorkerArgs

stack = load()
plan, machines = stack.plan, stack.machines
preflight(plan, machines)

leader = machines[plan.nomad.host]
agent = NomadAgent("nomad", NomadAgentArgs(machine=leader, plan=plan.nomad))
access = NomadAccess(
    "access",
    NomadAccessArgs(machine=leader, plan=plan.nomad),
    pulumi.ResourceOptions(depends_on=[agent]),
)
credentials = Credentials("credentials")
upstream_key, provider = credentials.upstream_key, access.provider
workers = {
    worker.host: Worker(worker.host, WorkerArgs(machine=machines[worker.host], plan=worker))
    for worker in plan.workers
}
for expert in plan.experts:
    Expert(
        expert.name,
        ExpertArgs(plan=expert, upstream_key=upstream_key, provider=provider),
        pulumi.ResourceOptions(depends_on=[workers[expert.host]]),
    )
images = [
    ContainerImages("images", ContainerImagesArgs(machine=machines[each.host], plan=each))
    for each in plan.images
]
gateway = Gateway(
    "gateway",
    GatewayArgs(
        machine=machines[plan.gateway.host],
        plan=plan.gateway,
        key=credentials.client_key_record,
        admin_key_digest=credentials.admin_key_digest,
        upstream_key=upstream_key,
        provider=provider,
    ),
    pulumi.ResourceOptions(depends_on=images),
)

pulumi.export("gateway-url", gateway.url)
pulumi.export("gateway-key", credentials.client_key)
pulumi.export("gateway-admin-key", credentials.admin_key)
pulumi.export("nomad-address", agent.address)
pulumi.export("nomad-token", access.token)
pulumi.export("experts", [expert.name for expert in plan.experts])
