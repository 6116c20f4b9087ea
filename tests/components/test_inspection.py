"""Facts of this machine, read from made-up /proc and /sys."""

import platform
from pathlib import Path

import pytest

from components.inspection import digest_of, inspect_hardware
from components.model.host import CpuClass

CPUINFO = """processor\t: 0
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu sse4_2 ssse3 popcnt avx f16c fma avx2 bmi2

processor\t: 1
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu

processor\t: 2
physical id\t: 0
core id\t\t: 1
flags\t\t: fpu
"""


def machine(tmp_path: Path, cpuinfo: str, limit: str | None) -> tuple[Path, Path]:
    proc, sys_fs = tmp_path / "proc", tmp_path / "sys"
    (proc).mkdir()
    (sys_fs / "fs/cgroup").mkdir(parents=True)
    (proc / "cpuinfo").write_text(cpuinfo)
    (proc / "meminfo").write_text("MemTotal:  16384000 kB\nMemFree: 1 kB\n")
    if limit is not None:
        (sys_fs / "fs/cgroup/memory.max").write_text(limit)
    return proc, sys_fs


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the sample is an x86 machine")
def test_hyperthreads_count_once_and_flags_decide_the_class(tmp_path: Path) -> None:
    facts = inspect_hardware(*machine(tmp_path, CPUINFO, None))
    assert (facts.cores, facts.cpu_class, facts.memory_mib) == (2, CpuClass.HASWELL, 16000)


def test_a_container_has_the_memory_its_limit_says(tmp_path: Path) -> None:
    assert inspect_hardware(*machine(tmp_path, CPUINFO, "1073741824\n")).memory_mib == 1024


def test_no_limit_is_all_of_the_memory(tmp_path: Path) -> None:
    assert inspect_hardware(*machine(tmp_path, CPUINFO, "max\n")).memory_mib == 16000


def test_without_core_ids_every_processor_is_a_core(tmp_path: Path) -> None:
    facts = inspect_hardware(*machine(tmp_path, "processor: 0\nprocessor: 1\n", None))
    assert facts.cores == 2


def test_a_digest_changes_with_content_and_name_and_not_with_caches(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "a.py").write_text("1")
    first = digest_of([folder])
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("x")
    assert digest_of([folder]) == first
    (folder / "a.py").write_text("2")
    second = digest_of([folder])
    (folder / "a.py").rename(folder / "b.py")
    assert len({first, second, digest_of([folder])}) == 3
