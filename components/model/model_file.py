"""One downloadable model file."""

from pydantic import Field

from components.model.base import Section


class ModelFile(Section):
    """A GGUF file and what is known of it before it is downloaded."""

    repo: str | None = Field(default=None, description="Repository on the model hub.")
    revision: str = Field(default="main", description="Branch, tag or commit of the repository.")
    url: str | None = Field(
        default=None, pattern="^(https?|file)://", description="Full address; instead of repo."
    )
    file: str = Field(pattern="^[^/]+$", description="File name in the models directory.")
    size: int = Field(gt=0, description="Size in bytes; part of the check, and of the fit.")
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="Checksum; without one the size is checked and the first sum is remembered.",
    )
    kv_bytes_per_token: int = Field(
        default=16384, gt=0, description="Bytes of key/value cache per token of context (f16)."
    )
    vocabulary: int = Field(default=65536, gt=0, description="Tokens; decides compute buffers.")
    licence: str = Field(default="unknown", description="Licence of the weights.")
    purpose: str = Field(default="", description="What the model is good at.")
