import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from toolchain.plugin_install import PluginInstaller
from toolchain.progress import Step
from toolchain.sources.mirror import MirrorSource

ELF = Path("/bin/true").read_bytes()
PACKED = "pulumi-resource-command-v1.2.1-linux-amd64.tar.gz"


def installer(outside: Any, allowed: tuple[str, ...] = ("mirror", "official")) -> PluginInstaller:
    mirror = MirrorSource(outside.mirror if outside.mirror.is_dir() else None)
    return PluginInstaller(
        outside.lock,
        outside.cache,
        outside.checkout,
        mirror,
        outside.versions,
        {**os.environ, **outside.environ},
        allowed,
    )


def fill_mirror(outside: Any, make_tar: Any) -> None:
    packed = make_tar({"pulumi-resource-command": ELF, "LICENSE": b"text"})
    listing = f"{hashlib.sha256(packed).hexdigest()}  {PACKED}\n".encode()
    outside.fill_mirror({PACKED: packed, "SHA256SUMS": listing})


def test_without_any_other_source_the_stand_in_is_put_where_the_engine_looks(
    outside: Any, step: Step
) -> None:
    plugins = installer(outside)
    assert plugins.kind("command") == ""
    assert plugins.install("command", step, ask_vendor=False) == "stand-in"
    program = outside.checkout.root / (
        ".hearth/pulumi/plugins/resource-command-v1.2.1/pulumi-resource-command"
    )
    assert program.stat().st_mode & 0o777 == 0o755
    assert plugins.kind("command") == "stand-in"


def test_a_mirrored_plugin_replaces_the_stand_in(outside: Any, step: Step, make_tar: Any) -> None:
    installer(outside).install("command", step, ask_vendor=False)
    fill_mirror(outside, make_tar)
    plugins = installer(outside)
    assert plugins.install("command", step, ask_vendor=False) == "official"
    assert plugins.program("command").read_bytes() == ELF
    assert plugins.kind("command") == "official"


def test_a_mirrored_plugin_that_nothing_vouches_for_is_not_used_and_said_so(
    outside: Any, step: Step, make_tar: Any, display: Any
) -> None:
    fill_mirror(outside, make_tar)
    (outside.mirror / "SHA256SUMS").unlink()
    assert installer(outside).install("command", step, ask_vendor=False) == "stand-in"
    assert len(display.notes) == 1
    assert PACKED in display.notes[0]


def test_a_second_checkout_takes_the_official_plugin_from_the_cache(
    outside: Any, step: Step, make_tar: Any
) -> None:
    fill_mirror(outside, make_tar)
    installer(outside).install("command", step, ask_vendor=False)
    for path in outside.mirror.iterdir():
        path.unlink()
    installer(outside).program("command").unlink()
    plugins = installer(outside)
    assert plugins.outlook("command", ask_vendor=False).endswith("from the cache")
    assert plugins.install("command", step, ask_vendor=False) == "official"


def test_the_vendors_plugin_is_installed_by_the_cli_itself(
    outside: Any, step: Step, program: Any, release: Any
) -> None:
    script = (
        '#!/bin/sh\n[ "$1 $2 $3 $4 $5" = "plugin install resource command v1.2.1" ] || exit 9\n'
        'd="$PULUMI_HOME/plugins/resource-$4-$5"; mkdir -p "$d"\n'
        'cp /bin/true "$d/pulumi-resource-$4"\n'
    )
    program(outside.checkout.bin / "pulumi", script)
    plugins = installer(outside)
    assert plugins.install("command", step, ask_vendor=True) == "official"
    assert plugins.program("command").read_bytes() == ELF


@pytest.mark.parametrize("answer", ["exit 1", "exit 0"])
def test_a_vendor_that_does_not_deliver_leads_to_the_stand_in(
    outside: Any, step: Step, program: Any, answer: str
) -> None:
    program(outside.checkout.bin / "pulumi", f"#!/bin/sh\n{answer}\n")
    plugins = installer(outside)
    assert plugins.install("command", step, ask_vendor=True) == "stand-in"
    assert "command: official:" in step.log_path.read_text()


def test_the_vendor_is_not_asked_where_the_source_is_switched_off(
    outside: Any, step: Step, program: Any
) -> None:
    program(outside.checkout.bin / "pulumi", "#!/bin/sh\ntouch asked\n")
    plugins = installer(outside, allowed=("registries",))
    assert plugins.install("command", step, ask_vendor=True) == "stand-in"
    assert "plugin install" not in step.log_path.read_text()


def test_a_plugin_that_the_engine_would_call_broken_counts_as_missing(
    outside: Any, step: Step
) -> None:
    plugins = installer(outside)
    plugins.install("command", step, ask_vendor=False)
    mark = plugins.program("command").parent.with_name("resource-command-v1.2.1.partial")
    mark.touch()
    assert plugins.kind("command") == ""
    plugins.install("command", step, ask_vendor=False)
    assert plugins.kind("command") == "stand-in"


@pytest.mark.parametrize("change", ["text", "mode"])
def test_a_launcher_that_was_changed_is_out_of_date(outside: Any, step: Step, change: str) -> None:
    plugins = installer(outside)
    plugins.install("command", step, ask_vendor=False)
    program = plugins.program("command")
    if change == "text":
        program.write_text(program.read_text() + "# edited\n")
    else:
        program.chmod(0o644)
    assert plugins.kind("command") == ""


def test_the_language_host_is_the_stand_in_where_the_cli_came_alone(
    outside: Any, tmp_path: Path
) -> None:
    cli = tmp_path / "cli" / "pulumi"
    plugins = installer(outside)
    assert plugins.host_kind(cli) == ""
    assert plugins.install_host(cli) == "stand-in"
    assert plugins.host_kind(cli) == "stand-in"
    assert "main('python')" in (outside.checkout.bin / "pulumi-language-python").read_text()


def test_the_language_host_of_the_release_comes_with_its_executor(
    outside: Any, tmp_path: Path, program: Any
) -> None:
    cli = program(tmp_path / "cli" / "pulumi", "cli")
    plugins = installer(outside)
    plugins.install_host(cli)
    for name in ("pulumi-language-python", "pulumi-language-python-exec"):
        program(cli.with_name(name), name)
    assert plugins.host_kind(cli) == ""
    assert plugins.install_host(cli) == "official"
    assert plugins.host_kind(cli) == "official"
    for name in ("pulumi-language-python", "pulumi-language-python-exec"):
        assert (outside.checkout.bin / name).read_text() == name
        cli.with_name(name).unlink()
    assert plugins.install_host(cli) == "stand-in"
    assert not (outside.checkout.bin / "pulumi-language-python-exec").exists()
