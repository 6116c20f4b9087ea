"""The Image resource over a docker command that only writes down how it was called."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from toolchain.plugins.command.process import Processes
from toolchain.plugins.docker import context
from toolchain.plugins.docker.cli import Docker
from toolchain.plugins.docker.image import Image, repository_of, same_repository
from toolchain.plugins.errors import PluginError
from toolchain.plugins.values import UNKNOWN, reveal, secret

FAKE = """#!/bin/sh
config=none
test "$1" = --config && { config=$2; cp "$2/config.json" "$CALLS.config"; stat -c %a "$2/config.json" > "$CALLS.mode"; shift 2; }
echo "$@" >> "$CALLS"
env | grep -E '^(DOCKER_|TOKEN=)' | sort >> "$CALLS.env"
case "$1" in
  version) test -e "$CALLS.down" && { echo "Cannot connect to the Docker daemon" >&2; exit 1; }; echo 20.10 ;;
  buildx) test -e "$CALLS.buildx" || exit 1 ;;
  info) echo https://index.hub.example/v1/ ;;
  build) echo "Step 1/1"; echo sha256:feed > "$3" ;;
  image) echo '["other.example/x@sha256:11","reg.example:5000/team/app@sha256:22"]' ;;
esac
"""  # noqa: E501


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(FAKE)
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "own"))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return tmp_path / "calls"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    (root / "sub").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM scratch\n")
    (root / "sub/code.py").write_text("1\n")
    (root / "note.md").write_text("n\n")
    return root


@pytest.fixture
def image() -> Image:
    return Image(Docker(Processes()))


def inputs(image: Image, app: Path, **more: Any) -> dict[str, Any]:
    build = {"context": str(app), **more.pop("build", {})}
    given = {"imageName": "reg.example:5000/team/app:1", "build": build, **more}
    checked = image.check("i", {}, given)
    assert not checked.failures, checked.failures
    return checked.inputs


# --- the context ----------------------------------------------------------------------------------


def test_the_digest_follows_content_modes_and_names_and_nothing_else(app: Path) -> None:
    def now() -> str:
        return context.digest(str(app), str(app / "Dockerfile"))

    first = now()
    os.utime(app / "sub/code.py", (0, 0))
    assert now() == first
    (app / "sub/code.py").chmod(0o755)
    second = now()
    assert second != first
    (app / "sub/code.py").rename(app / "sub/mode.py")
    third = now()
    assert third != second
    (app / "Dockerfile").write_text("FROM busybox\n")
    assert now() not in (first, second, third)


def test_ignored_files_do_not_count(app: Path) -> None:
    (app / ".dockerignore").write_text("# notes\n*.md\n**/__pycache__\n!keep.md\n")

    def now() -> str:
        return context.digest(str(app), str(app / "Dockerfile"))

    first = now()
    (app / "note.md").write_text("changed")
    (app / "sub/__pycache__").mkdir()
    (app / "sub/__pycache__/x.pyc").write_text("x")
    assert now() == first
    (app / "keep.md").write_text("counts")
    assert now() != first


@pytest.mark.parametrize(
    ("line", "path", "out"),
    [
        ("*.md", "a.md", True),
        ("*.md", "sub/a.md", False),
        ("**/*.md", "sub/deep/a.md", True),
        ("sub", "sub/deep/a.md", True),
        ("/sub/", "sub/a", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].txt", "b.txt", True),
    ],
)
def test_patterns_mean_what_docker_says(line: str, path: str, out: bool) -> None:
    assert context.ignored(path, [context.Rule.of(line)]) is out


# --- checking and comparing -----------------------------------------------------------------------


def test_check_fills_in_the_context_the_dockerfile_and_the_digest(image: Image, app: Path) -> None:
    build = inputs(image, app)["build"]
    assert build["dockerfile"] == f"{app}/Dockerfile"
    assert len(build["contextDigest"]) == 64


def test_a_missing_dockerfile_is_refused(image: Image, tmp_path: Path) -> None:
    given = {"imageName": "x", "build": {"context": str(tmp_path)}}
    (failure,) = image.check("i", {}, given).failures
    assert f"{tmp_path}/Dockerfile: no such file or directory" in failure.reason


def test_a_changed_file_rebuilds_and_a_new_password_does_not(
    image: Image, app: Path, calls: Path, log: Any
) -> None:
    registry = {"server": "reg.example:5000", "username": "me", "password": secret("one")}
    old = inputs(image, app, registry=registry, skipPush=True)
    made = image.create("i", old, preview=False, timeout_s=0, log=log)
    renewed = inputs(image, app, registry={**registry, "password": secret("two")}, skipPush=True)
    assert not image.diff(old, renewed, made.outputs).changes
    (app / "note.md").write_text("changed")
    newer = inputs(image, app, registry=registry, skipPush=True)
    assert dict(image.diff(old, newer, made.outputs).changes) == {"build.contextDigest": "UPDATE"}


def test_what_is_compared_with_stands_secret_among_the_outputs(
    image: Image, app: Path, calls: Path, log: Any
) -> None:
    old = inputs(image, app, skipPush=True)
    made = image.create("i", old, preview=False, timeout_s=0, log=log)
    assert made.outputs["__inputs"] == secret(old)
    assert not image.diff({}, old, made.outputs).changes


# --- building and pushing -------------------------------------------------------------------------


def test_a_local_image_is_known_by_its_id(image: Image, app: Path, calls: Path, log: Any) -> None:
    made = image.create("i", inputs(image, app, skipPush=True), preview=False, timeout_s=0, log=log)
    assert made.outputs["repoDigest"] == "sha256:feed"
    assert made.id == "reg.example:5000/team/app:1"
    assert "push" not in calls.read_text()
    assert "Step 1/1" in log.lines


def test_a_pushed_image_is_known_by_the_digest_in_its_own_repository(
    image: Image, app: Path, calls: Path, log: Any
) -> None:
    made = image.create("i", inputs(image, app), preview=False, timeout_s=0, log=log)
    assert made.outputs["repoDigest"] == "reg.example:5000/team/app@sha256:22"
    assert "push reg.example:5000/team/app:1" in calls.read_text()


def test_no_secret_is_an_argument(image: Image, app: Path, calls: Path, log: Any) -> None:
    own = Path(os.environ["DOCKER_CONFIG"])
    own.mkdir()
    mine = json.dumps({"auths": {"a": {"auth": "x"}}, "credsStore": "s"})
    (own / "config.json").write_text(mine)
    registry = {"server": "reg.example:5000", "username": "me", "password": secret("pass!")}
    full = inputs(image, app, registry=registry, build={"args": {"TOKEN": secret("tok!")}})
    image.create("i", full, preview=False, timeout_s=0, log=log)
    assert "tok!" not in calls.read_text()
    assert "pass!" not in calls.read_text()
    assert "--build-arg TOKEN" in calls.read_text()
    assert "TOKEN=tok!" in Path(f"{calls}.env").read_text()
    used = json.loads(Path(f"{calls}.config").read_text())
    assert used["auths"]["reg.example:5000"]["auth"] == base64.b64encode(b"me:pass!").decode()
    assert used["auths"]["a"] == {"auth": "x"}
    assert "credsStore" not in used
    assert Path(f"{calls}.mode").read_text().strip() == "600"
    assert (own / "config.json").read_text() == mine


@pytest.mark.parametrize(
    ("there", "version", "used"),
    [
        (True, None, "1"),
        (False, None, "0"),
        (True, "BuilderV1", "0"),
        (False, "BuilderBuildKit", "1"),
    ],
)
def test_the_newer_builder_is_used_where_there_is_one_unless_told(
    image: Image, app: Path, calls: Path, log: Any, there: bool, version: str | None, used: str
) -> None:
    if there:
        Path(f"{calls}.buildx").touch()
    build = {"builderVersion": version} if version else {}
    full = inputs(image, app, skipPush=True, build=build)
    image.create("i", full, preview=False, timeout_s=0, log=log)
    assert f"DOCKER_BUILDKIT={used}" in Path(f"{calls}.env").read_text()


def test_a_preview_builds_only_when_asked_to_and_never_pushes(
    image: Image, app: Path, calls: Path, log: Any
) -> None:
    made = image.create("i", inputs(image, app), preview=True, timeout_s=0, log=log)
    assert made.id == ""
    assert made.outputs["repoDigest"] == UNKNOWN
    assert made.outputs["imageName"] == "reg.example:5000/team/app:1"
    assert not calls.exists()
    image.create("i", inputs(image, app, buildOnPreview=True), preview=True, timeout_s=0, log=log)
    assert "build --iidfile" in calls.read_text()
    assert "push" not in calls.read_text()


def test_an_unknown_build_passes_check_and_preview(image: Image, calls: Path, log: Any) -> None:
    checked = image.check("i", {}, {"imageName": UNKNOWN, "build": UNKNOWN})
    assert not checked.failures
    made = image.create("i", checked.inputs, preview=True, timeout_s=0, log=log)
    assert reveal(made.outputs["context"]) == UNKNOWN
    assert not calls.exists()


# --- the daemon -----------------------------------------------------------------------------------


def test_configure_wants_a_daemon_unless_told_otherwise(calls: Path) -> None:
    Path(f"{calls}.down").touch()
    docker = Docker(Processes())
    with pytest.raises(PluginError, match="Cannot connect to the Docker daemon"):
        docker.configure({})
    docker.configure({"disableDockerDaemonCheck": "true"})


def test_the_settings_lead_to_the_daemon(calls: Path) -> None:
    docker = Docker(Processes())
    docker.configure({"host": "tcp://far:2376", "caMaterial": "CA", "certPath": "/elsewhere"})
    environment = Path(f"{calls}.env").read_text()
    assert "DOCKER_HOST=tcp://far:2376" in environment
    assert "DOCKER_TLS_VERIFY=1" in environment
    assert "/elsewhere" not in environment


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("app", "app"),
        ("team/app:1", "team/app"),
        ("reg:5000/app@sha256:0", "reg:5000/app"),
        ("reg:5000/app", "reg:5000/app"),
        ("localhost/app:x", "localhost/app"),
    ],
)
def test_a_repository_is_the_name_without_tag_and_digest(name: str, repository: str) -> None:
    assert repository_of(name) == repository


def test_the_daemons_short_name_of_a_default_registry_is_the_same_repository() -> None:
    assert same_repository("hub.example/team/app:1", "team/app@sha256:11")
    assert not same_repository("hub.example/team/app:1", "other/app@sha256:11")
    assert not same_repository("team/app:1", "reg.example/team/app@sha256:11")


@pytest.mark.parametrize("server", ["", "hub.example", "index.hub.example"])
def test_a_login_to_the_default_registry_is_filed_where_the_daemon_looks(
    image: Image, app: Path, calls: Path, log: Any, server: str
) -> None:
    registry = {"server": server, "username": "me", "password": secret("pass!")}
    full = inputs(image, app, registry=registry, skipPush=True)
    image.create("i", full, preview=False, timeout_s=0, log=log)
    used = json.loads(Path(f"{calls}.config").read_text())
    assert list(used["auths"]) == ["https://index.hub.example/v1/"]
