"""The scripts themselves: valid bash, and the model script against a real HTTP server."""

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import pytest

from components import stack
from components.plan.resolve import resolve
from components.plan.spec import AppPlan, ModelPlan, Plan, SourceTree
from components.render.agent import acl_script, agent_script
from components.render.app import app_script
from components.render.build import build_script
from components.render.models import model_script
from components.render.preflight import preflight_script
from components.render.script import Script

CONTENT = b"GGUF" + bytes(range(256)) * 64


def dev_plan() -> Plan:
    document = {
        "hosts": {
            "here": {
                "connection": {"kind": "local"},
                "roles": ["server", "worker"],
                "hardware": "detect",
            }
        },
        "experts": {"general": {"ladder": ["lfm2.5-230m:q4_k_m", "selftest"]}},
    }
    catalogue = stack.read_catalogue()
    return resolve(stack.validate(document, catalogue), stack.read_facts("dev", catalogue))


def all_scripts() -> dict[str, Script]:
    plan = dev_plan()
    worker = plan.workers[0]
    return {
        "agent": agent_script(plan.nomad),
        "acl": acl_script(plan.nomad),
        "app": app_script(worker.runner),
        "build": build_script(worker.build, generator=worker.runner),
        "model": model_script(worker.models[0], generator=worker.runner),
        "selftest": model_script(worker.models[-1], generator=worker.runner),
        "preflight": preflight_script(plan.hosts[0]),
    }


@pytest.mark.parametrize("name", all_scripts())
def test_every_script_is_valid_bash(name: str) -> None:
    text = all_scripts()[name].text()
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def model(tmp_path: Path, url: str, **more: object) -> ModelPlan:
    values = {
        "name": "m",
        "host": "here",
        "path": PurePosixPath(tmp_path / "models" / "m.gguf"),
        "url": url,
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    return ModelPlan(**{**values, **more})  # type: ignore[arg-type]


GENERATOR = AppPlan(
    name="x",
    host="here",
    python=PurePosixPath("/bin/false"),
    directory=PurePosixPath("/nonexistent"),
    source=SourceTree(folders=(), digest="0" * 64),
)


def run(plan: ModelPlan, function: str) -> subprocess.CompletedProcess[str]:
    text = model_script(plan, generator=GENERATOR).text()
    return subprocess.run(
        ["bash", "-s", function], input=text, text=True, capture_output=True, check=False
    )


def test_a_model_is_downloaded_checked_and_then_left_alone(tmp_path: Path, hub: str) -> None:
    plan = model(tmp_path, f"{hub}/m.gguf")
    assert run(plan, "probe").returncode == 1
    assert run(plan, "ensure").stdout == "downloaded: m\n"
    assert Path(plan.path).read_bytes() == CONTENT
    assert run(plan, "probe").returncode == 0
    assert run(plan, "ensure").stdout == "present: m\n"


def test_an_interrupted_download_is_resumed_and_never_seen_half(tmp_path: Path, hub: str) -> None:
    plan = model(tmp_path, f"{hub}/m.gguf")
    part = Path(f"{plan.path}.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT[:1000])
    assert not Path(plan.path).exists()
    # This server cannot resume, so the script starts over and still ends with the right file.
    assert run(plan, "ensure").stdout == "downloaded: m\n"
    assert Path(plan.path).read_bytes() == CONTENT
    assert not part.exists()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"url": "{hub}/gone.gguf"}, "404"),
        ({"url": "http://127.0.0.1:9/m.gguf"}, "onnect"),
        ({"sha256": "0" * 64}, "expected " + "0" * 64),
        ({"size": 5}, "expected 5"),
        ({"size": 10**6}, "expected 1000000"),
    ],
)
def test_a_model_that_cannot_be_had_is_said_remembered_and_no_failure(
    tmp_path: Path, hub: str, more: dict[str, object], reason: str
) -> None:
    url = str(more.pop("url", f"{hub}/m.gguf")).replace("{hub}", hub)
    plan = model(tmp_path, url, **more)
    done = run(plan, "ensure")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("unavailable: m: ")
    assert reason in done.stdout
    assert not Path(plan.path).exists()
    marker = Path(f"{plan.path}.unavailable")
    assert marker.exists()
    # Not asked again at once ...
    assert run(plan, "probe").returncode == 0
    # ... but when the mark is gone or old.
    marker.unlink()
    assert run(plan, "probe").returncode == 1


def test_a_full_disk_is_an_error_with_a_fix(tmp_path: Path, hub: str) -> None:
    done = run(model(tmp_path, f"{hub}/m.gguf", size=10**15), "ensure")
    assert done.returncode != 0
    assert "fix: free space" in done.stdout


def test_a_file_that_is_no_model_is_refused(tmp_path: Path, hub: str) -> None:
    (tmp_path / "hub" / "page.gguf").write_bytes(b"<html>" + bytes(len(CONTENT) - 6))
    plan = model(tmp_path, f"{hub}/page.gguf", sha256=None)
    assert "not a GGUF model" in run(plan, "ensure").stdout
