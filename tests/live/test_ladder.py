"""The failover ladder on real servers: whatever a rung dies of, the next one serves and says so."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gguf
import openai
import pytest
from sandbox import CHECKOUT, Ports, Sandbox

from components.stack import cache_dir

BAD = {"gone": "404", "corrupt": "corrupt", "huge": "needs", "crash": "crash"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def selftest_model(path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "expert_runner.selftest", str(path)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}/images/base:{CHECKOUT}/images/llama"},
    )


def huge_model(path: Path) -> None:
    """A header that asks for gigabytes of cache; it has no weights, nothing may get that far."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(8192)
    writer.add_embedding_length(8192)
    writer.add_block_count(64)
    writer.add_feed_forward_length(32768)
    writer.add_head_count(64)
    writer.add_head_count_kv(64)
    writer.add_vocab_size(32000)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def crashing_cache(folder: Path) -> None:
    """The user's cache, with a llama-server that dies of SIGSEGV for one file name."""
    real = cache_dir()
    shutil.copytree(real, folder, symlinks=True, copy_function=os.link)
    builds = [path for path in (folder / "llama.cpp").glob("*/*/bin") if "src" not in path.parts]
    assert builds, f"there is no llama.cpp build in {real}; run: hearth up"
    for build in builds:
        server = build / "llama-server"
        server.rename(build / "llama-server.real")
        server.write_text(
            '#!/bin/bash\ncase "$*" in *crash.gguf*) kill -SEGV $$ ;; esac\n'
            'exec "$(dirname "$0")/llama-server.real" "$@"\n'
        )
        server.chmod(0o755)
        sums = "".join(
            f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
            for file in sorted(build.iterdir())
        )
        listed = build.parent / "SHA256SUMS"
        listed.unlink()
        listed.write_text(sums)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("hub")
    selftest_model(folder / "good.gguf")
    shutil.copy(folder / "good.gguf", folder / "crash.gguf")
    whole = (folder / "good.gguf").read_bytes()
    (folder / "corrupt.gguf").write_bytes(whole[:64] + bytes(len(whole) - 64))
    huge_model(folder / "huge.gguf")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()


@pytest.fixture(scope="module")
def ladders(hub: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    url, folder = hub
    root = tmp_path_factory.mktemp("ladder")
    crashing_cache(root / "cache")
    sandbox = Sandbox(
        root=root / "c",
        ports=Ports(nomad=17846, gateway=18200, dynamic=(26000, 26500)),
        environment={"HEARTH_CACHE": str(root / "cache")},
    )
    sandbox.make()
    cluster = sandbox.cluster()

    def size(name: str) -> int:
        file = folder / f"{name}.gguf"
        return file.stat().st_size if file.exists() else 1000

    cluster["models"] = {
        name: {
            "url": f"{url}/{name}.gguf",
            "file": f"{name}.gguf",
            "size": size(name),
            # Understated on purpose: the plan believes it, the runner must not.
            "kv-bytes-per-token": 1,
        }
        for name in [*BAD, "good"]
    }
    cluster["experts"] = {
        name: {
            "ladder": [name, "selftest"],
            "context-tokens": 2048,
            "slots": 1,
            "prompt-cache-mib": 0,
            "threads": 1,
        }
        for name in [*BAD, "good"]
    }
    cluster["gateway"] = {"aliases": {}}
    sandbox.write(cluster)
    try:
        done = sandbox.hearth("up", "--yes")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        yield sandbox
    finally:
        sandbox.hearth("down", "--yes")


def ask(ladders: Sandbox, expert: str) -> Any:
    outputs = ladders.outputs()
    client = openai.OpenAI(base_url=outputs["gateway-url"], api_key=outputs["gateway-key"])
    return client.chat.completions.with_raw_response.create(
        model=expert, messages=[{"role": "user", "content": "hi"}]
    )


@pytest.mark.parametrize("expert", sorted(BAD))
def test_the_next_rung_serves_and_the_answer_says_so(ladders: Sandbox, expert: str) -> None:
    raw = ask(ladders, expert)
    assert raw.parse().choices[0].message.content
    assert raw.headers["x-hearth-model"] == "selftest"
    assert raw.headers["x-hearth-degraded"] == "selftest"


def test_the_first_rung_serves_without_a_warning_when_it_can(ladders: Sandbox) -> None:
    raw = ask(ladders, "good")
    assert raw.parse().model == "good"
    assert "x-hearth-degraded" not in raw.headers


def test_status_and_metrics_name_every_degraded_expert(ladders: Sandbox) -> None:
    status = ladders.hearth("status")
    rows = {line.split()[0]: line for line in status.stdout.splitlines() if line.strip()}
    assert all("degraded" in rows[expert] for expert in BAD)
    assert rows["good"].split()[-1] == "ok"
    assert "gone.gguf is not available" in status.stderr
    base = ladders.outputs()["gateway-url"].removesuffix("/v1")
    with urllib.request.urlopen(f"{base}/metrics", timeout=10) as response:
        metrics = response.read().decode()
    for expert in BAD:
        (line,) = [
            line
            for line in metrics.splitlines()
            if line.startswith("hearth_gateway_degraded") and f'"{expert}"' in line
        ]
        assert line.endswith((" 1", " 1.0"))


@pytest.mark.parametrize(("expert", "word"), sorted(BAD.items()))
def test_the_log_says_why_a_rung_was_passed_over(ladders: Sandbox, expert: str, word: str) -> None:
    log = ladders.hearth("logs", expert).stdout
    about = [line for line in log.splitlines() if f"rung={expert}" in line and "why=" in line]
    assert about, log[-2000:]
    expected = "missing" if expert == "gone" else word
    if expert == "crash":
        expected = "SIGSEGV"
    if expert == "corrupt":
        expected = ""
    assert expected in about[0], about[0]


def test_a_model_that_arrives_later_is_taken_up_by_itself(
    ladders: Sandbox, hub: tuple[str, Path]
) -> None:
    _, folder = hub
    models = ladders.root / ".hearth" / "dev" / "models"
    good = (folder / "good.gguf").read_bytes()
    # The file that arrives must be what the stack file promises.
    cluster = ladders.cluster()
    cluster["models"]["gone"]["size"] = len(good)
    (folder / "gone.gguf").write_bytes(good)
    ladders.write(cluster)
    done = ladders.hearth("up", "--yes")
    assert done.returncode == 0, done.stderr
    assert (models / "gone.gguf").exists()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        raw = ask(ladders, "gone")
        if raw.headers["x-hearth-model"] == "gone":
            assert "x-hearth-degraded" not in raw.headers
            return
        time.sleep(1)
    pytest.fail("the arrived model was never taken up")
