"""`python -m toolchain` for the checkout that this file lies in.

Owns reading the process's surroundings: arguments, environment, terminal. Does not own anything
that happens after that (cli).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from toolchain import cli
from toolchain import lock as lock_file
from toolchain.assembly import assemble
from toolchain.cache import Cache
from toolchain.checkout import Checkout
from toolchain.download import Downloader
from toolchain.installer import Installer
from toolchain.plugins.versions import VERSIONS
from toolchain.progress import display_for


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 complete, 1 something is missing or failed, 130 and 143 after a signal."""
    options = cli.parser().parse_args(arguments)
    display = display_for(sys.stderr)

    def make() -> Installer:
        return assemble(
            lock=lock_file.load(),
            cache=Cache.chosen(os.environ, options.cache),
            checkout=Checkout.containing_this_package(),
            versions=VERSIONS,
            display=display,
            environ=os.environ,
            downloader=Downloader(),
            python=Path(sys.executable),
        )

    return cli.execute(options, make, display)


if __name__ == "__main__":
    sys.exit(main())
