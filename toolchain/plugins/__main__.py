"""``python -m toolchain.plugins NAME``: serve one plugin."""

import sys

from toolchain.plugins import main

raise SystemExit(main(sys.argv[1], sys.argv[2:]))
