"""The dev stack with and without containers, through the real program with recorded answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

JOB = "nomad:index/job:Job"
IMAGE = "docker:index/image:Image"
PROVIDER = "pulumi:providers:docker"
CHECKOUT = Path(__file__).resolve().parents[2]

Run = Callable[[str, dict[str, Any]], Any]
Committed = Callable[[str], dict[str, Any]]


@pytest.fixture
def contained(run: Run, committed: Committed) -> Any:
    """The dev stack with driver docker."""
    return run("dev", with_docker(committed))


def with_docker(committed: Committed, **more: str) -> dict[str, Any]:
    return {**committed("dev"), "apps": {"driver": "docker", **more}}


def task(recorded: Any, job: str) -> dict[str, Any]:
    (found,) = [
        document["TaskGroups"][0]["Tasks"][0]
        for document in (json.loads(r.inputs["jobspec"])["Job"] for r in recorded.of_type(JOB))
        if document["ID"] == job
    ]
    return dict(found)


def references(recorded: Any) -> dict[str, str]:
    return {r.name: r.inputs["imageName"] for r in recorded.of_type(IMAGE)}


def test_without_containers_nothing_of_docker_is_registered(run: Run, committed: Committed) -> None:
    recorded = run("dev", committed("dev"))
    assert [r.typ for r in recorded.resources if "docker" in r.typ or "Image" in r.typ] == []


def test_the_gateway_runs_from_the_image_that_is_built(contained: Any) -> None:
    built = references(contained)
    assert task(contained, "gateway")["Driver"] == "docker"
    assert task(contained, "gateway")["Config"]["image"] == built["images-gateway-image"]


def test_experts_stay_processes_of_the_host(contained: Any) -> None:
    assert task(contained, "expert-general")["Driver"] == "raw_exec"


def test_with_containers_no_code_of_the_gateway_is_laid_out(contained: Any) -> None:
    names = {resource.name for resource in contained.resources}
    assert "gateway-files" not in names
    assert "here-runner-files" in names


def test_images_are_local_relative_to_the_checkout_and_never_latest(contained: Any) -> None:
    images = contained.of_type(IMAGE)
    assert [image.name for image in images] == ["images-base-image", "images-gateway-image"]
    for image in images:
        assert image.inputs["skipPush"] is True
        assert image.inputs["imageName"].split(":")[1] not in ("", "latest")
        build = image.inputs["build"]
        assert not build["context"].startswith("/")
        assert (CHECKOUT / build["dockerfile"]).is_file()
    (base, gateway) = images
    assert gateway.inputs["build"]["args"] == {"BASE": base.inputs["imageName"]}


def test_images_are_built_by_the_daemon_nomad_uses(contained: Any) -> None:
    (provider,) = contained.of_type(PROVIDER)
    assert provider.inputs["host"] == "unix:///var/run/docker.sock"
    assert all(provider.name in image.provider for image in contained.of_type(IMAGE))


def test_another_base_image_is_another_tag_for_everything_on_top(
    run: Run, committed: Committed, contained: Any
) -> None:
    other = run("dev", with_docker(committed, **{"base-image": "python:3.13-slim"}))
    before, after = references(contained), references(other)
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)
    (base, _) = other.of_type(IMAGE)
    assert base.inputs["build"]["args"]["BASE"] == "python:3.13-slim"


def test_two_runs_of_one_checkout_agree_on_every_tag(
    run: Run, committed: Committed, contained: Any
) -> None:
    assert references(run("dev", with_docker(committed))) == references(contained)


def test_a_gateway_on_another_machine_is_refused_with_a_fix(run: Run, committed: Committed) -> None:
    cluster = {**committed("home"), "apps": {"driver": "docker"}}
    with pytest.raises(pulumi.RunError, match=r"Pulumi\.home\.yaml: .*set apps\.driver: raw_exec"):
        run("home", cluster)
