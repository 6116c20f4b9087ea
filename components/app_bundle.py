"""AppBundle: a service's code laid out on a machine, for services run without a container.

Owns one directory per version. Docker hosts use ContainerImage instead.
"""

from dataclasses import dataclass

import pulumi

from components.machine import Machine
from components.plan.spec import AppPlan
from components.render.app import app_script


@dataclass(frozen=True, kw_only=True)
class AppBundleArgs:
    """Which code goes where."""

    machine: Machine
    plan: AppPlan


class AppBundle(pulumi.ComponentResource):
    """Code in place; ``directory`` names its content, so it changes exactly when the code does."""

    directory: str

    def __init__(
        self, name: str, args: AppBundleArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:cluster:AppBundle", name, None, opts)
        args.machine.ensure(
            f"{name}-files", app_script(args.plan), opts=pulumi.ResourceOptions(parent=self)
        )
        self.directory = str(args.plan.directory)
        self.register_outputs({"directory": self.directory})
