"""How long an unchanged ``pulumi up`` of the dev stack takes, as a multiple of an empty program's.

Both run in turn in the same minute, so a busy machine slows both. Needs a dev stack that is up:
``python tests/bench/unchanged_update.py [runs]``.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ops.checkout import Checkout, find_checkout

_RUNS = 5
_EMPTY = """name: empty
runtime:
  name: python
  options: {{toolchain: pip, virtualenv: {venv}}}
"""


def update(checkout: Checkout, project: Path, backend: Path, stack: str) -> float:
    """Seconds of one update, whole process. Raises when it fails or changes anything."""
    environment = {
        **os.environ,
        **checkout.environment(),
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PATH": checkout.path(),
    }
    command = [
        *(str(checkout.pulumi), "up", "--yes", "--skip-preview", "--non-interactive"),
        *("--expect-no-changes", "--cwd", str(project), "--stack", stack),
    ]
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def main(runs: int) -> None:
    """Print a row for each program and the ratio of the medians."""
    checkout = find_checkout()
    with tempfile.TemporaryDirectory() as folder:
        empty, backend = Path(folder) / "empty", Path(folder) / "state"
        empty.mkdir()
        backend.mkdir()
        (empty / "Pulumi.yaml").write_text(_EMPTY.format(venv=checkout.root / ".venv"))
        (empty / "__main__.py").write_text("")
        environment = {
            **os.environ,
            **checkout.environment(),
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PATH": checkout.path(),
        }
        subprocess.run(
            [str(checkout.pulumi), "stack", "init", "empty", "--cwd", str(empty)],
            env=environment,
            check=True,
            capture_output=True,
        )
        # The first update writes the stack itself; the others change nothing.
        subprocess.run(
            [*(str(checkout.pulumi), "up", "--yes", "--cwd", str(empty), "--stack", "empty")],
            env=environment,
            check=True,
            capture_output=True,
        )
        ours, theirs = [], []
        for _ in range(runs):
            theirs.append(update(checkout, empty, backend, "empty"))
            ours.append(update(checkout, checkout.root, checkout.home / "state", "dev"))
    for name, times in (("empty program", theirs), ("dev stack", ours)):
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{name:14} median {statistics.median(times):.2f} s  ({spread} s, {runs} runs)")
    print(f"ratio          {statistics.median(ours) / statistics.median(theirs):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _RUNS)
