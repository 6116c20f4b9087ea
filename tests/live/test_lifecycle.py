"""A stack's life on the real engine: unchanged, changed, broken, healed, gone."""

import json
import os
import shutil
import signal
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from sandbox import Sandbox


def nomad(up: Sandbox, method: str, path: str) -> Any:
    outputs = up.outputs()
    request = urllib.request.Request(
        outputs["nomad-address"] + path,
        method=method,
        headers={"X-Nomad-Token": outputs["nomad-token"]},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def pids(up: Sandbox, *words: str) -> list[int]:
    """Processes of the sandbox whose command line holds all the words."""
    found = []
    for pid in up.processes():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if all(word in line for word in words):
            found.append(pid)
    return found


def test_nothing_changes_after_an_update(up: Sandbox) -> None:
    done = up.pulumi("preview", "--expect-no-changes", "--non-interactive")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_changed_expert_is_a_diff_of_exactly_its_job(up: Sandbox) -> None:
    before = up.cluster()
    changed = json.loads(json.dumps(before))
    changed["experts"]["general"]["slots"] = 3
    up.write(changed)
    try:
        digest = json.loads(up.pulumi("preview", "--json", "--non-interactive").stdout)
    finally:
        up.write(before)
    steps = [step["urn"].rsplit("::")[-1] for step in digest["steps"] if step["op"] != "same"]
    assert steps == ["expert-general-job"]


def test_a_job_stopped_by_hand_is_seen_by_refresh_and_healed(up: Sandbox) -> None:
    nomad(up, "DELETE", "/v1/job/expert-general?purge=false")
    refreshed = up.pulumi("refresh", "--yes", "--non-interactive")
    assert refreshed.returncode == 0, refreshed.stderr
    seen = up.pulumi("preview", "--expect-no-changes", "--non-interactive")
    assert seen.returncode == 7, seen.stdout
    assert "expert-general-job" in seen.stdout
    healed = up.hearth("heal")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert "general   selftest" in " ".join(healed.stdout.split("\n")) or "ok" in healed.stdout


def test_heal_brings_everything_back_after_kill_9_and_keeps_keys(up: Sandbox) -> None:
    before = up.outputs()
    victims = [
        *pids(up, "nomad", "agent", "-config"),
        *pids(up, "llama-server"),
        *pids(up, "-m", "gateway"),
    ]
    assert len(victims) >= 3
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    healed = up.hearth("heal")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert "the Nomad agent is not running" in healed.stdout
    assert up.outputs() == before
    answer = up.hearth("chat", "hello")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
    assert up.pulumi("preview", "--expect-no-changes", "--non-interactive").returncode == 0


def changed(up: Sandbox, path: str, value: Any) -> dict[str, Any]:
    """The stack's tree with one value set."""
    cluster = json.loads(json.dumps(up.cluster()))
    place = cluster
    *steps, last = path.split("/")
    for step in steps:
        place = place.setdefault(step, {})
    place[last] = value
    return dict(cluster)


BIG = {"file": "big.gguf", "repo": "a/b", "size": 10**15}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"expertz": {}}, "hearth:cluster.expertz: unknown key; did you mean 'experts'?"),
        (
            {"experts/general/slots": "two"},
            "experts.general.slots: 'two' is refused",
        ),
        (
            {"models/big": BIG, "experts/general/ladder": ["big"]},
            "experts.general.ladder: no model of it fits on any host: big needs",
        ),
    ],
)
def test_bad_input_is_one_message_without_a_traceback(
    up: Sandbox, settings: dict[str, Any], expected: str
) -> None:
    before = up.cluster()
    cluster = before
    for path, value in settings.items():
        up.write(cluster)
        cluster = changed(up, path, value)
    up.write(cluster)
    try:
        for done in (up.hearth("preview"), up.pulumi("preview", "--non-interactive")):
            text = done.stdout + done.stderr
            assert done.returncode != 0
            assert expected in text
            assert "Traceback" not in text
    finally:
        up.write(before)


def test_a_taken_port_is_named_with_its_holder_before_anything_changes(up: Sandbox) -> None:
    before = up.cluster()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        # Sandbox.write puts its own ports in, so the text is changed instead.
        file = up.root / "Pulumi.dev.yaml"
        text = file.read_text()
        file.write_text(text.replace(f"port: {up.ports.gateway}", f"port: {port}"))
        try:
            done = up.hearth("up", "--yes")
        finally:
            up.write(before)
    assert done.returncode != 0
    assert f"port {port} is taken by" in done.stderr
    assert "fix: stop that program" in done.stderr
    assert up.pulumi("preview", "--expect-no-changes", "--non-interactive").returncode == 0


def test_a_full_disk_is_named_with_what_is_needed(up: Sandbox) -> None:
    before = up.cluster()
    free_mib = shutil.disk_usage(up.root).free // 1024**2
    models = {
        f"m{n}": {"file": f"m{n}", "repo": "a/b", "size": 1024**3, "kv-bytes-per-token": 1}
        for n in range(free_mib // 1024 + 2)
    }
    cluster = {**before, "models": models}
    cluster["experts"] = {
        "general": {**before["experts"]["general"], "ladder": [*models, "selftest"]}
    }
    up.write(cluster)
    try:
        done = up.hearth("up", "--yes")
    finally:
        up.write(before)
    assert done.returncode != 0
    assert "MiB are needed" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_secrets_are_in_no_process_no_log_and_no_plain_state(up: Sandbox) -> None:
    outputs = up.outputs()
    secrets = [outputs["gateway-key"].encode(), outputs["nomad-token"].encode()]
    state = up.root / ".hearth"
    for file in state.rglob("*"):
        # A task's own secrets directory is where secrets belong; Nomad's store is its database.
        if not file.is_file() or "secrets" in file.parts or "server" in file.parts:
            continue
        content = file.read_bytes() if os.access(file, os.R_OK) else b""
        assert not any(secret in content for secret in secrets), file
    for pid in up.processes():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        assert not any(secret in line for secret in secrets)
