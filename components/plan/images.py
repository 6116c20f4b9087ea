"""Which container images a stack needs, and how they are named. Pure.

A tag is the digest of everything the image is made of, the parent's tag included: it changes
exactly when the job must, and never otherwise.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from components import naming
from components.model.cluster import ClusterConfig
from components.model.host import CpuClass
from components.model.service import Driver
from components.plan.placement import PlacementError
from components.plan.spec import Context, ImagePlan, ImagesPlan, Tools, WheelsPlan

# The daemon Nomad's docker driver uses too; what another shell has in DOCKER_HOST must not matter.
DOCKER_DAEMON: Final = "unix:///var/run/docker.sock"
BASE: Final = "base"
REQUIREMENTS: Final = "requirements"


def plan_images(
    config: ClusterConfig,
    host: str,
    cpu_class: CpuClass,
    services: tuple[str, ...],
    contexts: Mapping[str, Context],
    tools: Tools,
) -> ImagesPlan | None:
    """The images that ``services`` run from on ``host``; None where no service needs one.

    Raises PlacementError when the host cannot be given images.
    """
    if config.apps.driver is not Driver.DOCKER:
        return None
    if config.hosts[host].connection.kind != "local":
        msg = (
            f"apps.driver: docker builds images on this machine only, but the gateway runs on "
            f"{host}; set apps.driver: raw_exec"
        )
        raise PlacementError(msg)
    base_image = config.apps.base_image
    platform = f"linux/{'arm64' if cpu_class.value.startswith('arm') else 'amd64'}"
    wheels = WheelsPlan(
        reference=naming.image(
            "wheels", _digest(contexts[REQUIREMENTS].digest, base_image, platform)
        ),
        base_image=base_image,
        requirements=tools.checkout / contexts[REQUIREMENTS].path,
        pip=tools.python,
    )
    base = ImagePlan(
        name=BASE,
        reference=naming.image(BASE, _digest(contexts[BASE].digest, wheels.reference)),
        context=contexts[BASE].path,
        arguments=(("BASE", base_image), ("WHEELS", wheels.reference)),
        platform=platform,
    )
    return ImagesPlan(
        host=host,
        daemon=DOCKER_DAEMON,
        wheels=wheels,
        images=(
            base,
            *(
                ImagePlan(
                    name=service,
                    reference=naming.image(
                        service, _digest(contexts[service].digest, base.reference)
                    ),
                    context=contexts[service].path,
                    arguments=(("BASE", base.reference),),
                    platform=platform,
                )
                for service in services
            ),
        ),
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
