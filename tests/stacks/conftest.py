"""A recording stand-in for the engine: runs the real program and keeps every registration."""

import asyncio
import json
import runpy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks

CHECKOUT = Path(__file__).resolve().parents[2]
MARKER = "marker-secret-value"
_SECRET_OUTPUTS = {
    "random:index/randomPassword:RandomPassword": {"result": MARKER},
    "random:index/randomBytes:RandomBytes": {"hex": "0123456789abcdef" * 2, "base64": MARKER},
}


@dataclass
class Recorder(mocks.Mocks):
    """Answers like a cluster where everything works, and remembers what was asked."""

    resources: list[mocks.MockResourceArgs] = field(default_factory=list)
    calls: list[mocks.MockCallArgs] = field(default_factory=list)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append(args)
        return f"{args.name}-id", {**args.inputs, **_SECRET_OUTPUTS.get(args.typ, {})}

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        self.calls.append(args)
        return {"stdout": "", "stderr": ""}

    def of_type(self, token: str) -> list[mocks.MockResourceArgs]:
        return [resource for resource in self.resources if resource.typ == token]


def cluster_of(stack: str) -> dict[str, Any]:
    """The committed tree of a stack."""
    text = (CHECKOUT / f"Pulumi.{stack}.yaml").read_text()
    return dict(yaml.safe_load(text)["config"]["hearth:cluster"])


def run_program(stack: str, cluster: dict[str, Any]) -> Recorder:
    """Run ``__main__.py`` under mocks with the engine's encoding of the configuration."""
    recorder = Recorder()
    asyncio.set_event_loop(asyncio.new_event_loop())
    mocks.set_mocks(recorder, project="hearth", stack=stack, preview=False)
    pulumi.runtime.set_all_config(
        {"hearth:cluster": json.dumps(cluster), "hearth:ssh-private-key": MARKER},
        ["hearth:ssh-private-key"],
    )

    @pulumi.runtime.test
    def program() -> None:
        runpy.run_path(str(CHECKOUT / "__main__.py"), run_name="__main__")

    program()
    return recorder


@pytest.fixture(params=["dev", "home"])
def stack_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def recorded(stack_name: str) -> Recorder:
    return run_program(stack_name, cluster_of(stack_name))


@pytest.fixture
def run() -> Callable[[str, dict[str, Any]], Recorder]:
    """The real program under mocks: ``run(stack, cluster)``."""
    return run_program


@pytest.fixture
def committed() -> Callable[[str], dict[str, Any]]:
    """The committed tree of a stack by name."""
    return cluster_of
