"""Worker: a machine made ready to serve experts.

Composes the runner's code, the llama.cpp build and the model files of one host, in the order they
need each other. Does not own the experts themselves: they are placed by Nomad.
"""

from dataclasses import dataclass

import pulumi

from components.app_bundle import AppBundle, AppBundleArgs
from components.llama_build import LlamaBuild, LlamaBuildArgs
from components.machine import Machine
from components.model_store import ModelStore, ModelStoreArgs
from components.plan.spec import WorkerPlan


@dataclass(frozen=True, kw_only=True)
class WorkerArgs:
    """The host and what it must hold."""

    machine: Machine
    plan: WorkerPlan


class Worker(pulumi.ComponentResource):
    """A host with binary, models and runner in place."""

    def __init__(
        self, name: str, args: WorkerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:inference:Worker", name, None, opts)
        machine, plan = args.machine, args.plan
        runner = AppBundle(
            f"{name}-runner",
            AppBundleArgs(machine=machine, plan=plan.runner),
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Build and models both use the runner's model generator.
        after_runner = pulumi.ResourceOptions(parent=self, depends_on=[runner])
        LlamaBuild(
            f"{name}-llama",
            LlamaBuildArgs(machine=machine, plan=plan.build, generator=plan.runner),
            opts=after_runner,
        )
        ModelStore(
            f"{name}-models",
            ModelStoreArgs(machine=machine, files=plan.models, generator=plan.runner),
            opts=after_runner,
        )
        self.register_outputs({})
