"""The JSON Schema of the stack file, for editors; a test keeps the committed copy true."""

import json
from typing import Any

from components.model.cluster import ClusterConfig


def stack_schema() -> dict[str, Any]:
    """JSON Schema of a whole ``Pulumi.<stack>.yaml``."""
    cluster = ClusterConfig.model_json_schema(by_alias=True)
    definitions = cluster.pop("$defs")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hearth stack file",
        "type": "object",
        "properties": {
            "encryptionsalt": {"type": "string"},
            "secretsprovider": {"type": "string"},
            "config": {"type": "object", "properties": {"hearth:cluster": cluster}},
        },
        "$defs": definitions,
    }


def stack_schema_text() -> str:
    """The schema as committed: indented, with a final newline."""
    return json.dumps(stack_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(stack_schema_text(), end="")
