"""Stand-ins for Pulumi's official plugins, used only where those cannot be had."""

import signal
import sys
from collections.abc import Sequence


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """Serve one plugin until the engine ends it.

    ``name`` is ``python`` for the language host or a key of ``versions.VERSIONS``; ``argv`` are the
    arguments the engine gave. Imports lazily: each plugin is its own process and starts in every
    single update, so it pays for what it uses and nothing else.
    """
    # Until a server listens there is nothing to end in order; Python's own answer to an interrupt
    # would be a traceback in the engine's output.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Must come before anything that imports protobuf messages of the SDK.
    from toolchain.plugins import bare

    bare.install()
    if name == "python":
        from toolchain.plugins import language

        return language.serve(arguments)
    from importlib import import_module

    from toolchain.plugins import server

    provider = import_module(f"toolchain.plugins.{name}").provider()
    return server.serve(provider, arguments)
