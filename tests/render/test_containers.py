"""Containers as text: the job, and the scripts over a docker command that notes its calls."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from components.model.host import CpuClass, Role
from components.plan.spec import (
    ContainerPlan,
    GatewayPlan,
    HardwareFacts,
    HostPlan,
    ImagesPlan,
    NomadPlan,
    WheelsPlan,
)
from components.render.agent import agent_config, agent_script
from components.render.images import wheels_script
from components.render.nomad import job_text
from components.render.preflight import preflight_script
from components.render.script import Script
from components.render.service import gateway_service
from contract.gateway_settings import ExpertRoute, GatewaySettings

GOLDEN = Path(__file__).parent / "golden" / "gateway-docker.json"
CHECKOUT = Path(__file__).resolve().parents[2]
SOCKET = "unix:///nowhere.sock"

DOCKER = """#!/bin/bash
echo "$@" >>"$CALLS"
case "$*" in
  *" run "*) cat "$CALLS.facts" 2>/dev/null || { echo "no such image" >&2; exit 125; } ;;
  *" version "*)
    [ -e "$CALLS.down" ] && { echo "Cannot connect to the daemon" >&2; exit 1; }
    echo 1 ;;
  *"image inspect"*) [ -e "$CALLS.built" ] ;;
  *" import "*) tar -t | sort >"$CALLS.imported" ;;
  *" ps "*) echo ours; echo theirs ;;
  *" inspect "*"ours"*) echo "$OURS/alloc/1/local" ;;
  *" inspect "*) echo /elsewhere/data/alloc/2/local ;;
esac
"""
PIP = """#!/bin/bash
echo "$@" >"$CALLS.pip"
while [ $# -gt 0 ]; do [ "$1" = --dest ] && touch "$2/one.whl"; shift; done
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-ins for docker and pip write down how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("docker", DOCKER), ("pip", PIP)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def run(script: Script, function: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-s", function],
        input=script.text(),
        text=True,
        capture_output=True,
        check=False,
    )


def gateway() -> GatewayPlan:
    return GatewayPlan(
        host="here",
        job="gateway",
        app=ContainerPlan(image="hearth-gateway:0123456789ab", user="1000:1000"),
        settings=GatewaySettings(
            host="127.0.0.1",
            port=8000,
            nomad_address="http://127.0.0.1:4646",
            experts={"general": ExpertRoute()},
            data_dir="/data/gateway",
            default_expert="general",
        ),
    )


def nomad(directory: Path) -> NomadPlan:
    return NomadPlan(
        host="here",
        roles=(Role.SERVER, Role.WORKER),
        binary=PurePosixPath("/bin/false"),
        directory=PurePosixPath(directory),
        volumes=(("gateway-data", PurePosixPath("/data/gateway")),),
        bind="127.0.0.1",
        port=4646,
        min_dynamic_port=20000,
        max_dynamic_port=32000,
    )


def images(tmp_path: Path) -> ImagesPlan:
    return ImagesPlan(
        host="here",
        daemon=SOCKET,
        wheels=WheelsPlan(
            reference="hearth-wheels:0123456789ab",
            base_image="debian-python:1",
            requirements=PurePosixPath("/checkout/requirements.txt"),
            pip=PurePosixPath(tmp_path / "bin" / "pip"),
        ),
        images=(),
    )


def host(tmp_path: Path, *, containers: bool) -> HostPlan:
    return HostPlan(
        name="here",
        data_dir=PurePosixPath(tmp_path),
        hardware=HardwareFacts(cpu_class=CpuClass.X64, cores=1, memory_mib=1),
        ports=(),
        disk_mib=1,
        containers=containers,
    )


def test_the_job_of_a_containerised_gateway_is_the_golden_one() -> None:
    assert job_text(gateway_service(gateway())) + "\n" == GOLDEN.read_text()


def test_a_container_may_only_what_the_agent_allows(tmp_path: Path) -> None:
    job = json.loads(job_text(gateway_service(gateway())))["Job"]
    config = job["TaskGroups"][0]["Tasks"][0]["Config"]
    (allowed,) = agent_config(nomad(tmp_path))["plugin"]["docker"][0]["config"]
    assert set(config["cap_add"]) <= set(allowed["allow_caps"])
    assert config["cap_drop"] == ["all"]
    assert allowed["volumes"] == [{"enabled": False}]
    assert "volumes" not in config
    (volume,) = job["TaskGroups"][0]["Volumes"].values()
    assert volume["Source"] in agent_config(nomad(tmp_path))["client"]["host_volume"]
    assert not allowed["allow_privileged"]


def test_packages_are_fetched_for_the_python_of_the_base_image(calls: Path, tmp_path: Path) -> None:
    Path(f"{calls}.facts").write_text("3.12 aarch64 glibc 2.28\n")
    done = run(wheels_script(images(tmp_path)), "ensure")
    assert done.returncode == 0, done.stdout + done.stderr
    asked = Path(f"{calls}.pip").read_text()
    assert "--python-version 3.12 --abi cp312 --abi abi3 --abi none" in asked
    assert "--platform manylinux_2_28_aarch64" in asked
    assert "--platform manylinux_2_17_aarch64" in asked
    assert "manylinux_2_29" not in asked
    assert "--require-hashes" in asked
    assert "./one.whl" in Path(f"{calls}.imported").read_text()
    assert "import - hearth-wheels:0123456789ab" in calls.read_text()
    asked_of = [line for line in calls.read_text().splitlines() if line.startswith("-H ")]
    assert len(asked_of) >= 3
    assert all(line.startswith(f"-H {SOCKET} ") for line in asked_of)


def test_packages_that_are_there_are_not_fetched_again(calls: Path, tmp_path: Path) -> None:
    script = wheels_script(images(tmp_path))
    assert run(script, "probe").returncode == 1
    Path(f"{calls}.built").touch()
    assert run(script, "probe").returncode == 0
    assert run(script, "ensure").stdout == "present: hearth-wheels:0123456789ab\n"
    assert not Path(f"{calls}.pip").exists()


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (None, "base image debian-python:1 cannot be used: no such image"),
        ("3.12 x86_64 unknown 0\n", "base image debian-python:1 uses the C library unknown"),
    ],
)
def test_a_base_image_that_does_not_serve_is_said_with_a_fix(
    calls: Path, tmp_path: Path, facts: str | None, reason: str
) -> None:
    if facts:
        Path(f"{calls}.facts").write_text(facts)
    done = run(wheels_script(images(tmp_path)), "ensure")
    assert done.returncode != 0
    assert reason in done.stdout
    assert "fix: " in done.stdout
    assert "apps.base-image" in done.stdout


