"""The base of every settings document that crosses from infrastructure to a service."""

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A frozen JSON document; unknown keys are an error on both sides of the seam."""

    model_config = ConfigDict(frozen=True, extra="forbid")
