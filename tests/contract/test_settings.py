"""What infrastructure dumps is what a service parses; a misspelt key is an error on both sides."""

import pytest
from pydantic import ValidationError

from contract.expert_settings import ExpertSettings
from contract.gateway_settings import GatewaySecrets, GatewaySettings
from tests.gateway.fakes import secrets_of, settings_of

EXPERT = ExpertSettings.model_validate(
    {
        "expert": "general",
        "llama_server": "/opt/llama-server",
        "ladder": [{"name": "m", "path": "/models/m.gguf", "size": 7}],
        "context_tokens": 4096,
        "slots": 1,
        "threads": 1,
        "memory_limit_mib": 100,
        "state_file": "/tmp/s",
    }
)


@pytest.mark.parametrize(
    "document", [EXPERT, settings_of(), secrets_of()], ids=lambda d: type(d).__name__
)
def test_a_document_survives_the_way_through_json(document):
    assert type(document).model_validate_json(document.model_dump_json()) == document


@pytest.mark.parametrize("kind", [ExpertSettings, GatewaySettings, GatewaySecrets])
def test_an_unknown_key_is_refused(kind):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind.model_validate({"colour": "red"})


@pytest.mark.parametrize("kind", [ExpertSettings, GatewaySettings, GatewaySecrets])
def test_every_field_explains_itself(kind):
    assert [name for name, field in kind.model_fields.items() if not field.description] == []
