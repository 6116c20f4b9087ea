"""The decision: stack file plus facts of this machine in, Plan out. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from components import naming
from components.model.cluster import ClusterConfig, routes
from components.model.expert import Expert
from components.model.host import Host, Role
from components.model.model_file import ModelFile
from components.plan import placement
from components.plan.cpu import cmake_flags
from components.plan.images import plan_images
from components.plan.spec import (
    AppPlan,
    BuildPlan,
    ContainerPlan,
    Context,
    ExpertPlan,
    GatewayPlan,
    HardwareFacts,
    HostPlan,
    LlamaSource,
    ModelPlan,
    NomadPlan,
    Plan,
    SourceTree,
    Tools,
    WorkerPlan,
)
from contract.expert_settings import ExpertSettings, Rung
from contract.gateway_settings import GatewaySettings
from contract.routing_settings import Routing
from contract.services import SELFTEST

REMOTE_DATA_DIR: Final = PurePosixPath("/var/lib/hearth")
BUILD_DISK_MIB: Final = 300  # object files and artefact of one llama.cpp build, measured 80 MB
GATEWAY_APP: Final = "gateway"
EXPERT_APP: Final = "expert-runner"

_BUILD_FLAGS: Final = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_RPC=ON",
    "-DGGML_CCACHE=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    # A relocatable artefact: libraries are found beside the binary, wherever that is.
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the stack file cannot know: this machine, this checkout, the shipped catalogue."""

    stack: str
    tools: Tools
    detected: HardwareFacts
    catalogue: Mapping[str, ModelFile]
    llama: LlamaSource
    apps: Mapping[str, SourceTree]
    contexts: Mapping[str, Context]


def resolve(config: ClusterConfig, facts: Facts) -> Plan:
    """Decide hosts, ports, placements, files and job ids.

    Raises PlacementError when an expert fits on no host, or a container would run where no image
    can be built.
    """
    models = {**facts.catalogue, **config.models}
    hardware = {name: _hardware(host, facts) for name, host in config.hosts.items()}
    data_dirs = {name: _data_dir(host, facts) for name, host in config.hosts.items()}
    workers = [name for name, host in config.hosts.items() if Role.WORKER in host.roles]
    server = next(name for name, host in config.hosts.items() if Role.SERVER in host.roles)

    placed = placement.place(
        config.experts, models, {name: hardware[name].memory_mib for name in workers}
    )
    homes = sorted({spot.host for spot in placed.values()}, key=workers.index)
    builds = {name: _build(name, config.hosts[name], hardware[name], facts) for name in homes}
    gateway_host = server if server in workers else workers[0]
    runners = {home: _app(home, EXPERT_APP, data_dirs[home], facts) for home in homes}
    nomad = _nomad(server, config, data_dirs[server], facts)
    experts = tuple(
        _expert(name, config, placed[name], hardware, data_dirs, models, builds, runners)
        for name in config.experts
    )
    files = _files(config, placed, data_dirs, models)
    images = plan_images(
        config,
        gateway_host,
        hardware[gateway_host].cpu_class,
        (GATEWAY_APP,),
        facts.contexts,
        facts.tools,
    )
    return Plan(
        hosts=tuple(
            HostPlan(
                name=name,
                data_dir=data_dirs[name],
                hardware=hardware[name],
                ports=(*nomad.ports, config.gateway.port) if name == server else (),
                disk_mib=_disk_mib(name, files, builds),
                containers=images is not None and images.host == name,
            )
            for name in config.hosts
        ),
        nomad=nomad,
        workers=tuple(
            WorkerPlan(
                host=home,
                runner=runners[home],
                build=builds[home],
                models=tuple(file for file in files if file.host == home),
            )
            for home in homes
        ),
        experts=experts,
        images=(images,) if images else (),
        gateway=_gateway(
            config,
            gateway_host,
            nomad,
            ContainerPlan(image=images.reference(GATEWAY_APP), user=facts.tools.user)
            if images
            else _app(gateway_host, GATEWAY_APP, data_dirs[gateway_host], facts),
            naming.gateway_dir(data_dirs[gateway_host]),
        ),
    )


def _hardware(host: Host, facts: Facts) -> HardwareFacts:
    if host.hardware == "detect":
        return facts.detected
    return HardwareFacts(
        cpu_class=host.hardware.cpu_class,
        cores=host.hardware.cores,
        memory_mib=host.hardware.memory_mib,
    )


def _data_dir(host: Host, facts: Facts) -> PurePosixPath:
    if host.data_dir is not None:
        return PurePosixPath(host.data_dir)
    if host.connection.kind == "local":
        return facts.tools.checkout / ".hearth" / facts.stack
    return REMOTE_DATA_DIR


def _cache_dir(host: Host, facts: Facts) -> PurePosixPath:
    """A local build is shared by every checkout of this user; a remote host has one owner."""
    if host.connection.kind == "local":
        return facts.tools.cache_dir
    return _data_dir(host, facts) / "cache"


