"""The gateway's own JSON routes do what a description of them says, whatever is sent."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contract.processes import KEY

pytestmark = pytest.mark.service
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "minLength": 1},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "additionalProperties": False,
        }
    },
}
NAMES = {"type": ["array", "null"], "items": {"type": "string"}, "minItems": 1}
LIMIT = {"type": ["integer", "null"], "minimum": 1, "maximum": 1000}
TERMS = {
    "name": {"type": "string", "minLength": 1, "maxLength": 40},
    "models": NAMES,
    "endpoints": NAMES,
    "rpm": LIMIT,
    "tpm": LIMIT,
    "concurrency": LIMIT,
    "daily_tokens": LIMIT,
    "budget": {"type": ["number", "null"], "minimum": 0, "maximum": 1e9},
    "budget_period": {"enum": ["day", "month", "total"]},
    "priority": {"enum": ["high", "normal", "low"]},
    "expires_in_s": {"type": ["number", "null"], "minimum": 1, "maximum": 1e9},
    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
}
KEY_SHOWN = {
    "type": "object",
    "required": ["object", "id", "name", "created_at", "expires_at", "secrets"],
    "properties": {"object": {"const": "key"}, "id": {"type": "string", "minLength": 8}},
}
LIST = {"type": "object", "required": ["object", "data"], "properties": {"data": {"type": "array"}}}
ANY = {"type": "object"}


def said(schema: dict) -> dict:
    return {"description": "x", "content": {"application/json": {"schema": schema}}}


def operation(success: int, schema: dict, *errors: int, body: dict | None = None, **more) -> dict:
    responses = {str(success): said(schema)} | {str(one): said(ERROR) for one in errors}
    made: dict[str, Any] = {"responses": responses, **more}
    if body is not None:
        content = {"application/json": {"schema": body}}
        made["requestBody"] = {"content": content, "required": True}
    return made


def parameter(name: str, place: str, schema: dict) -> dict:
    return {"name": name, "in": place, "schema": schema, "required": place == "path"}


ID = [parameter("id", "path", {"type": "string", "minLength": 1, "maxLength": 20})]
CREATED = {"type": "object", "properties": TERMS, "required": ["name"]}
CHANGED = {"type": "object", "properties": TERMS}
ROTATED = {"type": "object", "properties": {"overlap_s": {"type": "number", "minimum": 0}}}
DATE = {"type": "string", "format": "date"}
WINDOW = [parameter(name, "query", DATE) for name in ("from", "to")]
ASKED = {
    "type": "object",
    "properties": {
        "model": {"enum": ["auto", "general", "embed", "both"]},
        "messages": {"type": "array", "items": ANY},
        "tools": {"type": "array"},
        "max_tokens": {"type": "integer"},
    },
}
ADMIN_ERRORS = (400, 401, 403, 404, 405, 409)
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "gateway", "version": "1"},
    "paths": {
        "/health": {"get": operation(200, ANY, 405)},
        "/status.json": {"get": operation(200, ANY, 401, 405)},
        "/v1/models": {"get": operation(200, LIST, 401, 405)},
        "/v1/models/{id}": {"get": operation(200, ANY, 401, 404, 405, parameters=ID)},
        "/v1/route/explain": {
            "post": operation(200, ANY, 400, 401, 404, 405, 413, body=ASKED),
        },
        "/admin/keys": {
            "get": operation(200, LIST, *ADMIN_ERRORS),
            "post": operation(201, KEY_SHOWN, *ADMIN_ERRORS, body=CREATED),
        },
        "/admin/keys/{id}": {
            "get": operation(200, KEY_SHOWN, *ADMIN_ERRORS, parameters=ID),
            "patch": operation(200, KEY_SHOWN, *ADMIN_ERRORS, body=CHANGED, parameters=ID),
            "delete": operation(200, KEY_SHOWN, *ADMIN_ERRORS, parameters=ID),
        },
        "/admin/keys/{id}/rotate": {
            "post": operation(200, KEY_SHOWN, *ADMIN_ERRORS, body=ROTATED, parameters=ID),
        },
        "/admin/usage": {"get": operation(200, ANY, *ADMIN_ERRORS, parameters=WINDOW)},
    },
}
schema = schemathesis.openapi.from_dict(DOCUMENT)


@schema.parametrize()
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.parametrize("who", ["the administrator", "a client"])
def test_an_answer_is_one_of_those_described(case, siege, who):
    key = siege.gateway.admin_key if who == "the administrator" else KEY
    siege.count += 1
    response = case.call(
        base_url=siege.gateway.url, headers={"authorization": f"Bearer {key}"}, timeout=20
    )
    siege.answered += 1
    case.validate_response(response, checks=CHECKS)
