"""Fixtures of the plugin tests: a recording log, an SSH server and a small Nomad of our own."""

import asyncio
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from toolchain.plugins.nomad.api import Api


@dataclass
class Recorder:
    """A log that keeps what it is told."""

    lines: list[str] = field(default_factory=list)

    def progress(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def log() -> Recorder:
    return Recorder()


@dataclass(frozen=True)
class SshServer:
    """Where the server listens, and what it lets in."""

    port: int
    host_key: str
    private_key: str
    encrypted_key: str
    password: str
    commands: list[str]

    def connection(self, **more: Any) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "deploy",
            "privateKey": self.private_key,
            "dialErrorLimit": 0,
            "perDialTimeout": 5,
            **more,
        }


PASSPHRASE = "open sesame"
ACCEPTED = ("GREETING", "PULUMI_COMMAND_STDOUT", "PULUMI_COMMAND_STDERR")


class _Login(asyncssh.SSHServer):
    def __init__(self, key: asyncssh.SSHKey, password: str) -> None:
        self._key = key
        self._password = password

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == "deploy" and key == self._key.convert_to_public()

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return username == "deploy" and password == self._password

    def connection_requested(self, *_: Any) -> bool:
        return True


def _shell(commands: list[str], home: Path) -> Any:
    async def serve(process: Any) -> None:
        commands.append(process.command)
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            process.command,
            cwd=home,
            env={
                "PATH": "/usr/bin:/bin",
                **{name: value for name, value in process.env.items() if name in ACCEPTED},
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

        async def pump(source: Any, sink: Any) -> None:
            while chunk := await source.read(65536):
                sink.write(chunk)
                await sink.drain()

        async def feed() -> None:
            try:
                await pump(process.stdin, child.stdin)
                if child.stdin is not None:
                    child.stdin.close()
            except (BrokenPipeError, ConnectionResetError):
                return

        feeding = asyncio.create_task(feed())
        try:
            await asyncio.gather(
                pump(child.stdout, process.stdout), pump(child.stderr, process.stderr)
            )
            code = await child.wait()
        finally:
            feeding.cancel()
            if child.returncode is None:
                child.kill()
        if code < 0:
            process.exit_with_signal({9: "KILL", 15: "TERM"}[-code])
        else:
            process.exit(code)

    return serve


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    commands: list[str] = []
    home = tmp_path_factory.mktemp("remote")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> Any:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Login(user, "s3cret"),
            server_host_keys=[host],
            process_factory=_shell(commands, home),
            sftp_factory=True,
            encoding=None,
        )

    listener = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield SshServer(
        listener.get_port(),
        host.export_public_key().decode(),
        user.export_private_key().decode(),
        user.export_private_key(passphrase=PASSPHRASE).decode(),
        "s3cret",
        commands,
    )
    listener.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def _fake_nomad() -> Any:
    # Tests are no package, so a helper beside them is loaded by its path.
    path = Path(__file__).with_name("fakenomad.py")
    spec = importlib.util.spec_from_file_location("fakenomad", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def nomad_api() -> Iterator[Any]:
    module = _fake_nomad()
    fake = module.FakeNomad()
    server = module.serve(fake)
    yield fake
    server.shutdown()
    server.server_close()


class Life:
    """One resource from its creation on."""

    def __init__(self, resource: Any, log: Any, **given: Any) -> None:
        self.resource = resource
        self._how = {"timeout_s": 30, "log": log}
        self.inputs = self.checked({}, given)
        self.made = resource.create("r", self.inputs, preview=False, **self._how)

    def checked(self, old: Any, given: Any) -> dict[str, Any]:
        full = self.resource.check("r", old, given)
        assert not full.failures, full.failures
        return dict(full.inputs)

    def diff(self, **given: Any) -> Any:
        new = self.checked(self.inputs, given)
        return self.resource.diff(self.inputs, new, self.made.outputs)

    def update(self, *, preview: bool = False, **given: Any) -> Any:
        new = self.checked(self.inputs, given)
        return self.resource.update(
            self.made.id, self.made.outputs, self.inputs, new, preview=preview, **self._how
        )

    def read(self) -> Any:
        return self.resource.read(self.made.id, self.inputs, self.made.outputs)

    def delete(self) -> None:
        self.resource.delete(self.made.id, self.made.outputs, **self._how)


@pytest.fixture
def api(nomad_api: Any) -> Api:
    made = Api()
    made.configure({"address": nomad_api.address, "secretId": "the-token"})
    return made


@pytest.fixture
def live(log: Recorder) -> Callable[..., Life]:
    """Creates a resource: ``live(resource, **inputs)``."""
    return lambda resource, **given: Life(resource, log, **given)