def _build(name: str, host: Host, hardware: HardwareFacts, facts: Facts) -> BuildPlan:
    args = (
        *_BUILD_FLAGS,
        f"-DLLAMA_BUILD_COMMIT={facts.llama.commit}",
        "-DLLAMA_BUILD_NUMBER=1",
        *cmake_flags(hardware.cpu_class),
    )
    digest = hashlib.sha256("\n".join(args).encode()).hexdigest()
    cache = _cache_dir(host, facts)
    local = host.connection.kind == "local"
    return BuildPlan(
        host=name,
        cpu_class=hardware.cpu_class,
        source=facts.llama.directory if local else cache / "llama.cpp" / facts.llama.commit / "src",
        directory=naming.llama_dir(cache, facts.llama.commit, hardware.cpu_class.value, digest),
        cmake_args=args,
        tools=facts.tools.venv_bin if local else PurePosixPath("/usr/bin"),
        jobs=max(1, min(hardware.cores, hardware.memory_mib // 1024)),
    )


def _app(host: str, app: str, data_dir: PurePosixPath, facts: Facts) -> AppPlan:
    source = facts.apps[app]
    return AppPlan(
        name=app,
        host=host,
        python=facts.tools.python,
        directory=naming.app_dir(data_dir, app, source.digest),
        source=source,
    )


def _nomad(server: str, config: ClusterConfig, data_dir: PurePosixPath, facts: Facts) -> NomadPlan:
    host = config.hosts[server]
    local = host.connection.kind == "local"
    return NomadPlan(
        host=server,
        roles=tuple(host.roles),
        binary=facts.tools.nomad if local else data_dir / "bin" / "nomad",
        directory=naming.nomad_dir(data_dir),
        volumes=((naming.GATEWAY_VOLUME, naming.gateway_dir(data_dir)),),
        bind="127.0.0.1" if host.connection.kind == "local" else host.connection.address,
        port=config.nomad.port,
        min_dynamic_port=config.nomad.min_dynamic_port,
        max_dynamic_port=config.nomad.max_dynamic_port,
    )


def _ladder(expert: Expert) -> list[str]:
    """The ladder with the generated model as its last rung, so that every machine answers."""
    return [rung for rung in expert.ladder if rung != SELFTEST] + [SELFTEST]


def _model_path(
    data_dir: PurePosixPath, rung: str, models: Mapping[str, ModelFile]
) -> PurePosixPath:
    file = "selftest.gguf" if rung == SELFTEST else models[rung].file
    return naming.models_dir(data_dir) / file


def _expert(
    name: str,
    config: ClusterConfig,
    spot: placement.Placement,
    hardware: Mapping[str, HardwareFacts],
    data_dirs: Mapping[str, PurePosixPath],
    models: Mapping[str, ModelFile],
    builds: Mapping[str, BuildPlan],
    runners: Mapping[str, AppPlan],
) -> ExpertPlan:
    expert = config.experts[name]
    host, data_dir, build = hardware[spot.host], data_dirs[spot.host], builds[spot.host]
    ladder = _ladder(expert)
    threads = expert.threads or host.cores
    job = naming.expert_job(name)
    return ExpertPlan(
        name=name,
        host=spot.host,
        job=job,
        preferred_rung=ladder[0],
        memory_mib=spot.memory_mib,
        cores=threads,
        app=runners[spot.host],
        settings=ExpertSettings(
            expert=name,
            llama_server=str(build.llama_server),
            ladder=[
                Rung(
                    name=rung,
                    path=str(_model_path(data_dir, rung, models)),
                    size=None if rung == SELFTEST else models[rung].size,
                )
                for rung in ladder
            ],
            capabilities=expert.capabilities,
            context_tokens=expert.context_tokens,
            slots=expert.slots,
            threads=threads,
            ubatch_tokens=placement.UBATCH_TOKENS,
            prompt_cache_mib=expert.prompt_cache_mib,
            memory_limit_mib=spot.memory_mib,
            memory_reserve_mib=placement.reserve_mib(host.memory_mib),
            start_timeout_s=float(expert.start_timeout_s),
            state_file=str(data_dir / "experts" / f"{name}.json"),
        ),
    )


def _files(
    config: ClusterConfig,
    placed: Mapping[str, placement.Placement],
    data_dirs: Mapping[str, PurePosixPath],
    models: Mapping[str, ModelFile],
) -> tuple[ModelPlan, ...]:
    """Each file once per host, in the order the ladders name them. A rung that needs more than
    its expert was granted is left out of the download: the runner would refuse it anyway.
    """
    wanted = dict.fromkeys(
        (placed[name].host, rung)
        for name, expert in config.experts.items()
        for rung in _ladder(expert)
        if placement.rung_need_mib(rung, expert, models) <= placed[name].memory_mib
    )
    return tuple(
        ModelPlan(
            name=rung,
            host=host,
            path=_model_path(data_dirs[host], rung, models),
            url=None if rung == SELFTEST else _url(config, models[rung]),
            size=None if rung == SELFTEST else models[rung].size,
            sha256=None if rung == SELFTEST else models[rung].sha256,
        )
        for host, rung in wanted
    )


def _url(config: ClusterConfig, model: ModelFile) -> str:
    if model.url is not None:
        return model.url
    return f"{config.hub.url}/{model.repo}/resolve/{model.revision}/{model.file}"


def _disk_mib(host: str, files: tuple[ModelPlan, ...], builds: Mapping[str, BuildPlan]) -> int:
    models = sum((file.size or 0) for file in files if file.host == host) // (1024 * 1024)
    return models + (BUILD_DISK_MIB if host in builds else 0)


def _gateway(
    config: ClusterConfig,
    host: str,
    nomad: NomadPlan,
    app: AppPlan | ContainerPlan,
    data_dir: PurePosixPath,
) -> GatewayPlan:
    return GatewayPlan(
        host=host,
        job=naming.GATEWAY_JOB,
        app=app,
        settings=GatewaySettings(
            host=config.gateway.listen,
            port=config.gateway.port,
            nomad_address=nomad.address,
            experts=routes(config.experts, routed=config.gateway.routing != Routing()),
            aliases=dict(config.gateway.aliases),
            default_expert=config.gateway.default_expert or next(iter(config.experts)),
            routing=config.gateway.routing,
            admission=config.gateway.admission,
            timeouts=config.gateway.timeouts,
            workers=config.gateway.workers,
            show_hosts=config.gateway.show_hosts,
            data_dir=str(data_dir),
        ),
    )
