"""The files a gateway reads its settings from."""

import pytest

from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.documents import UnusableDocument, read_document
from tests.gateway.fakes import settings_of

BY_HAND = """
experts:
  general:
    upstreams:
      - url: http://127.0.0.1:9931  # llama-server
"""


def test_a_file_written_by_hand_needs_one_expert_and_nothing_else(tmp_path):
    file = tmp_path / "hearth.yaml"
    file.write_text(BY_HAND)
    settings = read_document(file, GatewaySettings)
    assert settings.default == "general"
    assert settings.experts["general"].upstreams[0].url == "http://127.0.0.1:9931"


def test_a_file_written_by_infrastructure_is_read_as_it_was_meant(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(settings_of().model_dump_json())
    assert read_document(file, GatewaySettings) == settings_of()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file"),
        ("a: [", "line "),
        ("a: \0", "no valid YAML"),
        ("experts: {}", "experts: "),
        ("7", "document: "),
        (BY_HAND + "colour: red", "colour: Extra inputs"),
        (BY_HAND.replace("http://127.0.0.1:9931", "ftp://x"), "experts.general.upstreams.0.url"),
        ("experts: {general: {}}", "give it upstreams, or give nomad_address"),
        (BY_HAND + "aliases: {a: nobody}", "there is no expert 'nobody'"),
    ],
)
def test_an_unusable_file_is_named_with_what_is_wrong(tmp_path, text, says):
    file = tmp_path / "hearth.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UnusableDocument) as caught:
        read_document(file, GatewaySettings)
    assert str(caught.value).startswith(str(file))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"keys": [{"id": "a", "sha256": "sk-leak"}]}',
        '{"upstream_key": ["sk-leak"]}',
        '{"pepper": "sk-leak"}',
        '{"sk: sk-leak',
        "a: sk-leak: b",
    ],
)
def test_a_secret_value_is_never_repeated(tmp_path, text):
    file = tmp_path / "secrets.json"
    file.write_text(text)
    with pytest.raises(UnusableDocument) as caught:
        read_document(file, GatewaySecrets)
    assert "sk-leak" not in str(caught.value)
    assert caught.value.__cause__ is None
