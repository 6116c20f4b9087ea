"""How the end of a llama-server reads in the log, and what it may see of its parent."""

import pytest

from expert_runner.errors import RungError
from expert_runner.server import ServerProcess, child_environment, describe_end


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended without being asked"),
        (1, "exit status 1"),
        (-9, "killed by SIGKILL (most likely out of memory)"),
        (137, "killed by SIGKILL (most likely out of memory)"),
        (132, "killed by SIGILL (the binary uses instructions this CPU lacks)"),
        (-15, "killed by SIGTERM"),
        (255, "exit status 255"),
    ],
)
def test_an_exit_status_is_told_in_words(code, words):
    assert describe_end(code, []) == words


def test_the_last_complaint_of_the_server_is_part_of_the_reason():
    lines = ["loading", "error: first", "E failed to load model 'x'", "bye"]
    assert describe_end(1, lines) == "exit status 1: E failed to load model 'x'"


def test_the_tasks_own_credentials_and_foreign_flags_are_withheld():
    given = {
        "PATH": "/bin",
        "NOMAD_TOKEN": "secret",
        "VAULT_TOKEN": "secret",
        "LLAMA_ARG_CTX_SIZE": "1",
        "LLAMA_API_KEY": "secret",
    }
    assert child_environment(given) == {"PATH": "/bin", "GGML_NO_BACKTRACE": "1"}


def test_a_program_that_does_not_exist_is_a_failure_of_the_rung():
    with pytest.raises(RungError, match="cannot start /no/such/program: No such file"):
        ServerProcess(["/no/such/program"])
