"""LlamaBuild: llama.cpp compiled for one CPU class on one machine.

Owns the artefact directory. Does not own the source tree (toolchain) nor who runs the binary.
"""

from dataclasses import dataclass

import pulumi

from components.machine import Machine
from components.plan.spec import AppPlan, BuildPlan
from components.render.build import build_script


@dataclass(frozen=True, kw_only=True)
class LlamaBuildArgs:
    """What to build, and where the smoke test's model generator lies."""

    machine: Machine
    plan: BuildPlan
    generator: AppPlan


class LlamaBuild(pulumi.ComponentResource):
    """A finished build; ``llama_server`` is the binary's path, known at preview."""

    llama_server: str

    def __init__(
        self, name: str, args: LlamaBuildArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hearth:inference:LlamaBuild", name, None, opts)
        args.machine.ensure(
            f"{name}-artefact",
            build_script(args.plan, generator=args.generator),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.llama_server = str(args.plan.llama_server)
        self.register_outputs({"llamaServer": self.llama_server})
