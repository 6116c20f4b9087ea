"""The base of every settings document that crosses from infrastructure to a service."""

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A frozen JSON document; unknown keys are an error on both sides of the seam.

    Fields may also be written with dashes, so that people's YAML can use the same classes.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        validate_by_name=True,
        validate_by_alias=True,
    )
