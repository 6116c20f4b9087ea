"""Stand-in for the command plugin: commands here and over SSH, and files copied there."""

from toolchain.plugins.command.local import LocalCommand, run_invoke
from toolchain.plugins.command.process import Processes
from toolchain.plugins.provider import Provider
from toolchain.plugins.versions import VERSIONS


def provider() -> Provider:
    """The plugin."""
    processes = Processes()
    return Provider(
        name="command",
        version=VERSIONS["command"],
        types={
            "command:local:Command": LocalCommand(processes),
        },
        invokes={"command:local:run": run_invoke(processes)},
        cancel=processes.kill_all,
    )
