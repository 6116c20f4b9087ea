"""The base of every section of the stack file: frozen, kebab-case, unknown keys refused."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from components import naming


def to_kebab(name: str) -> str:
    """Python's ``context_tokens`` is ``context-tokens`` in YAML."""
    return name.replace("_", "-")


class Section(BaseModel):
    """One mapping of the stack file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_kebab,
    )


Name = Annotated[
    str,
    Field(
        pattern=naming.NAME.pattern,
        description="Lower-case letters, digits and dashes; starts with a letter; at most 32.",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
