"""ModelStore: the model files of one machine.

Owns the models directory. A file that cannot be had is no failure: its rung is skipped by the
expert's ladder, and the next update tries again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.machine import Machine
from components.plan.spec import AppPlan, ModelPlan
from components.render.models import model_script


@dataclass(frozen=True, kw_only=True)
class ModelStoreArgs:
    """Files one machine serves, and where the generator of the built-in model lies."""

    machine: Machine
    files: Sequence[ModelPlan]
    generator: AppPlan


class ModelStore(pulumi.ComponentResource):
    """The files of one machine."""

    def __init__(
        self, name: str, args: ModelStoreArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:inference:ModelStore", name, None, opts)
        for file in args.files:
            args.machine.ensure(
                f"{name}-{file.name}",
                model_script(file, generator=args.generator),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
