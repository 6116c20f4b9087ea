"""Nomad drops JSON keys it does not know without a word; so every key we send must come back."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from sandbox import Sandbox


def dropped(sent: Any, stored: Any, path: str = "") -> Iterator[str]:
    if isinstance(sent, dict):
        for key, value in sent.items():
            here = f"{path}.{key}"
            if not isinstance(stored, dict) or key not in stored:
                yield here
            else:
                yield from dropped(value, stored[key], here)
    elif isinstance(sent, list):
        for index, value in enumerate(sent):
            there = stored[index] if isinstance(stored, list) and index < len(stored) else None
            yield from dropped(value, there, f"{path}[{index}]")


@pytest.mark.parametrize("job", ["gateway", "expert-general"])
def test_every_key_of_a_job_is_known_to_the_server(up: Sandbox, job: str) -> None:
    outputs = up.outputs()
    request = urllib.request.Request(
        f"{outputs['nomad-address']}/v1/job/{job}",
        headers={"X-Nomad-Token": outputs["nomad-token"]},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        stored = json.load(response)
    state = json.loads(up.pulumi("stack", "export").stdout)
    (spec,) = [
        json.loads(resource["inputs"]["jobspec"])["Job"]
        for resource in state["deployment"]["resources"]
        if resource["type"] == "nomad:index/job:Job" and resource["id"] == job
    ]
    assert list(dropped(spec, stored)) == []
    assert list(dropped({"Misspelt": 1}, stored)) == [".Misspelt"]