def test_preflight_wants_a_daemon_only_where_containers_will_run(
    calls: Path, tmp_path: Path
) -> None:
    Path(f"{calls}.down").touch()
    assert run(preflight_script(host(tmp_path, containers=False)), "check").returncode == 0
    done = run(preflight_script(host(tmp_path, containers=True)), "check")
    assert done.returncode == 3
    assert "here: Docker does not answer: Cannot connect to the daemon" in done.stdout
    assert "fix: start Docker, or run the services without containers" in done.stdout
    Path(f"{calls}.down").unlink()
    assert run(preflight_script(host(tmp_path, containers=True)), "check").returncode == 0


def test_removing_an_agent_removes_its_own_containers_and_no_others(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = nomad(tmp_path / "nomad")
    monkeypatch.setenv("OURS", f"{plan.directory}/data")
    assert run(agent_script(plan), "containers").stdout == "ours\n"
    done = run(replace_waits(agent_script(plan)), "remove")
    assert done.returncode == 0, done.stderr
    removed = [line for line in calls.read_text().splitlines() if " rm " in line]
    assert [line.split()[-1] for line in removed] == ["ours"]


def replace_waits(script: Script) -> Script:
    """The same script on a machine without tasks to wait for."""
    return replace(script, functions={**script.functions, "tasks": "true"})


def test_the_image_runs_the_very_versions_of_the_locked_environment() -> None:
    def pins(file: str) -> dict[str, str]:
        lines = (CHECKOUT / file).read_text().splitlines()
        pairs = [line.split()[0].split("==") for line in lines if "==" in line.split(";")[0]]
        return {name: version for name, version in pairs}

    image, runtime = pins("images/base/requirements.txt"), pins("requirements/runtime.txt")
    assert {"fastapi", "httpx", "pydantic", "uvicorn"} <= image.keys()
    assert {name: runtime.get(name) for name in image} == image
