"""Nomad job documents from typed values. Nomad drops unknown JSON keys silently, so every key is
written once, here, and a test holds them against the live API.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from components import naming

SECOND: Final = 1_000_000_000  # durations are integer nanoseconds
# A port below 1024 may be asked for; a task needs no other privilege.
CONTAINER_CAPABILITIES: Final = ("net_bind_service",)
_DELIMITERS: Final = ("[[[", "]]]")  # for documents that are no templates, so braces stay braces


@dataclass(frozen=True, kw_only=True)
class File:
    """A file Nomad writes for a task. ``text`` is a template only when ``templated``."""

    path: str
    text: str
    templated: bool = False


@dataclass(frozen=True, kw_only=True)
class Check:
    """An HTTP health check."""

    path: str
    interval_s: int = 5
    timeout_s: int = 3


@dataclass(frozen=True, kw_only=True)
class Process:
    """A task that is a plain process of the host."""

    command: str
    args: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A folder of the host that the agent offers by ``name``, seen at the same path inside."""

    name: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Container:
    """A task in a container; ``args`` go to the image's entrypoint, ``user`` is ``uid:gid``."""

    image: str
    args: Sequence[str]
    user: str
    volume: Volume | None = None


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service with one port and one task. Memory in MiB, CPU in MHz."""

    job: str
    host: str
    runs: Process | Container
    files: Sequence[File]
    check: Check
    memory_mib: int
    cpu_mhz: int
    port: int | None = None  # None: Nomad chooses
    tags: Sequence[str] = field(default_factory=tuple)
    kill_timeout_s: int = 30
    healthy_deadline_s: int = 300


def job_document(service: Service) -> dict[str, Any]:
    """The job in the API's own form."""
    port: dict[str, Any] = {"Label": "http"}
    if service.port is not None:
        port["Value"] = service.port
    task = {
        "Name": service.job,
        **_driver(service.runs),
        "Templates": [_template(file) for file in service.files],
        "Identity": {"Env": True},
        "Resources": {"CPU": service.cpu_mhz, "MemoryMB": service.memory_mib},
        "KillTimeout": service.kill_timeout_s * SECOND,
        "LogConfig": {"MaxFiles": 3, "MaxFileSizeMB": 5},
    }
    group = {
        "Name": service.job,
        "Count": 1,
        "Networks": [
            {
                "Mode": "host",
                "ReservedPorts" if service.port is not None else "DynamicPorts": [port],
            }
        ],
        "Services": [_registration(service)],
        "Tasks": [task],
        **_volumes(service.runs),
        "EphemeralDisk": {"SizeMB": 50},
        # Three quick restarts on the host, then the scheduler tries afresh, for ever.
        "RestartPolicy": {
            "Attempts": 3,
            "Interval": 60 * SECOND,
            "Delay": 2 * SECOND,
            "Mode": "fail",
        },
        "ReschedulePolicy": {
            "Delay": 5 * SECOND,
            "DelayFunction": "exponential",
            "MaxDelay": 120 * SECOND,
            "Unlimited": True,
        },
    }
    return {
        "ID": service.job,
        "Name": service.job,
        "Type": "service",
        "Namespace": naming.NAMESPACE,
        "Datacenters": ["*"],
        "Constraints": [
            {"LTarget": "${node.unique.name}", "Operand": "=", "RTarget": service.host}
        ],
        "TaskGroups": [group],
        "Update": {
            "MaxParallel": 1,
            "HealthCheck": "checks",
            "MinHealthyTime": 1 * SECOND,
            "HealthyDeadline": service.healthy_deadline_s * SECOND,
            "ProgressDeadline": (service.healthy_deadline_s + 60) * SECOND,
        },
    }


def job_text(service: Service) -> str:
    """The job as the provider takes it; indented, so that a preview's diff is readable."""
    return json.dumps({"Job": job_document(service)}, indent=1, sort_keys=True)


def _driver(runs: Process | Container) -> dict[str, Any]:
    """Which driver runs the task, and its own part of the task."""
    match runs:
        case Process():
            return {
                "Driver": "raw_exec",
                "Config": {"command": runs.command, "args": list(runs.args)},
                "Env": dict(runs.environment),
            }
        case Container():
            return {
                "Driver": "docker",
                "User": runs.user,
                **_mounts(runs.volume),
                "Config": {
                    "image": runs.image,
                    "args": list(runs.args),
                    # Images are built on the host, so there is nothing newer to pull.
                    "force_pull": False,
                    # The network of the group: agent and experts are found where processes find them.
                    "network_mode": "host",
                    "readonly_rootfs": True,
                    "cap_drop": ["all"],
                    "cap_add": list(CONTAINER_CAPABILITIES),
                    "security_opt": ["no-new-privileges"],
                },
            }


def _volumes(runs: Process | Container) -> dict[str, Any]:
    """A process sees the host's folders as they are; a container only what it is given."""
    volume = runs.volume if isinstance(runs, Container) else None
    if volume is None:
        return {}
    return {
        "Volumes": {
            volume.name: {"Name": volume.name, "Type": "host", "Source": volume.name},
        }
    }


def _mounts(volume: Volume | None) -> dict[str, Any]:
    if volume is None:
        return {}
    return {"VolumeMounts": [{"Volume": volume.name, "Destination": volume.path}]}


def _template(file: File) -> dict[str, Any]:
    template: dict[str, Any] = {
        "EmbeddedTmpl": file.text,
        "DestPath": file.path,
        "Perms": "0600",
        "ChangeMode": "restart",
    }
    if not file.templated:
        template["LeftDelim"], template["RightDelim"] = _DELIMITERS
    return template


def _registration(service: Service) -> dict[str, Any]:
    return {
        "Name": service.job,
        "Provider": "nomad",
        "PortLabel": "http",
        "Tags": list(service.tags),
        "Checks": [
            {
                "Name": "ready",
                "Type": "http",
                "Path": service.check.path,
                "Interval": service.check.interval_s * SECOND,
                "Timeout": service.check.timeout_s * SECOND,
            }
        ],
    }
