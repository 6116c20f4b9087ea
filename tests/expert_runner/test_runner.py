"""The runner's order of events, with a fake llama-server for each way a real one fails."""

import dataclasses
import http.client
import json
import os
import signal
import socket
import threading
import time

import pytest

FAILURES = {
    "truncated file or unknown flag": (
        {"exit": 1, "warning": "llama_model_load: error loading model: tensor data out of bounds"},
        "exit status 1: llama_model_load: error loading model",
    ),
    "allocation refused": (
        {"exit": 1, "warning": "failed to allocate buffer of size 107374182400"},
        "exit status 1: failed to allocate buffer",
    ),
    "out of memory": ({"signal": signal.SIGKILL}, "killed by SIGKILL (most likely out of memory)"),
    "out of memory, seen from a container": ({"exit": 137}, "killed by SIGKILL"),
    "illegal instruction": ({"signal": signal.SIGILL}, "uses instructions this CPU lacks"),
    "RPC worker gone": ({"signal": signal.SIGABRT}, "killed by SIGABRT"),
    "never ready": ({"loading_s": "never"}, "not ready after 1 s"),
    "ready without an answer": ({"refuse": 500}, "answered HTTP 500: cannot decode"),
    "ready without a token": ({"no_token": True}, "produced no token"),
    "quiet end": ({"exit": 0}, "ended without being asked"),
}


@pytest.mark.parametrize(("behaviour", "reason"), FAILURES.values(), ids=FAILURES.keys())
def test_a_rung_that_fails_to_start_is_remembered_and_the_next_one_serves(
    scene, run, behaviour, reason
):
    scene.overrides["start_timeout_s"] = 1.0
    scene.rung("big", **behaviour)
    scene.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    assert reason in running.log
    remembered = json.loads((scene.folder / "state" / "failures.json").read_text())
    assert list(remembered) == ["big"]
    assert reason in remembered["big"]["reason"]


@pytest.mark.parametrize("content", [b"", b"GGU", b"junk" * 100, b"GGUF\xff\xff\xff\xff" * 9])
def test_a_damaged_file_is_never_started_and_the_next_rung_serves(scene, run, content):
    scene.rung("big").write_bytes(content)
    scene.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    assert "starting expert=general rung=big" not in running.log


def test_a_warning_at_start_is_no_failure(scene, run):
    scene.rung("big", warning="warning: failed to mlock buffer: Cannot allocate memory")
    scene.rung("selftest")
    run().wait_serving("big")


def test_a_rung_too_large_for_its_job_is_not_started(scene, run):
    scene.overrides["memory_limit_mib"] = 20
    scene.rung("big")
    running = run()
    assert running.join() == 1
    assert "only 20 MiB may be used" in running.log
    assert "starting" not in running.log


def test_a_rung_too_large_for_what_the_host_has_left_yields_to_one_that_fits(scene, run):
    scene.available_mib = 512 + 90
    path = scene.rung("big")
    path.write_bytes(scene.model + bytes(70 * 1024 * 1024))
    scene.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    assert "only 81 MiB may be used" in running.log


def test_a_larger_rung_takes_over_once_memory_is_free_again(scene, run):
    scene.available_mib = 512 + 90
    path = scene.rung("big")
    path.write_bytes(scene.model + bytes(70 * 1024 * 1024))
    scene.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    scene.available_mib = 4096
    running.wait_serving("big")


def test_when_no_rung_works_the_runner_says_why_for_each_and_ends_with_1(scene, run):
    scene.rung("absent", present=False)
    scene.rung("broken", exit=1)
    running = run()
    assert running.join() == 1
    table = running.log[running.log.index("no rung of the ladder works") :]
    assert "1. absent  " in table
    assert "absent.gguf is missing" in table
    assert "2. broken  exit status 1" in table


def test_a_rung_that_failed_before_is_not_tried_while_another_one_serves(scene, run):
    scene.rung("big", exit=1)
    scene.rung("selftest")
    first = run()
    first.wait_serving("selftest")
    first.end()
    second = run()
    second.wait_serving("selftest")
    assert "starting expert=general rung=big" not in second.log
    assert "next try in" in second.log


def test_a_rung_that_failed_before_is_tried_when_nothing_else_is_left(scene, run):
    scene.rung("big", exit=1)
    assert run().join() == 1
    scene.behave("big")
    run().wait_serving("big")


def test_a_changed_file_is_tried_at_once_although_the_old_one_failed(scene, run):
    path = scene.rung("big", exit=1)
    scene.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    scene.behave("big")
    path.write_bytes(path.read_bytes() + bytes(32))
    running.wait_serving("big")


def test_a_better_rung_takes_over_once_its_file_appears(scene, run):
    path = scene.rung("big", present=False)
    scene.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    path.write_bytes(scene.model)
    running.wait_serving("big")


