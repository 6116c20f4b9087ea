"""The runner and the built-in model with a real llama-server, named by HEARTH_LLAMA_SERVER."""

import dataclasses
import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from contract.expert_settings import Rung
from expert_runner import selftest
from expert_runner.flags import Listen, llama_flags
from expert_runner.gguf_writer import Quant

SERVER = os.environ.get("HEARTH_LLAMA_SERVER", "")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        not Path(SERVER or "/nowhere").is_file(),
        reason="HEARTH_LLAMA_SERVER names no llama-server binary",
    ),
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture
def live(scene):
    """The scene with the real program in place of the fake one."""
    (scene.folder / "llama-server").unlink()
    (scene.folder / "llama-server").symlink_to(SERVER)
    scene.overrides["start_timeout_s"] = 30.0
    return scene


def chat(scene, **fields) -> dict:
    key = (scene.folder / "key").read_text().strip()
    question = {"messages": [{"role": "user", "content": "What is the zebrafinch doing?"}]} | fields
    request = urllib.request.Request(
        f"http://127.0.0.1:{scene.port}/v1/chat/completions",
        json.dumps(question).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.mark.parametrize("quant", [Quant.F16, Quant.Q8_0, Quant.Q4_0])
def test_the_built_in_model_says_its_sentence_fills_schemas_and_calls_tools(live, run, quant):
    live.model = selftest.build(quant)
    live.rung("selftest")
    run().wait_serving("selftest")
    for temperature in (0.0, 0.8, 1.2):
        choice = chat(live, temperature=temperature)["choices"][0]
        assert choice["message"]["content"] == selftest.SENTENCE
        assert choice["finish_reason"] == "stop"
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "tags": {"type": "array"}},
        "required": ["name", "tags"],
    }
    shape = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    filled = chat(live, response_format=shape, max_tokens=400)["choices"][0]
    assert filled["finish_reason"] == "stop"
    assert set(json.loads(filled["message"]["content"])) == {"name", "tags"}
    called = chat(live, tools=[WEATHER], tool_choice="required", max_tokens=400)["choices"][0]
    assert called["finish_reason"] == "tool_calls"
    arguments = called["message"]["tool_calls"][0]["function"]["arguments"]
    assert set(json.loads(arguments)) == {"city"}


def test_a_model_cut_off_in_its_weights_falls_through_to_the_next_rung(live, run):
    live.rung("big").write_bytes(live.model[: len(live.model) // 2])
    live.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    assert "failed expert=general rung=big" in running.log


def test_an_unknown_flag_ends_the_real_program_so_the_rendered_ones_are_all_known(live):
    path = live.rung("selftest")
    listen = Listen(host="127.0.0.1", port=live.port, api_key_file=str(live.folder / "key"))
    flags = llama_flags(live.settings, Rung(name="m", path=str(path)), listen)
    done = subprocess.run([SERVER, *flags, "--no-such-flag"], capture_output=True, text=True)
    assert "invalid argument: --no-such-flag" in done.stdout + done.stderr


def test_a_killed_server_is_back_within_seconds(live, run):
    live.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    os.kill(live.server_pid(), signal.SIGKILL)
    running.wait_for(lambda: running.log.count("info serving") == 2)
    assert chat(live)["choices"][0]["message"]["content"] == selftest.SENTENCE


def test_a_stopped_server_is_replaced(live, run):
    live.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    os.kill(live.server_pid(), signal.SIGSTOP)
    running.wait_for(lambda: running.log.count("info serving") == 2)
    assert chat(live)["model"] == "selftest"


def test_a_better_rung_takes_over(live, run, fast):
    path = live.rung("big", present=False)
    live.rung("selftest")
    running = run(dataclasses.replace(fast, stable_s=60.0))
    running.wait_serving("selftest")
    path.write_bytes(live.model)
    running.wait_serving("big")
    assert chat(live)["model"] == "big"


def test_neither_prompt_nor_key_reaches_the_logs(live, run, capfd):
    live.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    chat(live)
    assert running.end() == 0
    time.sleep(0.1)
    output = "".join(capfd.readouterr()) + running.log
    assert "print_timing" in output
    assert "zebrafinch" not in output
    assert (live.folder / "key").read_text().strip() not in output
