"""What each CPU class means to a compiler and how to recognise it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import takewhile
from types import MappingProxyType
from typing import Final

from components.model.host import CpuClass


@dataclass(frozen=True)
class _Step:
    """What a class has beyond the one before it: words of /proc/cpuinfo, and llama.cpp switches."""

    name: CpuClass
    flags: frozenset[str] = frozenset()
    switches: tuple[str, ...] = ()


# Each step includes all before it.
_X86: Final = (
    _Step(CpuClass.X64),
    _Step(CpuClass.SSE42, frozenset({"sse4_2", "ssse3", "popcnt"}), ("SSE42",)),
    _Step(CpuClass.SANDYBRIDGE, frozenset({"avx"}), ("AVX",)),
    _Step(CpuClass.IVYBRIDGE, frozenset({"f16c"}), ("F16C",)),
    _Step(CpuClass.HASWELL, frozenset({"fma", "avx2", "bmi2"}), ("FMA", "AVX2", "BMI2")),
    _Step(
        CpuClass.SKYLAKEX,
        frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
        ("AVX512",),
    ),
    _Step(
        CpuClass.ICELAKE,
        frozenset({"avx512vbmi", "avx512_vnni"}),
        ("AVX512_VBMI", "AVX512_VNNI"),
    ),
    _Step(CpuClass.ZEN4, frozenset({"avx512_bf16"}), ("AVX512_BF16",)),
)
_ARM: Final[Mapping[CpuClass, str]] = MappingProxyType(
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
    return list(takewhile(lambda step: step.flags <= present, _X86))[-1].name


def cmake_flags(cpu_class: CpuClass) -> tuple[str, ...]:
    """The ISA part of the cmake arguments. Every switch is named, because the defaults of a
    non-native build are AVX2 and would crash on older machines.
    """
    if cpu_class in _ARM:
        return ("-DGGML_NATIVE=OFF", f"-DGGML_CPU_ARM_ARCH={_ARM[cpu_class]}")
    top = [step.name for step in _X86].index(cpu_class)
    return (
        "-DGGML_NATIVE=OFF",
        *(
            f"-DGGML_{switch}={'ON' if position <= top else 'OFF'}"
            for position, step in enumerate(_X86)
            for switch in step.switches
        ),
    )
