"""The edge: the only reader of Pulumi configuration, of files and of this machine's facts.

Everything behind it is pure. Every problem leaves it as one pulumi.RunError that names the file,
the key, the value and the fix.
"""

import hashlib
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pulumi
import yaml
from pydantic import ValidationError

from components import inspection, machine
from components.explain import explain
from components.model.cluster import ClusterConfig
from components.model.model_file import ModelFile
from components.plan.images import BASE, REQUIREMENTS
from components.plan.placement import PlacementError
from components.plan.resolve import EXPERT_APP, GATEWAY_APP, Facts, resolve
from components.plan.spec import Context, LlamaSource, Plan, SourceTree, Tools

CHECKOUT = Path(__file__).resolve().parent.parent
_SOURCES = {
    GATEWAY_APP: ("gateway", "images/base/contract"),
    EXPERT_APP: ("images/llama/expert_runner", "images/base/contract"),
}
_CONTEXTS = {BASE: "images/base", GATEWAY_APP: "gateway"}
_REQUIREMENTS = "images/base/requirements.txt"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What the program works with: the decision, and the machines to carry it out."""

    plan: Plan
    machines: Mapping[str, machine.Machine]


def load() -> Stack:
    """Read and validate the selected stack. Raises pulumi.RunError with a message for people."""
    name = pulumi.get_stack()
    file = f"Pulumi.{name}.yaml"
    catalogue = read_catalogue()
    document = pulumi.Config("hearth").get_object("cluster")
    if document is None:
        raise pulumi.RunError(f"{file}: hearth:cluster is missing; copy it from Pulumi.dev.yaml")
    try:
        config = validate(document, catalogue)
        plan = resolve(config, read_facts(name, catalogue))
    except ValidationError as error:
        raise pulumi.RunError(explain(file, error)) from None
    except PlacementError as error:
        raise pulumi.RunError(f"{file}: {error}") from None
    return Stack(
        plan=plan,
        machines={host: _machine(config, host) for host in config.hosts},
    )


def validate(document: object, catalogue: Mapping[str, ModelFile]) -> ClusterConfig:
    """The stack file's tree as a model. Raises pydantic.ValidationError."""
    return ClusterConfig.model_validate(document, context={"catalogue": catalogue})


def read_catalogue() -> dict[str, ModelFile]:
    """The shipped models."""
    text = (CHECKOUT / "components" / "model" / "catalogue.yaml").read_text()
    return {name: ModelFile.model_validate(entry) for name, entry in yaml.safe_load(text).items()}


def read_facts(stack: str, catalogue: Mapping[str, ModelFile]) -> Facts:
    """What this machine and this checkout add to the stack file."""
    cache = cache_dir()
    commit = tomllib.loads((CHECKOUT / "toolchain" / "lock.toml").read_text())["llama"]["commit"]
    return Facts(
        stack=stack,
        catalogue=catalogue,
        detected=inspection.inspect_hardware(),
        tools=Tools(
            # Not resolved: the venv's python is a link, and its place is what makes it the venv's.
            python=PurePosixPath(sys.executable),
            venv_bin=PurePosixPath(sys.executable).parent,
            nomad=PurePosixPath(CHECKOUT / ".hearth" / "bin" / "nomad"),
            cache_dir=PurePosixPath(cache),
            checkout=PurePosixPath(CHECKOUT),
            user=f"{os.getuid()}:{os.getgid()}",
        ),
        llama=LlamaSource(
            commit=commit, directory=PurePosixPath(cache / "llama.cpp" / commit / "src")
        ),
        apps={
            app: SourceTree(
                folders=tuple(PurePosixPath(CHECKOUT / folder) for folder in folders),
                digest=inspection.digest_of([CHECKOUT / folder for folder in folders]),
            )
            for app, folders in _SOURCES.items()
        },
        contexts=_contexts(),
    )


def _contexts() -> dict[str, Context]:
    """What container images are made of."""
    folders = {
        name: Context(path=PurePosixPath(folder), digest=inspection.digest_of([CHECKOUT / folder]))
        for name, folder in _CONTEXTS.items()
    }
    lock = hashlib.sha256((CHECKOUT / _REQUIREMENTS).read_bytes()).hexdigest()
    return {**folders, REQUIREMENTS: Context(path=PurePosixPath(_REQUIREMENTS), digest=lock)}


def cache_dir() -> Path:
    """This user's cache of tools, sources and builds; shared by all checkouts."""
    if chosen := os.environ.get("HEARTH_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hearth"


def _machine(config: ClusterConfig, host: str) -> machine.Machine:
    connection = config.hosts[host].connection
    if connection.kind == "local":
        return machine.LocalMachine()
    return machine.SshMachine(connection, pulumi.Config("hearth").get_secret("ssh-private-key"))
