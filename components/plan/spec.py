"""The plan: everything decided, as frozen values. Render and the components read it; nothing here
computes.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

from components.model.host import CpuClass, Role
from contract.expert_settings import ExpertSettings
from contract.gateway_settings import GatewaySettings


@dataclass(frozen=True, kw_only=True)
class HardwareFacts:
    """What a machine is made of. Memory in MiB, cores are physical."""

    cpu_class: CpuClass
    cores: int
    memory_mib: int


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Where this machine keeps what Hearth runs with; born from the checkout, not from the YAML."""

    python: PurePosixPath
    nomad: PurePosixPath
    cache_dir: PurePosixPath
    checkout: PurePosixPath
    venv_bin: PurePosixPath
    user: str  # uid:gid; who runs this program, and with it the local Nomad agent


@dataclass(frozen=True, kw_only=True)
class SourceTree:
    """Code of a service: folders to copy, and the digest of their content."""

    folders: tuple[PurePosixPath, ...]
    digest: str


@dataclass(frozen=True, kw_only=True)
class Context:
    """A file or folder that images are made of, relative to the checkout, and its digest."""

    path: PurePosixPath
    digest: str


@dataclass(frozen=True, kw_only=True)
class LlamaSource:
    """The pinned llama.cpp source tree of this machine."""

    commit: str
    directory: PurePosixPath


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """One llama.cpp build: one source, one CPU class, one set of flags."""

    host: str
    cpu_class: CpuClass
    source: PurePosixPath
    directory: PurePosixPath
    cmake_args: tuple[str, ...]
    jobs: int
    tools: PurePosixPath  # put before PATH, so that the locked cmake and ninja are used

    @property
    def llama_server(self) -> PurePosixPath:
        """The server binary of the finished build."""
        return self.directory / "bin" / "llama-server"


@dataclass(frozen=True, kw_only=True)
class ModelPlan:
    """One file in one host's models directory. ``url`` is None for the generated model."""

    name: str
    host: str
    path: PurePosixPath
    url: str | None
    size: int | None
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class NomadPlan:
    """One agent on one host. ``volumes`` are folders that containers may mount, by name."""

    host: str
    volumes: tuple[tuple[str, PurePosixPath], ...]
    roles: tuple[Role, ...]
    binary: PurePosixPath
    directory: PurePosixPath
    bind: str
    port: int
    min_dynamic_port: int
    max_dynamic_port: int

    @property
    def address(self) -> str:
        """Base URL of the HTTP API."""
        return f"http://{self.bind}:{self.port}"

    @property
    def ports(self) -> tuple[int, int, int]:
        """HTTP, RPC and gossip."""
        return (self.port, self.port + 1, self.port + 2)


@dataclass(frozen=True, kw_only=True)
class AppPlan:
    """A service's code on a host, run without a container by ``python``."""

    name: str
    host: str
    python: PurePosixPath
    directory: PurePosixPath
    source: SourceTree


@dataclass(frozen=True, kw_only=True)
class WheelsPlan:
    """The locked Python packages for the Python of one base image, kept as an image themselves.

    ``pip`` is the interpreter whose pip fetches them, on the machine that builds.
    """

    reference: str
    base_image: str
    requirements: PurePosixPath
    pip: PurePosixPath


@dataclass(frozen=True, kw_only=True)
class ImagePlan:
    """One image to build. Paths are relative to the checkout, so that the state holds no path of
    this machine; ``reference`` is name and tag, and the tag names the content.
    """

    name: str
    reference: str
    context: PurePosixPath
    arguments: tuple[tuple[str, str], ...]
    platform: str


@dataclass(frozen=True, kw_only=True)
class ImagesPlan:
    """The images of one host in build order: each may start from the ones before it."""

    host: str
    daemon: str
    wheels: WheelsPlan
    images: tuple[ImagePlan, ...]

    def reference(self, name: str) -> str:
        """Name and tag of one image."""
        return next(image.reference for image in self.images if image.name == name)


@dataclass(frozen=True, kw_only=True)
class ContainerPlan:
    """A service run from an image. ``user`` is ``uid:gid`` of whoever runs the Nomad agent: the
    files Nomad writes for the task belong to that user.
    """

    image: str
    user: str


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """What one host needs before it can serve experts."""

    host: str
    runner: AppPlan
    build: BuildPlan
    models: tuple[ModelPlan, ...]


@dataclass(frozen=True, kw_only=True)
class ExpertPlan:
    """One expert placed on one host. Memory in MiB."""

    name: str
    host: str
    job: str
    settings: ExpertSettings
    preferred_rung: str
    memory_mib: int
    cores: int
    app: AppPlan


@dataclass(frozen=True, kw_only=True)
class GatewayPlan:
    """The endpoint: its settings document and what runs: code laid out on the host, or an image."""

    host: str
    job: str
    settings: GatewaySettings
    app: AppPlan | ContainerPlan

    @property
    def url(self) -> str:
        """What clients use as their base URL."""
        return f"http://{self.settings.host}:{self.settings.port}/v1"


@dataclass(frozen=True, kw_only=True)
class HostPlan:
    """One machine and what it must offer before anything changes: memory, ports, disk in MiB, and
    a Docker daemon where containers will run.
    """

    name: str
    data_dir: PurePosixPath
    hardware: HardwareFacts
    ports: tuple[int, ...]
    disk_mib: int
    containers: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything the program will make, decided before anything is made."""

    hosts: tuple[HostPlan, ...]
    nomad: NomadPlan
    workers: tuple[WorkerPlan, ...]
    experts: tuple[ExpertPlan, ...]
    images: tuple[ImagesPlan, ...]
    gateway: GatewayPlan
