"""The command line of llama-server. That the real program takes it is shown in test_live.py."""

from contract.expert_settings import ExpertSettings
from expert_runner.flags import Listen, llama_flags

SETTINGS = ExpertSettings.model_validate(
    {
        "expert": "general",
        "llama_server": "/opt/llama-server",
        "ladder": [{"name": "m:q4", "path": "/models/m.gguf"}],
        "context_tokens": 4096,
        "slots": 3,
        "threads": 2,
        "memory_limit_mib": 4096,
        "state_file": "/tmp/state.json",
    }
)
LISTEN = Listen(host="10.0.0.5", port=20123, api_key_file="/secrets/key")


def value(flag: str) -> str:
    flags = llama_flags(SETTINGS, SETTINGS.ladder[0], LISTEN)
    return flags[flags.index(flag) + 1]


def test_the_context_is_that_of_all_slots_together():
    assert value("-c") == "12288"


def test_the_server_calls_itself_by_the_name_of_its_rung():
    assert value("--alias") == "m:q4"


def test_the_key_travels_as_a_file_and_never_as_an_argument():
    flags = llama_flags(SETTINGS, SETTINGS.ladder[0], LISTEN)
    assert value("--api-key-file") == "/secrets/key"
    assert "--api-key" not in flags


def test_no_size_is_left_to_the_servers_own_defaults():
    flags = llama_flags(SETTINGS, SETTINGS.ladder[0], LISTEN)
    assert {"-c", "-np", "-t", "-b", "-ub", "--cache-ram", "--host", "--port"} <= set(flags)


def purpose(*capabilities: str) -> list[str]:
    settings = SETTINGS.model_copy(update={"capabilities": list(capabilities)})
    return llama_flags(settings, settings.ladder[0], LISTEN)


def test_an_expert_that_embeds_pools_and_takes_a_whole_batch_at_once():
    flags = purpose("embeddings")
    assert flags[flags.index("--pooling") + 1] == "mean"
    assert "--embeddings" in flags
    assert flags[len(flags) - flags[::-1].index("-ub")] == str(SETTINGS.batch_tokens)


def test_an_expert_that_reranks_is_started_for_that():
    assert "--rerank" in purpose("rerank")
    assert not {"--rerank", "--embeddings"} & set(purpose("chat"))
