"""Where commands run: this machine or one over SSH, behind one small interface.

Owns how a script reaches a machine. Does not own what scripts say (render) or when they run
(the components). Scripts travel on stdin: argv and error messages stay free of their text, and a
changed text is an in-place update of one input.
"""

from typing import Final, Protocol

import pulumi
import pulumi_command as command

from components.model.host import Host
from components.render.script import Script

SECRET_VARIABLE: Final = "SECRET"


class Machine(Protocol):
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
        ...

    def on_destroy(
        self, name: str, script: Script, *, opts: pulumi.ResourceOptions
    ) -> pulumi.Resource:
        """Run the script's ``remove`` when the stack is destroyed; until then do nothing."""
        ...

    def check(self, script: Script) -> None:
        """Run the script's ``check`` now, previews too. Raises pulumi.RunError with its output."""
        ...


class LocalMachine:
    """The machine Pulumi runs on."""

    def ensure(
        self,
        name: str,
        script: Script,
        *,
        secret: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions,
    ) -> pulumi.Resource:
        return command.local.Command(
            name,
            create="bash -s ensure",
            stdin=_stdin(script, secret),
            add_previous_output_in_env=False,
            opts=opts,
        )

    def on_destroy(
        self, name: str, script: Script, *, opts: pulumi.ResourceOptions
    ) -> pulumi.Resource:
        return command.local.Command(
            name,
            delete="bash -s remove",
            stdin=script.text(),
            add_previous_output_in_env=False,
            opts=opts,
        )

    def check(self, script: Script) -> None:
        try:
            command.local.run(command="bash -s check", stdin=script.text())
        except Exception as error:
            # The SDK raises a bare Exception whose text ends with the command's output.
            text = str(error).partition("bash -s check")[2].lstrip('":\n') or str(error)
            raise pulumi.RunError(
                f"preflight found problems; nothing was changed:\n{text}"
            ) from None


class SshMachine:
    """A machine over SSH. Previews never dial it. Without a key the SSH agent is asked."""

    def __init__(self, host: Host, private_key: pulumi.Input[str] | None) -> None:
        assert host.connection.kind == "ssh"
        self._connection = command.remote.ConnectionArgs(
            host=host.connection.address,
            port=float(host.connection.port),
            user=host.connection.user,
            host_key=host.connection.host_key,
            private_key=private_key,
        )

    def ensure(
        self,
        name: str,
        script: Script,
        *,
        secret: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions,
    ) -> pulumi.Resource:
        return command.remote.Command(
            name,
            connection=self._connection,
            create="bash -s ensure",
            stdin=_stdin(script, secret),
            add_previous_output_in_env=False,
            opts=opts,
        )

    def on_destroy(
        self, name: str, script: Script, *, opts: pulumi.ResourceOptions
    ) -> pulumi.Resource:
        return command.remote.Command(
            name,
            connection=self._connection,
            delete="bash -s remove",
            stdin=script.text(),
            add_previous_output_in_env=False,
            opts=opts,
        )

    def check(self, script: Script) -> None:
        """Remote facts are checked by the first command on the host; a preview must not dial."""


def _stdin(script: Script, secret: pulumi.Input[str] | None) -> pulumi.Input[str]:
    if secret is None:
        return script.text()
    # A generated token holds no quote, and a here-document would end up in a temporary file.
    return pulumi.Output.secret(secret).apply(
        lambda value: f"{SECRET_VARIABLE}='{value}'\n{script.text()}"
    )
