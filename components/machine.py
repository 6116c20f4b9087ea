"""Where commands run: this machine or one over SSH, behind one small interface.

Owns how a script reaches a machine. Does not own what scripts say (render) or when they run
(the components). Scripts travel on stdin: argv and error messages stay free of their text, and a
changed text is an in-place update of one input.
"""

from abc import ABC, abstractmethod
from typing import Final

import pulumi
import pulumi_command as command

from components.model.host import SshConnection
from components.render.script import Script

SECRET_VARIABLE: Final = "SECRET"


class Machine(ABC):
    """One machine that can be told to do things."""

    def ensure(
        self,
        name: str,
        script: Script,
        *,
        secret: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions,
    ) -> pulumi.Resource:
        """Run the script's ``ensure`` whenever its text changes. ``secret`` becomes $SECRET."""
        return self._command(name, _stdin(script, secret), opts, create="bash -s ensure")

    def on_destroy(
        self, name: str, script: Script, *, opts: pulumi.ResourceOptions
    ) -> pulumi.Resource:
        """Run the script's ``remove`` when the stack is destroyed; until then do nothing."""
        return self._command(name, script.text(), opts, delete="bash -s remove")

    @abstractmethod
    def check(self, script: Script) -> None:
        """Run the script's ``check`` now, previews too. Raises pulumi.RunError with its output."""

    @abstractmethod
    def _command(
        self,
        name: str,
        stdin: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
        *,
        create: str | None = None,
        delete: str | None = None,
    ) -> pulumi.Resource:
        """A command resource of this machine."""


class LocalMachine(Machine):
    """The machine Pulumi runs on."""

    def check(self, script: Script) -> None:
        try:
            command.local.run(command="bash -s check", stdin=script.text())
        except Exception as error:
            # The SDK raises a bare Exception whose text ends with the command's output.
            text = str(error).partition("bash -s check")[2].lstrip('":\n') or str(error)
            msg = f"preflight found problems; nothing was changed:\n{text}"
            raise pulumi.RunError(msg) from None

    def _command(
        self,
        name: str,
        stdin: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
        *,
        create: str | None = None,
        delete: str | None = None,
    ) -> pulumi.Resource:
        return command.local.Command(
            name,
            create=create,
            delete=delete,
            stdin=stdin,
            add_previous_output_in_env=False,
            opts=opts,
        )


class SshMachine(Machine):
    """A machine over SSH. Previews never dial it. Without a key the SSH agent is asked."""

    def __init__(self, connection: SshConnection, private_key: pulumi.Input[str] | None) -> None:
        self._connection = command.remote.ConnectionArgs(
            host=connection.address,
            port=float(connection.port),
            user=connection.user,
            host_key=connection.host_key,
            private_key=private_key,
        )

    def check(self, script: Script) -> None:
        """Remote facts are checked by the first command on the host; a preview must not dial."""

    def _command(
        self,
        name: str,
        stdin: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
        *,
        create: str | None = None,
        delete: str | None = None,
    ) -> pulumi.Resource:
        return command.remote.Command(
            name,
            connection=self._connection,
            create=create,
            delete=delete,
            stdin=stdin,
            add_previous_output_in_env=False,
            opts=opts,
        )


def _stdin(script: Script, secret: pulumi.Input[str] | None) -> pulumi.Input[str]:
    if secret is None:
        return script.text()
    # A generated token holds no quote, and a here-document would end up in a temporary file.
    return pulumi.Output.secret(secret).apply(
        lambda value: f"{SECRET_VARIABLE}='{value}'\n{script.text()}"
    )
