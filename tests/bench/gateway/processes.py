"""One pinned server process with its children: started, measured, ended. Knows no gateway.

Each dies with the benchmark, whatever ends that, so that nothing is left behind.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_S = 5.0


class Process:
    """A running command, alone on its core."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int,
        log: Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Starts it; whether it serves is for the caller to find out."""
        pinned = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *command]
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                pinned,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    def pids(self) -> list[int]:
        """It and its descendants."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry.name)] = int(_stat(entry.name)[1])
        found = [self._popen.pid]
        for pid in found:  # grows while it is walked: children, then theirs
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def cpu_s(self) -> float:
        """Processor time used so far, user and system."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = _stat(str(pid))
                total += int(fields[11]) + int(fields[12])
        return total / _TICKS

    def pss_bytes(self) -> int:
        """Memory, each shared page split among those who share it."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total

    def stop(self) -> None:
        """Asks it to end, then ends it."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_STOP_S)
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            try:
                os.killpg(self._popen.pid, 0)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(0.02)


def machine_busy_s() -> float:
    """Processor time used by everything on this machine since it started."""
    fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / _TICKS


def _stat(pid: str) -> list[str]:
    # Behind the name, which may itself hold spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
