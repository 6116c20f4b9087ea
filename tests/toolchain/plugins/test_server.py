"""Plugin processes over real gRPC."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from toolchain.plugins.values import UNKNOWN, from_struct, is_secret, reveal, secret, to_struct
from toolchain.plugins.versions import VERSIONS

pytestmark = pytest.mark.plugin

ROOT = Path(__file__).parents[3]
COMMAND = "urn:pulumi:s::p::command:local:Command::c"


class Plugin:
    """One plugin process and a stub for it."""

    def __init__(self, name: str, *, traced: Path | None = None, **environment: str) -> None:
        options = ["-X", "importtime"] if traced else []
        self.process = subprocess.Popen(
            [sys.executable, *options, "-m", "toolchain.plugins", name],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=traced.open("wb") if traced else subprocess.PIPE,
        )
        assert self.process.stdout is not None
        port = int(self.process.stdout.readline())
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def close(self) -> tuple[int, str]:
        """Interrupt it as the engine does; the exit code and what it wrote to stderr."""
        self._channel.close()
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, (errors or b"").decode()


@contextmanager
def running(name: str, **more: Any) -> Iterator[Plugin]:
    plugin = Plugin(name, **more)
    try:
        yield plugin
    finally:
        if plugin.process.poll() is None:
            plugin.close()


@pytest.fixture(scope="module")
def command() -> Iterator[Plugin]:
    with running("command") as plugin:
        yield plugin


def failed(call: Callable[[], Any]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("name", sorted(VERSIONS))
def test_every_plugin_starts_says_its_version_and_ends_quietly(name: str) -> None:
    with running(name) as plugin:
        info = plugin.stub.GetPluginInfo(empty_pb2.Empty(), timeout=10)
        assert info.version == VERSIONS[name]
        assert plugin.close() == (0, "")


def test_a_start_imports_neither_ssh_nor_cryptography_nor_the_sdk(tmp_path: Path) -> None:
    for name in sorted(VERSIONS):
        trace = tmp_path / name
        with running(name, traced=trace):
            pass
        imported = trace.read_text()
        assert "pulumi.runtime.proto" in imported  # or the trace proves nothing
        for heavy in ("asyncssh", "cryptography", "pulumi.resource", "pulumi.runtime.rpc"):
            assert heavy not in imported, (name, heavy)


def test_an_unknown_plugin_is_refused() -> None:
    arguments = [sys.executable, "-m", "toolchain.plugins", "nonesuch"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, timeout=20, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize(("name", "accepts"), [("command", True), ("nomad", False)])
def test_configure_says_what_the_official_plugin_says(name: str, accepts: bool) -> None:
    with running(name) as plugin:
        answer = plugin.stub.Configure(provider_pb2.ConfigureRequest(), timeout=10)
        assert answer.acceptSecrets is accepts
        assert answer.supportsPreview


def test_the_token_of_the_nomad_provider_is_marked_secret() -> None:
    with running("nomad") as plugin:
        news = to_struct({"address": "http://x", "secretId": "t"})
        answer = plugin.stub.CheckConfig(provider_pb2.CheckRequest(news=news), timeout=10)
        inputs = from_struct(answer.inputs)
        assert is_secret(inputs["secretId"])
        assert inputs["address"] == "http://x"


def test_a_whole_life_over_the_wire(command: Plugin) -> None:
    stub = command.stub
    inputs = {"create": "echo hi", "environment": {"K": secret("v")}, "delete": "true"}
    checked = stub.Check(provider_pb2.CheckRequest(urn=COMMAND, news=to_struct(inputs)), timeout=10)
    assert from_struct(checked.inputs) == inputs
    preview = stub.Create(
        provider_pb2.CreateRequest(urn=COMMAND, properties=checked.inputs, preview=True), timeout=10
    )
    assert from_struct(preview.properties)["stdout"] == UNKNOWN
    made = stub.Create(
        provider_pb2.CreateRequest(urn=COMMAND, properties=checked.inputs), timeout=20
    )
    outputs = from_struct(made.properties)
    assert outputs["stdout"] == "hi"
    assert is_secret(outputs["environment"]["K"])
    same = provider_pb2.DiffRequest(
        urn=COMMAND,
        id=made.id,
        olds=made.properties,
        old_inputs=checked.inputs,
        news=checked.inputs,
    )
    assert stub.Diff(same, timeout=10).changes == provider_pb2.DiffResponse.DIFF_NONE
    other = to_struct({**inputs, "create": "echo ho"})
    changed = provider_pb2.DiffRequest(
        urn=COMMAND, id=made.id, olds=made.properties, old_inputs=checked.inputs, news=other
    )
    diff = stub.Diff(changed, timeout=10)
    assert diff.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(diff.diffs) == ["create"]
    assert diff.detailedDiff["create"].kind == provider_pb2.PropertyDiff.UPDATE
    updated = stub.Update(
        provider_pb2.UpdateRequest(
            urn=COMMAND,
            id=made.id,
            olds=made.properties,
            old_inputs=checked.inputs,
            news=other,
        ),
        timeout=20,
    )
    assert from_struct(updated.properties)["stdout"] == "ho"
    read = stub.Read(
        provider_pb2.ReadRequest(
            urn=COMMAND, id=made.id, inputs=checked.inputs, properties=made.properties
        ),
        timeout=10,
    )
    assert read.id == made.id
    assert from_struct(read.properties) == outputs
    stub.Delete(
        provider_pb2.DeleteRequest(urn=COMMAND, id=made.id, properties=made.properties), timeout=20
    )


def test_ignored_changes_are_no_difference(command: Plugin) -> None:
    request = provider_pb2.DiffRequest(
        urn=COMMAND,
        id="x",
        olds=to_struct({"create": "a"}),
        old_inputs=to_struct({"create": "a"}),
        news=to_struct({"create": "b"}),
        ignoreChanges=["create"],
    )
    answer = command.stub.Diff(request, timeout=10)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_refused_inputs_come_as_failures(command: Plugin) -> None:
    request = provider_pb2.CheckRequest(urn=COMMAND, news=to_struct({"bogus": 1}))
    (failure,) = command.stub.Check(request, timeout=10).failures
    assert failure.property == "bogus"


def test_a_failed_command_is_an_error_with_its_text(command: Plugin) -> None:
    request = provider_pb2.CreateRequest(urn=COMMAND, properties=to_struct({"create": "exit 4"}))
    error = failed(lambda: command.stub.Create(request, timeout=20))
    assert error.code() == grpc.StatusCode.UNKNOWN
    assert error.details().startswith('exit status 4: running "exit 4":')


def test_a_type_there_is_no_stand_in_for_names_the_official_plugin(command: Plugin) -> None:
    urn = COMMAND.replace("local:Command", "far:Away")
    error = failed(lambda: command.stub.Check(provider_pb2.CheckRequest(urn=urn), timeout=10))
    assert "command:far:Away" in error.details()
    assert "official plugin" in error.details()


def test_a_child_resource_is_found_by_the_end_of_its_type(command: Plugin) -> None:
    urn = COMMAND.replace("command:local", "my:own:Component$command:local")
    request = provider_pb2.CheckRequest(urn=urn, news=to_struct({"create": "x"}))
    assert not command.stub.Check(request, timeout=10).failures


def test_the_function_runs_and_an_unknown_one_is_refused(command: Plugin) -> None:
    arguments = to_struct({"command": "echo there"})
    request = provider_pb2.InvokeRequest(tok="command:local:run", args=arguments)
    answer = command.stub.Invoke(request, timeout=20)
    assert from_struct(getattr(answer, "return"))["stdout"] == "there"
    unknown = provider_pb2.InvokeRequest(tok="command:local:fly", args=arguments)
    assert "command:local:fly" in failed(lambda: command.stub.Invoke(unknown, timeout=10)).details()


def test_cancel_ends_a_running_command_and_leaves_the_plugin_usable() -> None:
    with running("command") as plugin:
        request = provider_pb2.CreateRequest(
            urn=COMMAND, properties=to_struct({"create": "sleep 45"})
        )
        pending = plugin.stub.Create.future(request, timeout=30)
        time.sleep(0.5)
        plugin.stub.Cancel(empty_pb2.Empty(), timeout=10)
        with pytest.raises(grpc.RpcError) as caught:
            pending.result(timeout=10)
        assert "signal: killed" in caught.value.details()
        assert plugin.stub.GetPluginInfo(empty_pb2.Empty(), timeout=10).version


def test_a_plugin_ends_with_the_engine_that_started_it(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-m', 'toolchain.plugins', 'random'],"
        " stdout=subprocess.PIPE)\n"
        "p.stdout.readline()\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    engine = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert engine.stdout is not None
    plugin = int(engine.stdout.readline())
    engine.kill()
    engine.wait(10)
    end = time.monotonic() + 15
    while Path(f"/proc/{plugin}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    gone = not Path(f"/proc/{plugin}").exists()
    if not gone:
        os.kill(plugin, signal.SIGKILL)
    assert gone


def test_an_unhealthy_job_is_saved_and_its_reasons_told(nomad_api: Any) -> None:
    nomad_api.deployment = {"Status": "failed", "StatusDescription": "Failed due to deadline"}
    spec = nomad_api.spec("web")
    urn = "urn:pulumi:s::p::nomad:index/job:Job::j"
    with running("nomad", NOMAD_ADDR=nomad_api.address) as plugin:
        plugin.stub.Configure(provider_pb2.ConfigureRequest(), timeout=10)
        news = to_struct({"jobspec": spec, "json": True, "detach": False})
        inputs = plugin.stub.Check(provider_pb2.CheckRequest(urn=urn, news=news), timeout=10).inputs
        request = provider_pb2.CreateRequest(urn=urn, properties=inputs)
        error = failed(lambda: plugin.stub.Create(request, timeout=30))
        metadata = dict(error.trailing_metadata())
        status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
        detail = provider_pb2.ErrorResourceInitFailed()
        assert status.details[0].Unpack(detail)
        assert detail.id == "web"
        assert "Failed due to deadline" in detail.reasons[0]
        outputs = reveal(from_struct(detail.properties))
        assert outputs["modifyIndex"] == "11"
        assert reveal(from_struct(detail.inputs))["jobspec"] == spec
