"""From a plugin's name to its running process.

Owns the choice. Does not own the plugins. Imports stand inside the branches because each plugin's
start-up time counts in every `pulumi` command.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from toolchain.plugins import lean
from toolchain.plugins.versions import VERSIONS


def run(name: str, argv: Sequence[str] | None) -> int:
    """See `toolchain.plugins.main`."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if name != "python" and name not in VERSIONS:
        known = ", ".join(["python", *VERSIONS])
        sys.stderr.write(f"no stand-in for a plugin named {name!r}; there are: {known}\n")
        return 2
    lean.install()
    if name == "python":
        from toolchain.plugins.language import host

        return host.run(arguments)
    return _serve_provider(name, arguments)


def _serve_provider(name: str, arguments: Sequence[str]) -> int:
    from pulumi.runtime.proto import provider_pb2_grpc

    from toolchain.plugins.engine import Engine, engine_address
    from toolchain.plugins.process import make_server, serve
    from toolchain.plugins.resource import Provider
    from toolchain.plugins.service import ProviderService

    version = VERSIONS[name]
    provider: Provider
    match name:
        case "command":
            from toolchain.plugins.command.provider import CommandProvider

            provider = CommandProvider(version)
        case "nomad":
            from toolchain.plugins.nomad.provider import NomadProvider

            provider = NomadProvider(version)
        case "random":
            from toolchain.plugins.random.provider import RandomProvider

            provider = RandomProvider(version)
        case "tls":
            from toolchain.plugins.tls.provider import TlsProvider

            provider = TlsProvider(version)
        case _:
            from toolchain.plugins.docker.provider import DockerProvider

            provider = DockerProvider(version)
    service = ProviderService(provider, Engine(engine_address(arguments)))
    server = make_server()
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(service, server)
    return serve(server, service.end)
