"""``docker:index/image:Image``: an image built here and, unless told not to, pushed.

Deleting one removes no tag, neither here nor in the registry, as with the official plugin.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from toolchain.plugins.diffing import Diff, compare
from toolchain.plugins.docker import context
from toolchain.plugins.docker.cli import Docker, Login
from toolchain.plugins.errors import PluginError
from toolchain.plugins.resource import Checked, Created, Failure, Found, Log, Resource
from toolchain.plugins.values import UNKNOWN, Properties, has_unknown, is_secret, reveal, secret

_KNOWN: Final = frozenset({"imageName", "build", "buildOnPreview", "registry", "skipPush"})
_BUILD: Final = frozenset(
    {
        "addHosts",
        "args",
        "builderVersion",
        "cacheFrom",
        "context",
        "contextDigest",
        "dockerfile",
        "network",
        "platform",
        "target",
    }
)
_BUILDERS: Final = ("BuilderBuildKit", "BuilderV1")
_INPUTS: Final = "__inputs"
# A new password says nothing about the image.
_CREDENTIALS: Final = ("registry.username", "registry.password")


class Image(Resource):
    """An image. Id: its name."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        failures = [
            Failure(key, f"Unrecognized field '{key}'")
            for key in new
            if key not in _KNOWN and not key.startswith("__")
        ]
        if reveal(new.get("imageName")) is None:
            failures.append(Failure("imageName", "Missing required property 'imageName'"))
        build = _bare(new.get("build")) or {}
        if build == UNKNOWN:
            return Checked(new, failures)
        failures += [
            Failure(f"build.{key}", f"Unrecognized field '{key}'")
            for key in build
            if key not in _BUILD and not key.startswith("__")
        ]
        plain = reveal(build)
        if plain.get("builderVersion") not in (None, UNKNOWN, *_BUILDERS):
            words = f"builderVersion must be one of {', '.join(_BUILDERS)}"
            failures.append(Failure("build.builderVersion", words))
        if failures:
            return Checked(new, failures)
        where = plain.get("context") or "."
        dockerfile = plain.get("dockerfile") or _default_dockerfile(where)
        full = {**build, "context": where, "dockerfile": dockerfile}
        if UNKNOWN in (where, dockerfile):
            return Checked({**new, "build": full})
        try:
            full["contextDigest"] = context.digest(where, dockerfile)
        except PluginError as error:
            return Checked(new, [Failure("build", str(error))])
        return Checked({**new, "build": full})

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        # The official plugin keeps what it compares with among the outputs, so that is read first.
        before = reveal(outputs.get(_INPUTS)) or old
        diff = compare(before, new)
        for path in _CREDENTIALS:
            diff.changes.pop(path, None)
        return diff

    def create(
        self, name: str, inputs: Properties, *, preview: bool, timeout_s: float, log: Log
    ) -> Created:
        outputs = self._outputs(inputs, preview, log)
        return Created("" if preview else str(reveal(inputs["imageName"])), outputs)

    def update(
        self,
        id_: str,
        outputs: Properties,
        old: Properties,
        new: Properties,
        *,
        preview: bool,
        timeout_s: float,
        log: Log,
    ) -> Properties:
        return self._outputs(new, preview, log)

    def read(self, id_: str, inputs: Properties, outputs: Properties) -> Found | None:
        return Found(inputs, outputs)

    def _outputs(self, inputs: Properties, preview: bool, log: Log) -> Properties:
        plain = reveal(inputs)
        build, registry = plain.get("build") or {}, plain.get("registry") or {}
        known = isinstance(build, dict)
        outputs: Properties = {
            _INPUTS: secret(inputs),
            "imageName": plain["imageName"],
            "baseImageName": plain["imageName"],
            "context": build.get("context") if known else UNKNOWN,
            "dockerfile": build.get("dockerfile") if known else UNKNOWN,
            "registryServer": registry.get("server") or "" if registry != UNKNOWN else UNKNOWN,
            "repoDigest": UNKNOWN,
        }
        if known and build.get("platform"):
            outputs["platform"] = build["platform"]
        if preview and (not plain.get("buildOnPreview") or has_unknown(inputs)):
            return outputs
        image = self._build(plain, log)
        if preview:
            return outputs
        pushed = not plain.get("skipPush")
        return {**outputs, "repoDigest": self._push(plain, log) if pushed else image}

    def _build(self, plain: Properties, log: Log) -> str:
        """Build and return the image's id here, ``sha256:…``."""
        build, wanted = plain.get("build") or {}, _arguments(plain)
        version = build.get("builderVersion")
        buildkit = version == "BuilderBuildKit" or (version is None and self._docker.has_buildkit())
        with tempfile.TemporaryDirectory(prefix="docker-") as folder:
            file = Path(folder) / "iid"
            self._docker.run(
                "build",
                "--iidfile",
                os.fspath(file),
                *wanted,
                build.get("context") or ".",
                log=log,
                environment={
                    **{key: str(value) for key, value in (build.get("args") or {}).items()},
                    "DOCKER_BUILDKIT": "1" if buildkit else "0",
                },
                login=_login(plain),
            )
            return file.read_text().strip()

    def _push(self, plain: Properties, log: Log) -> str:
        """Push and return where it can be pulled from, ``repository@sha256:…``."""
        name = plain["imageName"]
        self._docker.run("push", name, log=log, login=_login(plain))
        answer = self._docker.run("image", "inspect", "--format", "{{json .RepoDigests}}", name)
        digests: list[str] = json.loads(answer.stdout) or []
        for digest in digests:
            if same_repository(name, digest):
                return digest
        raise PluginError(f"{name} was pushed, but the daemon knows no digest for it: {digests}")


def repository_of(name: str) -> str:
    """An image name without tag or digest."""
    head, slash, tail = name.partition("@")[0].rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}"


def same_repository(written: str, shown: str) -> bool:
    """Whether two names mean one repository; the daemon leaves its default registry out."""
    mine, theirs = repository_of(written), repository_of(shown)
    return mine == theirs or mine.endswith(f"/{theirs}")


def _arguments(plain: Properties) -> list[str]:
    build = plain.get("build") or {}
    found = ["--tag", plain["imageName"]]
    if dockerfile := build.get("dockerfile"):
        found += ["--file", dockerfile]
    for option, name in (
        ("--platform", "platform"),
        ("--target", "target"),
        ("--network", "network"),
    ):
        if value := build.get(name):
            found += [option, value]
    # Only names: the values stand in the environment, where other users cannot read them.
    found += [item for name in sorted(build.get("args") or {}) for item in ("--build-arg", name)]
    found += [item for host in build.get("addHosts") or [] for item in ("--add-host", host)]
    images = (build.get("cacheFrom") or {}).get("images") or []
    return found + [item for image in images for item in ("--cache-from", image)]


def _login(plain: Properties) -> Login | None:
    registry = plain.get("registry") or {}
    if not registry.get("username") and not registry.get("password"):
        return None
    return Login(
        registry.get("server") or "",
        registry.get("username") or "",
        registry.get("password") or "",
    )


def _default_dockerfile(where: str) -> str:
    if where == UNKNOWN:
        return UNKNOWN
    return "Dockerfile" if context.is_remote(where) else os.path.join(where, "Dockerfile")


def _bare(value: Any) -> Any:
    return _bare(value["value"]) if is_secret(value) else value
