"""One machine: how to reach it, what it does, what it is made of."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.model.base import Port, Section


class Role(StrEnum):
    """What a machine does in the cluster."""

    SERVER = "server"
    WORKER = "worker"


class CpuClass(StrEnum):
    """The instruction sets llama.cpp is built for; named after the first CPU that has them.

    There is no class for AMX: compilers of this era emit tile code that dies with SIGILL.
    """

    X64 = "x64"
    SSE42 = "sse42"
    SANDYBRIDGE = "sandybridge"
    IVYBRIDGE = "ivybridge"
    HASWELL = "haswell"
    SKYLAKEX = "skylakex"
    ICELAKE = "icelake"
    ZEN4 = "zen4"
    ARMV8 = "armv8"
    ARMV82 = "armv82"


class LocalConnection(Section):
    """The machine Pulumi runs on."""

    kind: Literal["local"] = Field(description="This machine.")


class SshConnection(Section):
    """A machine reached over SSH."""

    kind: Literal["ssh"] = Field(description="A machine reached over SSH.")
    address: str = Field(min_length=1, description="IP address or DNS name.")
    port: Port = Field(default=22, description="TCP port of sshd.")
    user: str = Field(min_length=1, description="The unprivileged user that deploys.")
    host_key: str = Field(
        pattern="^(ssh-|ecdsa-)",
        description="Public host key as in known_hosts; a machine with another key is refused.",
    )


class Hardware(Section):
    """What a machine is made of, as declared; preflight verifies it."""

    cpu_class: CpuClass = Field(description="Instruction sets llama.cpp is built for.")
    cores: int = Field(ge=1, description="Physical CPU cores.")
    memory_mib: int = Field(ge=256, description="Installed memory, MiB.")
    gpu: Literal["none", "cuda", "vulkan", "hip"] = Field(
        default="none", description="Accelerator llama.cpp may use."
    )


class WakeOnLan(Section):
    """How to wake a machine."""

    mac: str = Field(
        pattern="^([0-9a-f]{2}:){5}[0-9a-f]{2}$", description="MAC address, lower case, colons."
    )


class Power(Section):
    """When a machine may sleep and how it is woken."""

    wake_on_lan: WakeOnLan = Field(description="The magic packet's target.")
    idle_minutes: int = Field(default=30, ge=1, description="Idle time before the machine sleeps.")


class Host(Section):
    """One machine of the cluster."""

    connection: Annotated[
        LocalConnection | SshConnection,
        Field(discriminator="kind", description="How Pulumi reaches the machine."),
    ]
    roles: list[Role] = Field(min_length=1, description="What the machine does.")
    hardware: Literal["detect"] | Hardware = Field(
        description="`detect` (this machine only) or the declared hardware."
    )
    data_dir: str | None = Field(
        default=None,
        pattern="^/",
        description="State and models. Default: .hearth/<stack> here, /var/lib/hearth over SSH.",
    )
    power: Power | None = Field(default=None, description="Sleep and wake; absent: always on.")

    @model_validator(mode="after")
    def _detection_is_local(self) -> "Host":
        if self.hardware == "detect" and self.connection.kind != "local":
            msg = (
                "hardware: detect works on the local machine only; run "
                "`hearth doctor HOST --write` and paste the stanza it prints"
            )
            raise ValueError(msg)
        return self
