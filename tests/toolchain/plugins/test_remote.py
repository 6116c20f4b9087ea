"""Remote commands against a real SSH server in this process."""

import socket
import threading
import time
from typing import Any

import asyncssh
import pytest

from toolchain.plugins.command.connection import checked, route
from toolchain.plugins.command.remote import RemoteCommand
from toolchain.plugins.command.ssh import Sessions
from toolchain.plugins.errors import PluginError
from toolchain.plugins.values import SECRET, SIGNATURE, UNKNOWN, is_secret, reveal, secret

PASSPHRASE = "open sesame"


@pytest.fixture
def command() -> RemoteCommand:
    return RemoteCommand(Sessions(first_delay_s=0.01))


def run(command: RemoteCommand, log: Any, connection: dict[str, Any], **inputs: Any) -> Any:
    full = command.check("r", {}, {"connection": connection, **inputs})
    assert not full.failures, full.failures
    return command.create("r", full.inputs, preview=False, timeout_s=0, log=log)


def failure(command: RemoteCommand, log: Any, connection: dict[str, Any], **inputs: Any) -> str:
    with pytest.raises(PluginError) as caught:
        run(command, log, connection, **{"create": "true", **inputs})
    return str(caught.value)


# --- what Check makes of a connection -------------------------------------------------------------


def test_check_fills_the_defaults_and_marks_the_inner_secrets() -> None:
    given = {"host": "h", "privateKey": "K", "password": "P", "proxy": {"host": "p"}}
    inputs, failures = checked("CommandInputs", {"connection": given})
    connection = inputs["connection"]
    assert not failures
    assert connection[SIGNATURE] == SECRET
    inner = connection["value"]
    assert is_secret(inner["privateKey"])
    assert is_secret(inner["password"])
    assert reveal(inner) == {
        "user": "root",
        "port": 22,
        "dialErrorLimit": 10,
        "perDialTimeout": 15,
        "host": "h",
        "privateKey": "K",
        "password": "P",
        "proxy": {
            "host": "p",
            "user": "root",
            "port": 22,
            "dialErrorLimit": 10,
            "perDialTimeout": 15,
        },
    }


def test_checking_a_checked_connection_again_changes_nothing() -> None:
    once, _ = checked("CommandInputs", {"connection": {"host": "h", "privateKey": "K"}})
    assert checked("CommandInputs", once) == (once, [])


@pytest.mark.parametrize("connection", [UNKNOWN, secret(UNKNOWN), {"host": UNKNOWN, "port": 7}])
def test_an_unknown_host_makes_the_whole_connection_one_unknown_secret(connection: Any) -> None:
    inputs, failures = checked("CommandInputs", {"connection": connection})
    assert not failures
    assert inputs["connection"] == secret(UNKNOWN)


def test_a_missing_connection_or_host_is_refused_in_the_official_words() -> None:
    _, (nothing,) = checked("CommandInputs", {})
    assert nothing.reason == "Missing required field 'connection' on 'remote.CommandInputs'"
    _, (hostless,) = checked("CommandInputs", {"connection": {"port": 22}})
    assert hostless.reason == (
        "An error occurred decoding 'CommandInputs.connection': 1 failures decoding: "
        "host: Missing required field 'host' on 'remote.Connection'"
    )


def test_an_endpoint_does_not_show_its_secrets_in_its_repr() -> None:
    way = route(
        {"host": "h", "privateKey": "KEY!", "password": "PASS!", "privateKeyPassword": "W!"}
    )
    assert all(word not in repr(way) for word in ("KEY!", "PASS!", "W!"))


def test_a_changed_detail_of_the_connection_is_one_change_of_the_connection(
    command: RemoteCommand,
) -> None:
    old, _ = checked("CommandInputs", {"connection": {"host": "h"}})
    new, _ = checked("CommandInputs", {"connection": {"host": "h", "dialErrorLimit": 3}})
    assert dict(command.diff(old, new, old).changes) == {"connection": "UPDATE"}
    assert not command.diff(old, old, old).changes


# --- running --------------------------------------------------------------------------------------


