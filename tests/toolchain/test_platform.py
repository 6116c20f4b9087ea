import pytest

from toolchain.errors import UnsupportedPlatformError
from toolchain.platform import Platform


@pytest.mark.parametrize(
    ("machine", "go_arch", "tag"),
    [
        ("x86_64", "amd64", "linux-x86_64"),
        ("AMD64", "amd64", "linux-x86_64"),
        ("aarch64", "arm64", "linux-aarch64"),
        ("arm64", "arm64", "linux-aarch64"),
    ],
)
def test_every_name_of_a_supported_processor_means_the_same(
    machine: str, go_arch: str, tag: str
) -> None:
    platform = Platform.named("Linux", machine)
    assert (platform.go_arch, platform.tag) == (go_arch, tag)


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "riscv64")])
def test_an_unsupported_machine_is_refused_by_name(system: str, machine: str) -> None:
    with pytest.raises(UnsupportedPlatformError, match=f"{system} on {machine}") as caught:
        Platform.named(system, machine)
    assert "x86_64 or aarch64" in caught.value.fix
