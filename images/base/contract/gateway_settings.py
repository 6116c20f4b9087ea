"""What infrastructure tells the gateway: one plain document, one secret document."""

from pydantic import Field

from contract.base import Document


class GatewaySettings(Document):
    """The plain part; it stands readable in the jobspec, so it holds no secret."""

    host: str = Field(description="Address to listen on.")
    port: int = Field(ge=1, le=65535, description="TCP port to listen on.")
    nomad_address: str = Field(
        description="Base URL of the local Nomad agent, e.g. http://127.0.0.1:4646."
    )
    experts: list[str] = Field(
        min_length=1, description="Names of the experts of this stack; the model ids clients see."
    )
    aliases: dict[str, str] = Field(
        default_factory=dict, description="Other names clients may use, each for one expert."
    )
    default_expert: str = Field(
        description="The expert that answers model `auto` and an absent model."
    )
    probe_interval_s: float = Field(
        default=2.0,
        gt=0,
        description="Seconds between two looks at the catalogue and the replicas.",
    )
    request_timeout_s: float = Field(
        default=600.0, gt=0, description="Longest silence of an upstream before the request fails."
    )
    max_body_bytes: int = Field(
        default=32 * 1024 * 1024, gt=0, description="Largest accepted request body."
    )


class ApiKey(Document):
    """A client key: never the key itself, only what recognises it."""

    id: str = Field(description="Public prefix of the key, shown in logs and lists.")
    sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 of the whole key, lower-case hex."
    )


class GatewaySecrets(Document):
    """The secret part; it reaches the gateway as a 0600 file rendered from a Nomad variable."""

    keys: list[ApiKey] = Field(description="Keys that may call the API.")
    upstream_key: str = Field(description="Bearer key the experts' llama-servers demand.")
