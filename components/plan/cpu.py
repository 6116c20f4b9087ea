"""What each CPU class means to a compiler and how to recognise it."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from components.model.host import CpuClass

_X86: Final = ("SSE42", "AVX", "F16C", "FMA", "AVX2", "BMI2")
_X86_WIDE: Final = ("AVX512", "AVX512_VBMI", "AVX512_VNNI", "AVX512_BF16")

# Best last. The flags are those of /proc/cpuinfo.
_FLAGS: Final[Mapping[CpuClass, frozenset[str]]] = MappingProxyType(
    {
        CpuClass.X64: frozenset(),
        CpuClass.SSE42: frozenset({"sse4_2", "ssse3", "popcnt"}),
        CpuClass.SANDYBRIDGE: frozenset({"sse4_2", "avx"}),
        CpuClass.IVYBRIDGE: frozenset({"avx", "f16c"}),
        CpuClass.HASWELL: frozenset({"avx2", "bmi2", "fma", "f16c"}),
        CpuClass.SKYLAKEX: frozenset(
            {
                "avx2",
                "bmi2",
                "fma",
                "f16c",
                "avx512f",
                "avx512bw",
                "avx512cd",
                "avx512dq",
                "avx512vl",
            }
        ),
        CpuClass.ICELAKE: frozenset(
            {
                "avx2",
                "bmi2",
                "fma",
                "f16c",
                "avx512f",
                "avx512bw",
                "avx512cd",
                "avx512dq",
                "avx512vl",
            }
            | {"avx512vbmi", "avx512_vnni"}
        ),
        CpuClass.ZEN4: frozenset(
            {
                "avx2",
                "bmi2",
                "fma",
                "f16c",
                "avx512f",
                "avx512bw",
                "avx512cd",
                "avx512dq",
                "avx512vl",
            }
            | {"avx512vbmi", "avx512_vnni", "avx512_bf16"}
        ),
    }
)

_ENABLED: Final[Mapping[CpuClass, frozenset[str]]] = MappingProxyType(
    {
        CpuClass.X64: frozenset(),
        CpuClass.SSE42: frozenset({"SSE42"}),
        CpuClass.SANDYBRIDGE: frozenset({"SSE42", "AVX"}),
        CpuClass.IVYBRIDGE: frozenset({"SSE42", "AVX", "F16C"}),
        CpuClass.HASWELL: frozenset(_X86),
        CpuClass.SKYLAKEX: frozenset({*_X86, "AVX512"}),
        CpuClass.ICELAKE: frozenset({*_X86, "AVX512", "AVX512_VBMI", "AVX512_VNNI"}),
        CpuClass.ZEN4: frozenset({*_X86, *_X86_WIDE}),
    }
)

_ARM_ARCH: Final[Mapping[CpuClass, str]] = MappingProxyType(
    {CpuClass.ARMV8: "armv8-a", CpuClass.ARMV82: "armv8.2-a+dotprod+fp16"}
)


def detect(architecture: str, flags: Collection[str]) -> CpuClass:
    """The best class a CPU can run.

    ``architecture`` is ``uname -m``; ``flags`` are the words of ``flags`` (x86) or ``Features``
    (ARM) in /proc/cpuinfo. Raises ValueError for an architecture Hearth does not build for.
    """
    present = set(flags)
    if architecture in ("aarch64", "arm64"):
        return CpuClass.ARMV82 if {"asimddp", "asimdhp"} <= present else CpuClass.ARMV8
    if architecture != "x86_64":
        msg = f"architecture {architecture!r} is not supported; use x86_64 or aarch64"
        raise ValueError(msg)
    return [name for name, needed in _FLAGS.items() if needed <= present][-1]


def cmake_flags(cpu_class: CpuClass) -> tuple[str, ...]:
    """The ISA part of the cmake arguments. Every switch is named, because the defaults of a
    non-native build are AVX2 and would crash on older machines.
    """
    if cpu_class in _ARM_ARCH:
        return ("-DGGML_NATIVE=OFF", f"-DGGML_CPU_ARM_ARCH={_ARM_ARCH[cpu_class]}")
    enabled = _ENABLED[cpu_class]
    switches = (
        f"-DGGML_{name}={'ON' if name in enabled else 'OFF'}" for name in (*_X86, *_X86_WIDE)
    )
    return ("-DGGML_NATIVE=OFF", *switches)
