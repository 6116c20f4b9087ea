"""Estimates, held against figures llama.cpp itself reports for these models."""

import pytest

from contract.expert_settings import ExpertSettings
from contract.memory import required_mib
from expert_runner.gguf_header import Header
from expert_runner.memory import HostMemory, budget_mib, model_facts, needed_mib

LFM2 = Header(
    architecture="lfm2",
    layers=16,
    embedding=2048,
    feed_forward=8192,
    vocabulary=65536,
    kv_heads=tuple(8 if layer in (2, 5, 8, 10, 12, 14) else 0 for layer in range(16)),
    key_length=64,
    value_length=64,
    file_bytes=730_895_168,
)


def settings(**changes) -> ExpertSettings:
    fields = {
        "expert": "general",
        "llama_server": "/opt/llama-server",
        "ladder": [{"name": "m", "path": "/models/m.gguf"}],
        "context_tokens": 8192,
        "slots": 1,
        "threads": 2,
        "memory_limit_mib": 4096,
        "memory_reserve_mib": 512,
        "state_file": "/tmp/state.json",
    }
    return ExpertSettings.model_validate(fields | changes)


def test_layers_without_a_cache_cost_none():
    assert model_facts(LFM2).kv_bytes_per_token == 12_288


def test_the_need_is_the_shared_estimate():
    estimate = required_mib(
        model_facts(LFM2), context_tokens=8192, slots=1, ubatch_tokens=128, prompt_cache_mib=0
    )
    assert 800 < estimate < 950  # 0.9 GB in practice
    assert needed_mib(LFM2, settings()) == estimate


@pytest.mark.parametrize(
    ("changes", "more_mib"),
    [({"slots": 2}, 96), ({"context_tokens": 16384}, 96), ({"prompt_cache_mib": 200}, 200)],
)
def test_slots_context_and_prompt_cache_raise_the_need(changes, more_mib):
    more = needed_mib(LFM2, settings(**changes)) - needed_mib(LFM2, settings())
    assert more_mib <= more <= more_mib * 1.2 + 3


def test_the_budget_is_what_the_host_has_left_after_its_reserve_and_the_margin_of_the_estimate():
    assert budget_mib(settings(), available_mib=512 + 1105, held_mib=0) == 1004


def test_the_budget_never_exceeds_the_limit_of_the_job():
    assert budget_mib(settings(), available_mib=64_000, held_mib=0) == 4096


def test_what_the_present_server_holds_counts_for_its_successor():
    assert budget_mib(settings(), available_mib=712, held_mib=905) == 1004


def test_a_host_below_its_reserve_has_room_for_the_built_in_model_and_no_other():
    assert budget_mib(settings(), available_mib=100, held_mib=0) == 64


def test_memory_is_read_from_the_kernel(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  8000 kB\nMemAvailable:    2048000 kB\n")
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\tx\nRssAnon:\t  10240 kB\n")
    memory = HostMemory(tmp_path)
    assert memory.available_mib() == 2000
    assert memory.held_mib(7) == 10
    assert memory.held_mib(8) == 0
