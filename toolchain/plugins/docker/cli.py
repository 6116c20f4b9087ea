"""The docker command line as the provider uses it: daemon, credentials, runs.

Owns the provider's settings. Does not own what is built. No secret is ever an argument: credentials
travel in a private configuration folder, build arguments in the environment.
"""

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from toolchain.plugins.command.process import Output, Processes
from toolchain.plugins.errors import PluginError
from toolchain.plugins.resource import Log
from toolchain.plugins.values import Properties

_DOCKER: Final = "docker"
_TRUE: Final = ("true", True)
_MATERIALS: Final = {"caMaterial": "ca.pem", "certMaterial": "cert.pem", "keyMaterial": "key.pem"}


@dataclass(frozen=True)
class Login:
    """Credentials for one registry."""

    server: str
    username: str
    password: str = field(repr=False)


class Docker:
    """One daemon. Every failure is a PluginError with the command line's own words."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._settings: Properties = {}

    def configure(self, settings: Properties) -> None:
        """Take the provider's settings and, unless told not to, ask whether the daemon is there."""
        self._settings = settings
        if settings.get("disableDockerDaemonCheck") in _TRUE:
            return
        try:
            self.run("version", "--format", "{{.Server.Version}}")
        except PluginError as error:
            raise PluginError(f"failed to connect to any docker daemon: {error}") from None

    def run(
        self,
        *arguments: str,
        log: Log | None = None,
        environment: Mapping[str, str] | None = None,
        login: Login | None = None,
    ) -> Output:
        """One command against the daemon."""
        if shutil.which(_DOCKER) is None:
            raise PluginError("the docker command is not installed")
        with self._place(login) as (options, more):
            return self._processes.run(
                [_DOCKER, *options, *arguments],
                shown=" ".join((_DOCKER, *arguments)),
                stdin="",
                environment={**more, **(environment or {})},
                directory=None,
                log=log,
            )

    def has_buildkit(self) -> bool:
        """Whether the command line can drive the newer builder."""
        try:
            self.run("buildx", "version")
        except PluginError:
            return False
        return True

    def _server(self, login: Login) -> str:
        """What credentials are filed under; of its default registry only the daemon knows it."""
        default = self.run("info", "--format", "{{.IndexServerAddress}}").stdout.strip()
        host = default.partition("://")[2].partition("/")[0]
        mine = not login.server or host == login.server or host.endswith(f".{login.server}")
        return default if mine else login.server

    @contextmanager
    def _place(self, login: Login | None) -> Iterator[tuple[Sequence[str], Mapping[str, str]]]:
        """Options and environment that lead to the daemon; files live as long as the command."""
        options: list[str] = []
        more: dict[str, str] = {}
        text = {key: str(value) for key, value in self._settings.items() if value}
        with tempfile.TemporaryDirectory(prefix="docker-") as folder:
            if login is not None:
                server = self._server(login)
                options += ["--config", _configured(Path(folder) / "config", login, server)]
            if "context" in text:
                # A host in the environment would win over the context that was asked for.
                options += ["--context", text["context"]]
                more["DOCKER_HOST"] = ""
            elif "host" in text:
                more["DOCKER_HOST"] = text["host"]
            certificates = text.get("certPath")
            if any(name in text for name in _MATERIALS):
                certificates = _written(Path(folder) / "certs", text)
            if certificates:
                more |= {"DOCKER_CERT_PATH": certificates, "DOCKER_TLS_VERIFY": "1"}
            yield options, more


def _configured(folder: Path, login: Login, server: str) -> str:
    """A copy of the user's configuration folder with one login more; theirs is left alone."""
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    folder.mkdir(mode=0o700)
    document: Properties = {}
    if own.is_dir():
        for item in own.iterdir():
            if item.name != "config.json":
                (folder / item.name).symlink_to(item.absolute())
        try:
            document = json.loads((own / "config.json").read_text())
        except (OSError, ValueError):
            document = {}
    pair = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    document["auths"] = {**(document.get("auths") or {}), server: {"auth": pair}}
    # A credential store would be asked instead of this file, and could not know the login.
    document.pop("credsStore", None)
    document.pop("credHelpers", None)
    (folder / "config.json").write_text(json.dumps(document))
    (folder / "config.json").chmod(0o600)
    return str(folder)


def _written(folder: Path, settings: Mapping[str, str]) -> str:
    folder.mkdir(mode=0o700)
    for name, file in _MATERIALS.items():
        if name in settings:
            path = folder / file
            path.touch(mode=0o600)
            path.write_text(settings[name])
    return str(folder)
