"""One stack for the whole live tier: brought up once, taken down at the end."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sandbox import Ports, Sandbox


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)


def require_free(*ports: int) -> None:
    for port in ports:
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"port {port} is taken"


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A dev stack that is up, with the built-in model as its only rung."""
    ports = Ports(nomad=17646, gateway=18000, dynamic=(25000, 25500))
    require_free(ports.nomad, ports.nomad + 1, ports.nomad + 2, ports.gateway)
    sandbox = Sandbox(root=tmp_path_factory.mktemp("hearth") / "c", ports=ports)
    sandbox.make()
    cluster = sandbox.cluster()
    cluster["experts"]["general"]["ladder"] = ["selftest"]
    cluster["experts"]["general"]["context-tokens"] = 4096
    sandbox.write(cluster)
    try:
        done = sandbox.hearth("up", "--yes")
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        yield sandbox
    finally:
        sandbox.hearth("down", "--yes")
