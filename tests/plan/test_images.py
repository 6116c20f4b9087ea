"""Tags follow content, parents included, and nothing else."""

from pathlib import PurePosixPath
from typing import Any

import pytest

from components import stack
from components.model.cluster import ClusterConfig
from components.model.host import CpuClass
from components.plan.images import plan_images
from components.plan.spec import Context, ImagesPlan, Tools

TOOLS = Tools(
    python=PurePosixPath("/venv/bin/python"),
    venv_bin=PurePosixPath("/venv/bin"),
    nomad=PurePosixPath("/bin/nomad"),
    cache_dir=PurePosixPath("/cache"),
    checkout=PurePosixPath("/checkout"),
    user="1000:1000",
)
PATHS = {
    "base": "images/base",
    "gateway": "gateway",
    "requirements": "images/base/requirements.txt",
}


def config(**apps: str) -> ClusterConfig:
    here = {"connection": {"kind": "local"}, "roles": ["server", "worker"], "hardware": "detect"}
    document: dict[str, Any] = {
        "hosts": {"here": here},
        "experts": {"general": {"ladder": ["selftest"]}},
        "apps": {"driver": "docker", **apps},
    }
    return stack.validate(document, {})


def planned(cpu: CpuClass = CpuClass.HASWELL, **changed: str) -> ImagesPlan:
    """The images when each part's digest is its own name, or the given one."""
    contexts = {
        name: Context(path=PurePosixPath(path), digest=changed.get(name, name))
        for name, path in PATHS.items()
    }
    plan = plan_images(config(), "here", cpu, ("gateway",), contexts, TOOLS)
    assert plan
    return plan


def tags(plan: ImagesPlan) -> dict[str, str]:
    return {
        "wheels": plan.wheels.reference,
        **{image.name: image.reference for image in plan.images},
    }


@pytest.mark.parametrize(
    ("part", "moves"),
    [
        ("gateway", {"gateway"}),
        ("base", {"base", "gateway"}),
        ("requirements", {"wheels", "base", "gateway"}),
    ],
)
def test_a_changed_part_moves_its_own_tag_and_those_on_top(part: str, moves: set[str]) -> None:
    before, after = tags(planned()), tags(planned(**{part: "changed"}))
    assert {name for name in before if before[name] != after[name]} == moves


def test_images_for_another_kind_of_machine_are_other_images() -> None:
    arm = planned(CpuClass.ARMV82)
    assert {image.platform for image in arm.images} == {"linux/arm64"}
    assert not set(tags(arm).values()) & set(tags(planned()).values())


def test_each_image_comes_after_the_one_it_starts_from() -> None:
    seen = {planned().wheels.reference}
    for image in planned().images:
        ours = {value for _, value in image.arguments if value.startswith("hearth-")}
        assert ours <= seen
        seen.add(image.reference)


def test_no_image_is_planned_where_services_are_processes() -> None:
    assert (
        plan_images(config(driver="raw_exec"), "here", CpuClass.HASWELL, ("gateway",), {}, TOOLS)
        is None
    )