def test_a_preview_dials_nobody(command: RemoteCommand, log: Any) -> None:
    inputs = command.check("r", {}, {"connection": {"host": "no.such.invalid"}, "create": "x"})
    made = command.create("r", inputs.inputs, preview=True, timeout_s=0, log=log)
    assert made.outputs["stdout"] == UNKNOWN


def test_output_is_trimmed_by_one_newline_and_shown_line_by_line(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    text = "printf 'a\\nb\\n\\n'; echo warn >&2"
    made = run(command, log, ssh_server.connection(), create=text)
    assert made.outputs["stdout"] == "a\nb\n"
    assert made.outputs["stderr"] == "warn"
    assert {"a", "b", "warn"} <= set(log.lines)
    assert made.id.startswith("r")
    assert len(made.id) == 9


def test_logging_none_shows_no_output(command: RemoteCommand, ssh_server: Any, log: Any) -> None:
    made = run(command, log, ssh_server.connection(), create="echo a", logging="none")
    assert made.outputs["stdout"] == "a"
    assert log.lines == []


def test_stdin_reaches_the_command_and_ends(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    long = "x" * 300_000
    made = run(command, log, ssh_server.connection(), create="wc -c", stdin=long)
    assert made.outputs["stdout"].strip() == "300000"
    assert run(command, log, ssh_server.connection(), create="cat").outputs["stdout"] == ""


def test_a_command_that_ignores_its_stdin_succeeds(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    made = run(command, log, ssh_server.connection(), create="echo done", stdin="x" * 300_000)
    assert made.outputs["stdout"] == "done"


def test_one_line_of_200_000_characters_does_not_hang(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    made = run(
        command, log, ssh_server.connection(), create="head -c 200000 /dev/zero | tr '\\0' x"
    )
    assert made.outputs["stdout"] == "x" * 200_000


def test_an_exit_code_is_told_with_the_quoted_command_and_all_output(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    text = 'echo "one"\nexit 7'
    assert failure(command, log, ssh_server.connection(), create=text) == (
        'Process exited with status 7: running "echo \\"one\\"\\nexit 7":\none\n'
    )


def test_a_signal_is_told_by_name(command: RemoteCommand, ssh_server: Any, log: Any) -> None:
    words = failure(command, log, ssh_server.connection(), create="kill -KILL $$")
    assert words.startswith("Process exited with status 137 from signal KILL: running ")


def test_an_accepted_variable_arrives(command: RemoteCommand, ssh_server: Any, log: Any) -> None:
    made = run(
        command,
        log,
        ssh_server.connection(),
        create='printf %s "$GREETING"',
        environment={"GREETING": "hi there"},
    )
    assert made.outputs["stdout"] == "hi there"


def test_a_refused_variable_fails_before_the_command_runs(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    words = failure(
        command, log, ssh_server.connection(), create="echo ran", environment={"BAR": "secret!"}
    )
    assert 'could not set environment variable "BAR": ssh: setenv failed' in words
    assert "secret!" not in words
    assert "echo ran" not in ssh_server.commands


def test_an_update_sees_the_output_before_and_keeps_it_when_nothing_runs(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    first = command.check(
        "r", {}, {"connection": ssh_server.connection(), "create": "echo before"}
    ).inputs
    made = command.create("r", first, preview=False, timeout_s=0, log=log)
    second = {**first, "update": 'echo "was $PULUMI_COMMAND_STDOUT"'}
    updated = command.update(
        made.id, made.outputs, first, second, preview=False, timeout_s=0, log=log
    )
    assert updated["stdout"] == "was before"


def test_delete_runs_with_the_saved_connection(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    made = run(command, log, ssh_server.connection(), create="true", delete="echo bye-bye")
    command.delete(made.id, made.outputs, timeout_s=0, log=log)
    assert "echo bye-bye" in ssh_server.commands


# --- logging in -----------------------------------------------------------------------------------


def test_a_password_opens_as_well(command: RemoteCommand, ssh_server: Any, log: Any) -> None:
    connection = ssh_server.connection(privateKey=None, password="s3cret")
    assert run(command, log, connection, create="echo in").outputs["stdout"] == "in"


def test_an_encrypted_key_opens_with_its_passphrase(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    connection = ssh_server.connection(
        privateKey=ssh_server.encrypted_key, privateKeyPassword=PASSPHRASE
    )
    assert run(command, log, connection, create="echo in").outputs["stdout"] == "in"


def test_the_right_host_key_is_let_through(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    connection = ssh_server.connection(hostKey=ssh_server.host_key)
    assert run(command, log, connection, create="echo in").outputs["stdout"] == "in"


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_another_host_key_stops_before_anything_runs(
    command: RemoteCommand, ssh_server: Any, log: Any, kind: str
) -> None:
    other = asyncssh.generate_private_key(kind).export_public_key().decode()
    words = failure(command, log, ssh_server.connection(hostKey=other), create="echo must-not-run")
    assert words == "after 0 failed attempts: ssh: handshake failed: ssh: host key mismatch"
    assert "echo must-not-run" not in ssh_server.commands


def test_a_refused_dial_is_repeated_up_to_the_limit(command: RemoteCommand, log: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = failure(command, log, {"host": "127.0.0.1", "port": port, "dialErrorLimit": 2})
    assert words == (
        f"after 2 failed attempts: dial tcp 127.0.0.1:{port}: connect: connection refused"
    )
    assert log.lines == ["Dial 1/2 failed: retrying", "Dial 2/2 failed: retrying"]


def test_a_silent_server_is_given_up_after_the_dial_timeout(
    command: RemoteCommand, log: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        connection = {"host": "127.0.0.1", "port": port, "dialErrorLimit": 0, "perDialTimeout": 0.3}
        words = failure(command, log, connection)
    assert words == f"after 0 failed attempts: dial tcp 127.0.0.1:{port}: i/o timeout"


def test_a_wrong_key_and_no_key_name_what_was_tried(
    command: RemoteCommand, ssh_server: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    rest = "no supported methods remain"
    start = "after 0 failed attempts: ssh: handshake failed: ssh: unable to authenticate"
    words = failure(command, log, ssh_server.connection(privateKey=other))
    assert words == f"{start}, attempted methods [none publickey], {rest}"
    words = failure(command, log, ssh_server.connection(privateKey=None))
    assert words == f"{start}, attempted methods [none], {rest}"


def test_unusable_keys_are_told_apart_and_never_shown(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    closed = ssh_server.encrypted_key
    cases = [
        ({"privateKey": "garbage"}, "ssh: no key found"),
        ({"privateKey": closed}, "ssh: this private key is passphrase protected"),
        (
            {"privateKey": closed, "privateKeyPassword": "nope"},
            "x509: decryption password incorrect",
        ),
        ({"hostKey": "garbage"}, "failed to parse host key: ssh: no key found"),
    ]
    for change, words in cases:
        assert failure(command, log, ssh_server.connection(**change, dialErrorLimit=5)) == words
    assert log.lines == []  # none of them is worth a second try


def test_an_agent_that_was_asked_for_must_be_there(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    words = failure(command, log, ssh_server.connection(agentSocketPath="/nope"))
    assert words == "dial unix /nope: connect: no such file or directory"


def test_a_command_goes_through_a_proxy(command: RemoteCommand, ssh_server: Any, log: Any) -> None:
    connection = ssh_server.connection(proxy=ssh_server.connection())
    assert run(command, log, connection, create="echo far").outputs["stdout"] == "far"


def test_what_fails_behind_a_proxy_says_so(
    command: RemoteCommand, ssh_server: Any, log: Any
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    connection = ssh_server.connection(port=port, proxy=ssh_server.connection())
    words = failure(command, log, connection)
    assert words.startswith("proxy: after 0 failed attempts: ssh: rejected: connect failed (")


def test_cancelling_ends_a_running_command(ssh_server: Any, log: Any) -> None:
    sessions = Sessions()
    command = RemoteCommand(sessions)
    found: list[str] = []

    def work() -> None:
        found.append(
            failure(command, log, ssh_server.connection(), create="echo up; exec sleep 60")
        )

    thread = threading.Thread(target=work)
    thread.start()
    end = time.monotonic() + 10
    while "up" not in log.lines and time.monotonic() < end:
        time.sleep(0.02)
    assert "up" in log.lines
    sessions.cancel_all()
    thread.join(10)
    assert found == ["the operation was cancelled"]
