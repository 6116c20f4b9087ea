"""Taking a stack down leaves nothing behind. Runs on a stack of its own."""

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

from sandbox import Ports, Sandbox


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def holders(port: int) -> list[tuple[str, bytes]]:
    """Status and command line of the processes that listen on a port."""
    sockets = {
        f"socket:[{fields[9]}]"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if int((fields := line.split())[1].rpartition(":")[2], 16) == port
    }
    found = []
    for handle in Path("/proc").glob("[0-9]*/task/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(handle.readlink()) in sockets:
                thread = handle.parent.parent
                found.append(((thread / "status").read_text()[:200], cmdline(int(thread.name))))
    return found


def test_down_leaves_no_process_no_port_and_nothing_outside_the_state_directory(
    tmp_path: Path,
) -> None:
    ports = Ports(nomad=17746, gateway=18100, dynamic=(25600, 25900))
    sandbox = Sandbox(root=tmp_path / "c", ports=ports)
    sandbox.make()
    cluster = sandbox.cluster()
    cluster["experts"]["general"]["ladder"] = ["selftest"]
    sandbox.write(cluster)
    outside = {path for path in sandbox.root.rglob("*") if ".hearth" not in path.parts}
    done = sandbox.hearth("up", "--yes")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        running = sandbox.processes()
        assert len(running) >= 3
        # The hardest case: the agent that should end the tasks is dead.
        (agent,) = [pid for pid in running if b"agent\0-config" in cmdline(pid)]
        os.kill(agent, signal.SIGKILL)
    finally:
        down = sandbox.hearth("down", "--yes")
    assert down.returncode == 0, down.stdout + down.stderr
    assert sandbox.processes() == []
    own = [ports.nomad, ports.nomad + 1, ports.nomad + 2, ports.gateway, *range(*ports.dynamic)]
    # The kernel takes a process from the list a moment before it closes its sockets.
    deadline = time.monotonic() + 5
    while found := [port for port in own if is_open(port)]:
        assert time.monotonic() < deadline, f"open: {[(port, holders(port)) for port in found]}"
    assert {path for path in sandbox.root.rglob("*") if ".hearth" not in path.parts} == outside
    mounts = Path("/proc/mounts").read_text()
    assert str(sandbox.root) not in mounts
