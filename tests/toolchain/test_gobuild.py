import shutil
from pathlib import Path
from typing import Any

import pytest

from toolchain.errors import CommandError
from toolchain.gobuild import GoBuilder
from toolchain.lock import ToolPin
from toolchain.pip import Pip
from toolchain.progress import Step


@pytest.fixture
def builder(outside: Any, tmp_path: Path) -> GoBuilder:
    (tmp_path / "gomod" / "pulumi").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    pip = Pip(outside.root / "python", outside.environ)
    return GoBuilder(
        outside.lock.go, outside.cache, "linux-x86_64", pip, outside.environ, tmp_path / "gomod"
    )


@pytest.fixture
def pin(outside: Any) -> ToolPin:
    found: ToolPin = outside.lock.tool("pulumi")
    return found


def test_a_build_uses_the_committed_sums_and_the_release_flags(
    builder: GoBuilder, pin: ToolPin, outside: Any, tmp_path: Path, step: Step, display: Any
) -> None:
    detail = builder.build(pin, tmp_path / "out", step)
    assert detail == "built from Go modules with go 1.26.8"
    built = outside.go_calls.splitlines()[-1]
    for flag in ("-mod=readonly", "-trimpath", "-tags one,two", "-ldflags -X Version=v3.0.1"):
        assert flag in built
    assert built.endswith("MODCACHE= TOOLCHAIN=local CGO=0")
    assert (tmp_path / "out" / "pulumi").exists()
    assert "compiling with go 1.26.8 1/2 packages" in display.activities
    assert "fetching Go modules with go 1.26.8 1/0 modules" in display.activities


@pytest.mark.parametrize("on_path", ["1.25.9", ""])
def test_go_is_installed_only_where_none_new_enough_is_there(
    builder: GoBuilder, pin: ToolPin, outside: Any, tmp_path: Path, step: Step, on_path: str
) -> None:
    outside.put_go("1.26.6", folder="wheel")
    if on_path:
        outside.put_go(on_path)
    else:
        (outside.root / "path" / "go").unlink()
        outside.environ["PATH"] = str(outside.root / "path")
        for tool in ("sh", "mkdir", "cp", "chmod"):
            real = shutil.which(tool)
            assert real is not None
            (outside.root / "path" / tool).symlink_to(real)
    assert builder.found() is None
    assert builder.build(pin, tmp_path / "out", step).endswith("go 1.26.6")
    assert "--require-hashes" in outside.pip_calls
    assert f"MODCACHE={outside.cache.go_work}/modules" in outside.go_calls
    again = builder.found()
    assert again is not None
    assert again.own
    assert outside.pip_calls.count("\n") == 1


def test_a_new_enough_go_of_the_user_keeps_its_own_caches(builder: GoBuilder, outside: Any) -> None:
    found = builder.found()
    assert found is not None
    assert not found.own
    assert outside.pip_calls == ""


def test_only_our_own_go_and_its_caches_are_removed(builder: GoBuilder, outside: Any) -> None:
    module = outside.cache.go_work / "modules" / "m@v1"
    module.mkdir(parents=True)
    (module / "x.go").write_text("")
    module.chmod(0o555)
    own = outside.cache.tool("go", "1.26.6", "linux-x86_64").path
    own.mkdir(parents=True)
    builder.forget_own()
    assert not outside.cache.go_work.exists()
    assert not own.exists()
    assert (outside.root / "path" / "go").exists()


def test_a_failed_build_says_what_the_compiler_said(
    builder: GoBuilder, pin: ToolPin, outside: Any, tmp_path: Path, step: Step
) -> None:
    outside.put_go(behaviour="echo 'missing go.sum entry for x'; exit 1")
    with pytest.raises(CommandError, match=r"go ended with 1:\n    missing go.sum entry") as caught:
        builder.build(pin, tmp_path / "out", step)
    assert caught.value.log == str(step.log_path)


def test_a_disk_without_room_is_refused_before_anything_is_fetched(
    builder: GoBuilder,
    pin: ToolPin,
    outside: Any,
    tmp_path: Path,
    step: Step,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = shutil._ntuple_diskusage(100, 99, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(CommandError, match="0 MiB free") as caught:
        builder.build(pin, tmp_path / "out", step)
    assert "--cache" in caught.value.fix
    assert outside.go_calls == ""
