"""`python -m toolchain.plugins NAME [engine address]`: a plugin without its launcher.

Owns reading the command line. Does not own the plugins.
"""

from __future__ import annotations

import sys

from toolchain.plugins import main

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.stderr.write("usage: python -m toolchain.plugins NAME [ENGINE_ADDRESS]\n")
        raise SystemExit(2)
    raise SystemExit(main(sys.argv[1], sys.argv[2:]))
