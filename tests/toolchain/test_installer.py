import hashlib
import json
from typing import Any

import pytest

from toolchain.errors import NoSourceError, ToolchainError

ARCHIVE = "pulumi-v3.0.1-linux-x64.tar.gz"


def states(outside: Any) -> dict[str, str]:
    return {finding.part: finding.state for finding in outside.installer().findings()}


def manifest(outside: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(outside.checkout.manifest.read_text())
    return found


def test_the_vendors_release_is_taken_where_it_can_be_reached(
    outside: Any, serve_release: Any
) -> None:
    assert not outside.installer().complete()
    outside.installer().run()
    assert states(outside) == {
        "pulumi 3.0.1": "official release",
        "llama.cpp source abcdef012": "sdist llama-cpp-python 0.0.1",
        "pulumi-language-python": "official",
        "plugin command 1.2.1": "official",
    }
    assert "build" not in outside.go_calls
    assert (outside.checkout.bin / "pulumi").stat().st_mode & 0o111


def test_with_package_registries_alone_the_same_parts_are_there(outside: Any) -> None:
    outside.installer().run()
    assert states(outside) == {
        "pulumi 3.0.1": "built from Go modules with go 1.26.8",
        "llama.cpp source abcdef012": "sdist llama-cpp-python 0.0.1",
        "pulumi-language-python": "stand-in",
        "plugin command 1.2.1": "stand-in",
    }


def test_a_mirror_alone_is_enough_without_any_network(
    outside: Any, host: Any, release: dict[str, bytes], sdist: bytes
) -> None:
    outside.fill_mirror({**release, outside.lock.llama.sdist.archive: sdist})
    outside.installer().run()
    assert states(outside)["pulumi 3.0.1"].startswith("from the mirror")
    assert (host.requests, outside.go_calls, outside.pip_calls) == ([], "", "")


def test_a_mirrored_archive_that_was_tampered_with_is_passed_over_for_the_next_source(
    outside: Any, serve_release: Any, release: dict[str, bytes]
) -> None:
    outside.fill_mirror({**release, ARCHIVE: b"tampered"})
    outside.installer().run()
    assert states(outside)["pulumi 3.0.1"] == "official release"
    assert any(note.startswith("warning: mirror: ") for note in outside.display.notes)


def test_a_release_that_says_another_version_is_not_kept(
    outside: Any, host: Any, make_tar: Any
) -> None:
    packed = make_tar({"pulumi": b"#!/bin/sh\necho v3.0.0\n"})
    host.files[f"/releases/{ARCHIVE}"] = packed
    host.files["/sums/pulumi-3.0.1-checksums.txt"] = (
        f"{hashlib.sha256(packed).hexdigest()}  {ARCHIVE}\n".encode()
    )
    outside.installer().run()
    assert states(outside)["pulumi 3.0.1"].startswith("built from Go modules")
    log = (outside.checkout.logs / "toolchain-pulumi.log").read_text()
    assert "official: pulumi says it is version 3.0.0" in log


def test_a_second_run_has_nothing_to_do(outside: Any) -> None:
    installer = outside.installer()
    assert not installer.complete()
    installer.run()
    assert installer.complete()
    calls, shown = (outside.go_calls, outside.pip_calls), list(outside.display.ends)
    outside.installer().run()
    assert (outside.go_calls, outside.pip_calls) == calls
    assert outside.display.ends == shown


def test_a_second_checkout_builds_and_downloads_nothing(outside: Any) -> None:
    outside.installer().run()
    calls = (outside.go_calls, outside.pip_calls)
    outside.checkout = type(outside.checkout)(
        outside.root / "second", outside.root / "second/.venv/bin/python"
    )
    outside.installer().run()
    assert outside.installer().complete()
    assert (outside.go_calls, outside.pip_calls) == calls
    assert (outside.checkout.bin / "pulumi").exists()


@pytest.mark.parametrize(
    "lost",
    [
        "checkout/.hearth/bin/pulumi",
        "checkout/.hearth/bin/pulumi-language-python",
        "checkout/.hearth/toolchain.json",
        "checkout/.hearth/pulumi/plugins/resource-command-v1.2.1/pulumi-resource-command",
        "cache/tools/pulumi-3.0.1-linux-x86_64/pulumi",
        "cache/llama.cpp/abcdef0123456789/src.tar.gz",
    ],
)
def test_whatever_was_lost_is_put_back(outside: Any, lost: str) -> None:
    outside.installer().run()
    (outside.root / lost).unlink()
    installer = outside.installer()
    assert not installer.complete()
    installer.run()
    assert installer.complete()
    assert (outside.root / lost).exists()


def test_looking_changes_nothing_and_says_what_would_be_done(
    outside: Any, snapshot: Any, host: Any
) -> None:
    before = snapshot(outside.root)
    findings = outside.installer().findings()
    after = snapshot(outside.root)
    after.pop(str(outside.root / "go-calls"))
    assert after == before
    assert host.requests == []
    assert all(finding.state == "missing" for finding in findings)
    plans = [finding.action for finding in findings]
    assert plans[0] == (
        f"download {ARCHIVE}, if the vendor can be reached; else build from Go modules "
        "with go 1.26.8, some minutes the first time"
    )
    assert plans[-1] == "write a launcher for the stand-in"


def test_a_tool_that_nothing_supplies_is_reported_with_every_reason_and_a_fix(outside: Any) -> None:
    outside.put_go(behaviour="echo 'go: no module proxy'; exit 1")
    with pytest.raises(NoSourceError) as caught:
        outside.installer().run()
    assert [name for name, _ in caught.value.reasons] == [
        "installed",
        "mirror",
        "official",
        "registries",
    ]
    text = "\n".join(caught.value.lines())
    for part in ("pulumi 3.0.1", "HEARTH_MIRROR is not set", "HTTP 404", "no module proxy"):
        assert part in text
    assert f"fix: put {ARCHIVE} and pulumi-3.0.1-checksums.txt into a folder" in text
    assert not list((outside.cache.root / "tools").glob("*"))


def test_the_sources_can_be_narrowed_and_reordered(outside: Any, serve_release: Any) -> None:
    outside.environ["HEARTH_SOURCES"] = "registries, official"
    outside.installer().run()
    assert serve_release.requests == []
    outside.environ["HEARTH_SOURCES"] = "registries,ftp"
    with pytest.raises(ToolchainError, match="'ftp' is no source"):
        outside.installer()


def test_an_upgrade_replaces_what_was_built_as_soon_as_the_release_can_be_had(
    outside: Any, host: Any, release: dict[str, bytes]
) -> None:
    outside.installer().run()
    outside.installer().run(upgrade=True)
    assert states(outside)["pulumi 3.0.1"].startswith("built from Go modules")
    assert outside.installer().complete()
    host.files[f"/releases/{ARCHIVE}"] = release[ARCHIVE]
    host.files["/sums/pulumi-3.0.1-checksums.txt"] = release["pulumi-3.0.1-checksums.txt"]
    outside.installer().run(upgrade=True)
    assert states(outside)["pulumi 3.0.1"] == "official release"
    assert states(outside)["pulumi-language-python"] == "official"
    assert states(outside)["plugin command 1.2.1"] == "official"
    assert outside.installer().complete()


def test_the_manifest_tells_other_programs_where_everything_is(outside: Any) -> None:
    outside.installer().run()
    found = manifest(outside)
    assert found["tools"]["pulumi"]["source"] == "registries"
    assert found["tools"]["pulumi"]["path"] == str(outside.checkout.bin / "pulumi")
    assert found["language-host"] == "stand-in"
    assert found["plugins"] == {"command": {"version": "1.2.1", "kind": "stand-in"}}
    packed = (outside.cache.llama("abcdef0123456789").path / "src.tar.gz").read_bytes()
    assert found["llama"]["archive-sha256"] == hashlib.sha256(packed).hexdigest()


def test_damage_in_the_cache_is_named(outside: Any) -> None:
    outside.installer().run()
    assert outside.installer().damaged() == []
    program = outside.cache.tool("pulumi", "3.0.1", "linux-x86_64").path / "pulumi"
    program.write_text(program.read_text().replace("v3.0.1", "v3.0.2"))
    assert outside.installer().damaged() == [str(program)]
