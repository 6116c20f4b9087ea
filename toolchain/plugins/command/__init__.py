"""Stand-in for the command plugin: commands here and over SSH, and files copied there."""

from toolchain.plugins.command.copy import CopyToRemote
from toolchain.plugins.command.local import LocalCommand, run_invoke
from toolchain.plugins.command.process import Processes
from toolchain.plugins.command.remote import RemoteCommand
from toolchain.plugins.command.ssh import Sessions
from toolchain.plugins.provider import Provider
from toolchain.plugins.versions import VERSIONS


def provider() -> Provider:
    """The plugin."""
    processes, sessions = Processes(), Sessions()

    def cancel() -> None:
        processes.kill_all()
        sessions.cancel_all()

    return Provider(
        name="command",
        version=VERSIONS["command"],
        types={
            "command:local:Command": LocalCommand(processes),
            "command:remote:Command": RemoteCommand(sessions),
            "command:remote:CopyToRemote": CopyToRemote(sessions),
        },
        invokes={"command:local:run": run_invoke(processes)},
        cancel=cancel,
    )
