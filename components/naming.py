"""Every physical name in one place: job ids, file names, directories.

Logical Pulumi names are the ids of the YAML; the names here are what a host or Nomad sees.
"""

import re
from pathlib import PurePosixPath
from typing import Final

from contract import services

TOKEN_PREFIX: Final = "hearth"
GATEWAY_JOB: Final = "gateway"
GATEWAY_VOLUME: Final = "gateway-data"
NAMESPACE: Final = "default"

# Nomad accepts more, but names also become DNS labels, file names and HTTP model ids.
NAME: Final = re.compile(r"^[a-z][a-z0-9-]{0,30}[a-z0-9]$|^[a-z]$")


def expert_job(expert: str) -> str:
    """Nomad job id of an expert; its service carries the same name."""
    return services.expert_service(expert)


def job_variable(job: str) -> str:
    """Path of the Nomad variable that a job's own workload identity may read."""
    return f"nomad/jobs/{job}"


def nomad_dir(data_dir: PurePosixPath) -> PurePosixPath:
    """Where an agent keeps its configuration, state, pid file and log."""
    return data_dir / "nomad"


def models_dir(data_dir: PurePosixPath) -> PurePosixPath:
    """The one directory for model files of every kind on a host."""
    return data_dir / "models"


def gateway_dir(data_dir: PurePosixPath) -> PurePosixPath:
    """Where the gateway keeps its keys and what they used."""
    return data_dir / "gateway"


def app_dir(data_dir: PurePosixPath, app: str, digest: str) -> PurePosixPath:
    """Where a service's code lies without a container; the digest names the content."""
    return data_dir / "apps" / f"{app}-{digest[:12]}"


def image(service: str, digest: str) -> str:
    """Name and tag of a container image; the digest names the content."""
    return f"hearth-{service}:{digest[:12]}"


def llama_dir(cache_dir: PurePosixPath, commit: str, cpu_class: str, digest: str) -> PurePosixPath:
    """Directory of one llama.cpp build: source commit, CPU class and the digest of its flags."""
    return cache_dir / "llama.cpp" / commit / f"{cpu_class}-{digest[:12]}"
