"""Builds llama.cpp for this machine as the dev stack would; live tests find it in the cache.

Runs the product's own scripts: ``python tests/live/build.py``. Nothing to do takes half a second.
"""

import subprocess
import sys
from pathlib import Path

import yaml

from components import stack
from components.plan.resolve import resolve
from components.render.app import app_script
from components.render.build import build_script


def main() -> int:
    """Lay out the smoke test's generator and ensure the build."""
    text = (Path(stack.CHECKOUT) / "Pulumi.dev.yaml").read_text()
    catalogue = stack.read_catalogue()
    config = stack.validate(yaml.safe_load(text)["config"]["hearth:cluster"], catalogue)
    worker = resolve(config, stack.read_facts("dev", catalogue)).workers[0]
    for script in (app_script(worker.runner), build_script(worker.build, generator=worker.runner)):
        done = subprocess.run(["bash", "-s", "ensure"], input=script.text(), text=True, check=False)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
