"""The jobs of Hearth's own services: which program, which files, which port."""

from collections.abc import Sequence

from components import naming
from components.plan.spec import AppPlan, ContainerPlan, ExpertPlan, GatewayPlan
from components.render.nomad import Check, Container, File, Process, Service, Volume
from contract import services

UPSTREAM_KEY = "upstream_key"
GATEWAY_SECRETS = "secrets"
_GATEWAY_MEMORY_MIB = 512
_MHZ_PER_CORE = 100  # a weight, not a limit: CPU shares never idle a free core


def _variable(job: str, item: str) -> str:
    """A template that reads one item of the job's own variable."""
    return f'{{{{ with nomadVar "{naming.job_variable(job)}" }}}}{{{{ .{item} }}}}{{{{ end }}}}'


def _process(app: AppPlan, module: str, args: Sequence[str]) -> Process:
    return Process(
        command=str(app.python),
        args=["-m", module, *args],
        environment={
            "PYTHONPATH": str(app.directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        },
    )


def _runs(
    app: AppPlan | ContainerPlan, module: str, args: Sequence[str], volume: Volume
) -> Process | Container:
    """The same program, options and files either way: an image's entrypoint is the module."""
    if isinstance(app, ContainerPlan):
        return Container(image=app.image, args=args, user=app.user, volume=volume)
    return _process(app, module, args)


def expert_service(plan: ExpertPlan) -> Service:
    """The runner that walks one expert's ladder."""
    settings = plan.settings
    return Service(
        job=plan.job,
        host=plan.host,
        runs=_process(
            plan.app,
            "expert_runner",
            [
                *("--settings", "${NOMAD_TASK_DIR}/settings.json"),
                *("--api-key-file", "${NOMAD_SECRETS_DIR}/api-key"),
                *("--host", "${NOMAD_IP_http}"),
                *("--port", "${NOMAD_PORT_http}"),
            ],
        ),
        files=[
            File(path="local/settings.json", text=settings.model_dump_json(indent=1)),
            File(path="secrets/api-key", text=_variable(plan.job, UPSTREAM_KEY), templated=True),
        ],
        check=Check(path="/health"),
        memory_mib=plan.memory_mib,
        cpu_mhz=plan.cores * _MHZ_PER_CORE,
        tags=[services.preferred_rung_tag(plan.preferred_rung)],
        healthy_deadline_s=int(settings.start_timeout_s) * len(settings.ladder),
    )


def gateway_service(plan: GatewayPlan) -> Service:
    """The OpenAI-compatible endpoint."""
    return Service(
        job=plan.job,
        host=plan.host,
        runs=_runs(
            plan.app,
            "gateway",
            [
                *("--settings", "${NOMAD_TASK_DIR}/settings.json"),
                *("--secrets", "${NOMAD_SECRETS_DIR}/gateway.json"),
            ],
            Volume(name=naming.GATEWAY_VOLUME, path=plan.settings.data_dir or ""),
        ),
        files=[
            File(path="local/settings.json", text=plan.settings.model_dump_json(indent=1)),
            File(
                path="secrets/gateway.json",
                text=_variable(plan.job, GATEWAY_SECRETS),
                templated=True,
            ),
        ],
        check=Check(path="/health"),
        memory_mib=_GATEWAY_MEMORY_MIB,
        cpu_mhz=2 * _MHZ_PER_CORE,
        port=plan.settings.port,
        healthy_deadline_s=60,
    )
