"""The gateway from an image: built, answering, healed, exchanged for a process, taken down."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from conftest import require_free
from sandbox import Ports, Sandbox

DAEMON = "unix:///var/run/docker.sock"
BASE_IMAGE = os.environ.get("HEARTH_TEST_BASE_IMAGE", "hearth-test-base:1")
HOW = "run tests/live/docker_lab.sh as root"


def docker(*arguments: str) -> str:
    """Output of a docker command; fails the test when docker does."""
    return subprocess.run(
        ["docker", "-H", DAEMON, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()


def missing() -> str | None:
    """Why there can be no container here."""
    try:
        docker("version", "--format", "{{.Server.Version}}")
    except FileNotFoundError:
        return f"there is no docker command; {HOW}"
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return f"no Docker daemon answers at {DAEMON}; {HOW}"
    try:
        docker("image", "inspect", BASE_IMAGE)
    except subprocess.CalledProcessError:
        return f"the base image {BASE_IMAGE} is not there; {HOW}"
    return None


def containers(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Containers, running or not, that mount anything of the sandbox."""
    ids = docker("ps", "-aq").split()
    found = json.loads(docker("inspect", *ids)) if ids else []
    return [
        container
        for container in found
        if any(str(sandbox.root) in mount.get("Source", "") for mount in container["Mounts"])
    ]


def answer(sandbox: Sandbox) -> str:
    """One chat answer through the gateway."""
    outputs = sandbox.outputs()
    client = openai.OpenAI(base_url=outputs["gateway-url"], api_key=outputs["gateway-key"])
    answered = client.chat.completions.create(
        model="general", messages=[{"role": "user", "content": "hi"}]
    )
    return answered.choices[0].message.content or ""


@pytest.fixture(scope="module")
def contained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A stack that is up with its gateway in a container."""
    if reason := missing():
        pytest.skip(reason)
    # Below the ports the kernel gives to outgoing connections, or one of those may hold ours.
    ports = Ports(nomad=17546, gateway=18300, dynamic=(28000, 28500))
    require_free(ports.nomad, ports.nomad + 1, ports.nomad + 2, ports.gateway)
    sandbox = Sandbox(root=tmp_path_factory.mktemp("hearth") / "c", ports=ports)
    sandbox.make()
    cluster = sandbox.cluster()
    cluster["experts"]["general"]["ladder"] = ["selftest"]
    cluster["experts"]["general"]["context-tokens"] = 4096
    cluster["apps"] = {"driver": "docker", "base-image": BASE_IMAGE}
    sandbox.write(cluster)
    try:
        done = sandbox.hearth("up", "--yes")
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        yield sandbox
    finally:
        sandbox.hearth("down", "--yes")


def test_the_gateway_answers_from_a_container_without_privileges(contained: Sandbox) -> None:
    assert answer(contained)
    (container,) = containers(contained)
    assert container["Config"]["Image"].startswith("hearth-gateway:")
    host = container["HostConfig"]
    assert host["NetworkMode"] == "host"
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"]
    assert not host["Privileged"]
    # Nomad's own three task directories, the folder of its keys, and nothing else of this machine.
    assert {mount["Destination"] for mount in container["Mounts"]} == {
        "/alloc",
        "/local",
        "/secrets",
        str(contained.root / ".hearth/dev/gateway"),
    }


def test_an_image_stack_is_unchanged_after_an_update(contained: Sandbox) -> None:
    done = contained.pulumi("preview", "--expect-no-changes", "--non-interactive")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_changed_file_of_the_gateway_makes_a_new_tag_for_its_image_and_job_alone(
    contained: Sandbox,
) -> None:
    file = contained.root / "gateway" / "errors.py"
    before = file.read_text()
    file.write_text(f"{before}\n# changed\n")
    try:
        digest = json.loads(contained.pulumi("preview", "--json", "--non-interactive").stdout)
    finally:
        file.write_text(before)
    changed = {step["urn"].rsplit("::")[-1] for step in digest["steps"] if step["op"] != "same"}
    # The component holds the reference as its output.
    assert {"images-gateway-image", "gateway-job"} <= changed
    assert changed <= {"images-gateway-image", "gateway-job", "images", "images-gateway"}


def test_heal_after_a_dead_agent_leaves_one_answering_container(contained: Sandbox) -> None:
    pid = int((contained.root / ".hearth/dev/nomad/agent.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    healed = contained.hearth("heal")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert len([one for one in containers(contained) if one["State"]["Running"]]) == 1
    assert answer(contained)


def test_run_local_exchanges_the_container_for_a_process(contained: Sandbox) -> None:
    done = contained.hearth("up", "--run-local", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert contained.cluster()["apps"]["driver"] == "raw_exec"
    assert [one for one in containers(contained) if one["State"]["Running"]] == []
    assert answer(contained)
    state = contained.pulumi("stack", "export").stdout
    assert "docker:index/image:Image" not in state
    assert contained.pulumi("preview", "--expect-no-changes").returncode == 0


def test_down_leaves_no_container(contained: Sandbox) -> None:
    contained.write({**contained.cluster(), "apps": {"driver": "docker", "base-image": BASE_IMAGE}})
    again = contained.hearth("up", "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(containers(contained)) >= 1
    down = contained.hearth("down", "--yes")
    assert down.returncode == 0, down.stdout + down.stderr
    assert containers(contained) == []
    assert contained.processes() == []
    mounts = Path("/proc/mounts").read_text()
    assert str(contained.root) not in mounts
