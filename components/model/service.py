"""The services around the experts: gateway, scheduler, how applications run."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from components.model.base import Name, Port, Section
from contract.gateway_settings import Admission, Timeouts
from contract.routing_settings import Routing


class Driver(StrEnum):
    """How Hearth's own services run."""

    RAW_EXEC = "raw_exec"
    DOCKER = "docker"


class Gateway(Section):
    """The OpenAI-compatible endpoint."""

    port: Port = Field(default=8000, description="TCP port of the API.")
    listen: str = Field(default="127.0.0.1", description="Address to listen on.")
    aliases: dict[str, Name] = Field(
        default_factory=dict, description="Other model names clients may use: alias -> expert."
    )
    default_expert: Name | None = Field(
        default=None, description="Answers an absent model; default: the first expert."
    )
    workers: int = Field(default=1, ge=1, le=8, description="Processes that share the port.")
    show_hosts: bool = Field(
        default=False, description="Name the machine that answered in the header x-hearth-host."
    )
    routing: Routing = Field(default=Routing(), description="How model `auto` chooses an expert.")
    admission: Admission = Field(default=Admission(), description="Waiting for a slot.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Longest phases of a request.")


class Nomad(Section):
    """The scheduler's own ports."""

    port: Annotated[int, Field(ge=1024, le=65533)] = Field(
        default=4646, description="HTTP port; RPC and gossip use the next two."
    )
    min_dynamic_port: Port = Field(default=20000, description="First port given to experts.")
    max_dynamic_port: Port = Field(default=32000, description="Last port given to experts.")

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> "Nomad":
        if self.max_dynamic_port - self.min_dynamic_port < 16:
            msg = "max-dynamic-port must be at least min-dynamic-port + 16"
            raise ValueError(msg)
        return self


class Apps(Section):
    """How Hearth's own services run."""

    driver: Driver = Field(
        default=Driver.RAW_EXEC,
        description=(
            "docker: the gateway runs in a container from an image built here; raw_exec: as a "
            "process. Experts are native binaries and always run as processes."
        ),
    )
    base_image: str = Field(
        default="python:3.12-slim",
        pattern="^[a-z0-9][a-zA-Z0-9._:/@-]*$",
        description=(
            "With driver docker: the image the services' images start from. It needs glibc and "
            "Python 3.11 or newer with pip; one brought by `docker import` needs no registry."
        ),
    )


class Hub(Section):
    """Where model files come from."""

    url: str = Field(
        default="https://huggingface.co",
        pattern="^(https?|file)://",
        description="Base address of the model hub or of a mirror of it.",
    )
