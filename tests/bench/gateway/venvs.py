"""Virtual environments of the Python-packaged peers. Owns their pinned versions."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.gateway.programs import CACHE

VERSIONS = {
    "vllm-router": "0.1.17",
    "sglang-router": "0.3.2",
    "litellm": "1.106.2",
}
_EXTRAS = {"litellm": "[proxy]"}
_LIMIT_S = 900


class CannotInstall(Exception):
    """A peer could not be installed; the message ends with what pip said."""


def venv(name: str) -> Path:
    """The environment with that peer in its pinned version; made on first use.

    Raises:
        CannotInstall: pip failed or took too long.
    """
    version = VERSIONS[name]
    folder = CACHE / f"{name}-{version}"
    stamp = folder / "complete"
    if stamp.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    requirement = f"{name}{_EXTRAS.get(name, '')}=={version}"
    print(f"installing {requirement}", file=sys.stderr, flush=True)
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", str(folder)],
            check=True,
            capture_output=True,
            timeout=120,
        )
        subprocess.run(
            [str(folder / "bin/pip"), "install", "--quiet", requirement],
            check=True,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = str(error.stderr or error).strip().splitlines()[-1:]
        raise CannotInstall(f"{requirement}: {' '.join(said)[:300]}") from error
    stamp.touch()
    return folder
