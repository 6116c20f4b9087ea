"""CPU classes: what is detected, and that a class compiles for nothing above it."""

import pytest

from components.model.host import CpuClass
from components.plan.cpu import cmake_flags, detect

EPYC = (
    "sse4_2 ssse3 popcnt avx f16c fma avx2 bmi2 avx512f avx512bw avx512cd avx512dq avx512vl "
    "avx512vbmi avx512_vnni avx512_bf16"
)


@pytest.mark.parametrize(
    ("architecture", "flags", "expected"),
    [
        ("x86_64", "", CpuClass.X64),
        ("x86_64", "ssse3", CpuClass.X64),
        ("x86_64", "sse4_2 ssse3 popcnt", CpuClass.SSE42),
        ("x86_64", "sse4_2 ssse3 popcnt avx", CpuClass.SANDYBRIDGE),
        ("x86_64", "sse4_2 ssse3 popcnt avx f16c", CpuClass.IVYBRIDGE),
        ("x86_64", "sse4_2 ssse3 popcnt avx f16c fma avx2 bmi2", CpuClass.HASWELL),
        ("x86_64", EPYC, CpuClass.ZEN4),
        ("aarch64", "asimd", CpuClass.ARMV8),
        ("aarch64", "asimd asimddp asimdhp", CpuClass.ARMV82),
    ],
)
def test_the_best_class_a_cpu_can_run_is_detected(
    architecture: str, flags: str, expected: CpuClass
) -> None:
    assert detect(architecture, flags.split()) is expected


def test_amx_never_raises_the_class_because_its_code_crashes() -> None:
    assert detect("x86_64", [*EPYC.split(), "amx_tile", "amx_int8"]) is CpuClass.ZEN4
    assert not any("AMX" in flag for name in CpuClass for flag in cmake_flags(name))


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        detect("riscv64", [])


def test_the_baseline_switches_every_extension_off_because_defaults_are_avx2() -> None:
    flags = cmake_flags(CpuClass.X64)
    assert {"-DGGML_AVX2=OFF", "-DGGML_AVX=OFF", "-DGGML_SSE42=OFF", "-DGGML_NATIVE=OFF"} <= set(
        flags
    )
    assert not any(flag.endswith("=ON") for flag in flags)


@pytest.mark.parametrize("cpu_class", list(CpuClass))
def test_every_class_has_flags(cpu_class: CpuClass) -> None:
    assert "-DGGML_NATIVE=OFF" in cmake_flags(cpu_class)
