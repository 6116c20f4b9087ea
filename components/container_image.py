"""ContainerImage: the images the services run from, built where they run.

Owns the locked packages, the base image and the images on top of it, in that order. Does not own
the containers (Nomad starts them). Images stay when a stack goes, as builds do: other stacks of
this machine may run from them, and the next `up` is quick.
"""

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.machine import Machine
from components.plan.spec import ImagePlan, ImagesPlan
from components.render.images import wheels_script


@dataclass(frozen=True, kw_only=True)
class ContainerImagesArgs:
    """What to build, and the machine whose daemon builds it."""

    machine: Machine
    plan: ImagesPlan


class ContainerImages(pulumi.ComponentResource):
    """All images of one host, tagged by content; ``references`` are known at preview."""

    references: dict[str, str]

    def __init__(
        self, name: str, args: ContainerImagesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:cluster:ContainerImages", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        # Explicit, so that it is the daemon Nomad uses, whatever the shell's DOCKER_HOST says.
        provider = docker.Provider(f"{name}-docker", host=args.plan.daemon, opts=child)
        before: pulumi.Resource = args.machine.ensure(
            f"{name}-wheels", wheels_script(args.plan), opts=child
        )
        for image in args.plan.images:
            before = ContainerImage(
                f"{name}-{image.name}",
                ContainerImageArgs(plan=image, provider=provider),
                pulumi.ResourceOptions(parent=self, depends_on=[before]),
            )
        self.references = {image.name: image.reference for image in args.plan.images}
        self.register_outputs({"references": self.references})


@dataclass(frozen=True, kw_only=True)
class ContainerImageArgs:
    """One image, and the daemon that builds it."""

    plan: ImagePlan
    provider: docker.Provider


class ContainerImage(pulumi.ComponentResource):
    """One built image; ``reference`` changes exactly when its content does."""

    reference: str

    def __init__(
        self, name: str, args: ContainerImageArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:cluster:ContainerImage", name, None, opts)
        plan = args.plan
        docker.Image(
            f"{name}-image",
            image_name=plan.reference,
            build=docker.DockerBuildArgs(
                context=str(plan.context),
                dockerfile=str(plan.context / "Dockerfile"),
                args=dict(plan.arguments),
                platform=plan.platform,
            ),
            skip_push=True,
            opts=pulumi.ResourceOptions(
                parent=self,
                provider=args.provider,
                # Nothing is deleted anyway, and a stack must get rid of a daemon that died.
                retain_on_delete=True,
            ),
        )
        self.reference = plan.reference
        self.register_outputs({"reference": self.reference})