def test_a_better_rung_waits_until_no_request_is_in_flight(scene, run):
    path = scene.rung("big", present=False)
    scene.rung("selftest", busy=1)
    running = run()
    running.wait_serving("selftest")
    path.write_bytes(scene.model)
    time.sleep(0.5)
    assert scene.serving() == "selftest"
    scene.behave("selftest")
    running.wait_serving("big")


def test_a_file_that_still_grows_does_not_interrupt_the_rung_that_serves(scene, run):
    path = scene.rung("big", present=False)
    scene.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    grown = scene.model
    for _ in range(25):
        grown += bytes(32)
        path.write_bytes(grown)
        time.sleep(0.02)
    assert "a better rung" not in running.log
    running.wait_serving("big")


def test_a_server_that_dies_after_proving_itself_is_restarted_on_the_same_rung(scene, run):
    scene.rung("big")
    scene.rung("selftest")
    running = run()
    running.wait_serving("big")
    time.sleep(0.8)
    os.kill(scene.server_pid(), signal.SIGKILL)
    running.wait_for(lambda: running.log.count("serving expert=general rung=big") == 2)
    assert "died, restarting" in running.log
    assert not (scene.folder / "state" / "failures.json").exists()


def test_the_third_young_death_sends_the_expert_one_rung_down(scene, run, fast):
    scene.rung("big")
    scene.rung("selftest")
    running = run(dataclasses.replace(fast, stable_s=60.0))
    for life in range(1, 4):
        running.wait_for(
            lambda life=life: running.log.count("serving expert=general rung=big") == life
        )
        os.kill(scene.server_pid(), signal.SIGKILL)
    running.wait_serving("selftest")
    assert running.log.count("died young, restarting") == 2
    assert "died 3 times soon after start: killed by SIGKILL" in running.log


@pytest.mark.parametrize(
    ("fault", "start_timeout_s", "words"),
    [
        ({"frozen": True}, 60.0, "no answer to anything for"),
        ({"stuck": True}, 1.0, "no progress for 1 s"),
    ],
)
def test_a_server_that_stalls_is_replaced(scene, run, fault, start_timeout_s, words):
    scene.overrides["start_timeout_s"] = start_timeout_s
    scene.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    scene.behave("selftest", **fault)
    running.wait_for(lambda: words in running.log)
    scene.behave("selftest")
    running.wait_for(lambda: running.log.count("info serving") == 2)
    running.wait_for(lambda: scene.serving() == "selftest")


def test_an_idle_server_must_produce_a_token_now_and_then(scene, run, fast):
    scene.overrides["start_timeout_s"] = 1.0
    scene.rung("selftest")
    pulse = dataclasses.replace(fast.pulse, idle_check_s=0.1)
    running = run(dataclasses.replace(fast, pulse=pulse))
    running.wait_serving("selftest")
    scene.behave("selftest", refuse=500)
    running.wait_for(lambda: "no progress for 1 s" in running.log)


def test_stop_ends_with_0_and_leaves_nothing_on_the_port(scene, run):
    scene.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    assert running.end() == 0
    assert scene.serving() is None


def test_stop_while_a_model_loads_ends_with_0_and_blames_no_rung(scene, run):
    scene.rung("selftest", loading_s="never")
    running = run()
    running.wait_for(lambda: "starting" in running.log)
    assert running.end() == 0
    assert not (scene.folder / "state" / "failures.json").exists()


def test_stop_lets_a_request_in_flight_end(scene, run, fast):
    scene.rung("selftest")
    running = run(dataclasses.replace(fast, drain_s=10.0))
    running.wait_serving("selftest")
    scene.behave("selftest", thinks_s=0.6)
    answers: list[int] = []
    client = threading.Thread(target=lambda: answers.append(ask(scene.port)))
    client.start()
    time.sleep(0.2)
    assert running.end() == 0
    client.join()
    assert answers == [200]


def test_a_request_that_outlasts_the_grace_does_not_hold_the_runner(scene, run):
    scene.rung("selftest")
    running = run()
    running.wait_serving("selftest")
    scene.behave("selftest", thinks_s=60)
    threading.Thread(target=lambda: ask(scene.port), daemon=True).start()
    time.sleep(0.2)
    assert running.end(seconds=8) == 0


def test_a_second_stop_does_not_wait_for_requests(scene, run, fast):
    scene.rung("selftest")
    running = run(dataclasses.replace(fast, drain_s=60.0))
    running.wait_serving("selftest")
    scene.behave("selftest", thinks_s=60)
    threading.Thread(target=lambda: ask(scene.port), daemon=True).start()
    time.sleep(0.2)
    running.runner.stop()
    assert running.end(seconds=8) == 0


def test_a_busy_port_is_reported_as_such_and_blamed_on_no_rung(scene, run):
    scene.rung("selftest")
    with socket.socket() as other:
        other.bind(("127.0.0.1", scene.port))
        other.listen()
        running = run()
        assert running.join() is None
    assert str(running.error) == f"cannot use 127.0.0.1:{scene.port}: Address already in use"
    assert not (scene.folder / "state" / "failures.json").exists()


def ask(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/v1/chat/completions", b"{}")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
