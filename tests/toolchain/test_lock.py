import re
from pathlib import Path

import pytest

from toolchain import lock as lock_file
from toolchain.errors import LockFileError
from toolchain.platform import Platform

HEX = re.compile(r"[0-9a-f]{64}")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("machine", "pulumi", "nomad"),
    [
        ("x86_64", "pulumi-v3.259.0-linux-x64.tar.gz", "nomad_1.11.3_linux_amd64.zip"),
        ("aarch64", "pulumi-v3.259.0-linux-arm64.tar.gz", "nomad_1.11.3_linux_arm64.zip"),
    ],
)
def test_the_committed_lock_names_the_archives_of_both_platforms(
    machine: str, pulumi: str, nomad: str
) -> None:
    lock = lock_file.load(platform=Platform(machine))
    assert lock.tool("pulumi").release.archive == pulumi
    assert lock.tool("nomad").release.archive == nomad
    assert lock.tool("nomad").release.url.endswith("/nomad/1.11.3/" + nomad)
    assert HEX.fullmatch(lock.go.sha256)
    assert HEX.fullmatch(lock.llama.sdist.sha256)


def test_the_cli_is_pinned_to_the_version_of_its_python_sdk() -> None:
    requirements = (ROOT / "requirements/runtime.in").read_text(encoding="utf-8")
    version = lock_file.load().tool("pulumi").version
    assert f"pulumi=={version}\n" in requirements


def test_every_program_can_be_built_from_a_module_with_pinned_sums() -> None:
    for pin in lock_file.load().tools:
        folder = ROOT / "toolchain/gomod" / pin.go.module
        root = (
            pin.go.package.removesuffix("/cmd/pulumi") if pin.name == "pulumi" else pin.go.package
        )
        assert f"{root} v{pin.version}" in (folder / "go.mod").read_text(encoding="utf-8")
        assert f"{root} v{pin.version} h1:" in (folder / "go.sum").read_text(encoding="utf-8")


def test_the_compiler_on_the_lock_is_new_enough_for_every_module() -> None:
    lock = lock_file.load()
    assert lock_file.parse_version(lock.go.version) >= lock.go.minimum
    for pin in lock.tools:
        text = (ROOT / "toolchain/gomod" / pin.go.module / "go.mod").read_text(encoding="utf-8")
        needed = re.search(r"^go (\S+)$", text, re.MULTILINE)
        assert needed is not None
        assert lock_file.parse_version(needed[1]) <= lock.go.minimum


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ('version = "1.11.3"', "version = 1", "tools.nomad.version"),
        ('probe = ["version"]', 'probe = "version"', "tools.pulumi.probe"),
        ("[go.sha256]", "[go.hashes]", "go.sha256"),
        ('source = "sdist"', 'source = "ftp"', "llama.source"),
        ("[tools.pulumi]", "[tools.pulumi", "lock.toml"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_key(before: str, after: str, key: str) -> None:
    text = lock_file.DEFAULT_PATH.read_text(encoding="utf-8")
    assert before in text
    with pytest.raises(LockFileError, match=re.escape(key)):
        lock_file.parse(text.replace(before, after, 1), Platform("x86_64"))


def test_an_unknown_tool_is_refused_by_name() -> None:
    with pytest.raises(LockFileError, match="'consul'"):
        lock_file.load().tool("consul")


@pytest.mark.parametrize(
    ("text", "parts"),
    [("1.26.0", (1, 26, 0)), ("1.27rc1", (1, 27)), ("", ()), ("devel", ())],
)
def test_a_version_is_compared_by_its_numbers(text: str, parts: tuple[int, ...]) -> None:
    assert lock_file.parse_version(text) == parts
