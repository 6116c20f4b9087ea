"""The paths under /admin, as a client sees them."""

import asyncio
import datetime
import hashlib
import logging

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response

from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.access.access import Access
from gateway.access.admin import Admin
from gateway.errors import GatewayError, Unauthorized
from gateway.reply.dialects import error_body

ADMIN = "hearth-admin-of-the-test"
CLIENT = "sk-client-from-a-file"
NOW = 20_000 * 86_400.0  # 2024-10-04


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


async def as_answer(_: Request, error: Exception) -> Response:
    return Response(error_body(error), error.status, headers=error.headers())


def app_over(access):
    app = FastAPI()
    admin = Admin(
        access, models=["coder", "general", "auto"], endpoints=["chat", "rerank"], clock=lambda: NOW
    )
    app.include_router(admin.router())
    app.add_exception_handler(GatewayError, as_answer)
    return app


def access_over(folder, **secrets):
    settings = GatewaySettings.model_validate(
        {
            "experts": {"general": {"upstreams": [{"url": "http://127.0.0.1:1"}]}},
            "data_dir": None if folder is None else str(folder),
            "keys": [{"id": "file", "sha256": digest(CLIENT)}],
        }
    )
    given = GatewaySecrets.model_validate({"admin_key_sha256": digest(ADMIN)} | secrets)
    return Access(settings, given, clock=lambda: NOW)


def client_of(access, key=ADMIN):
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app_over(access))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)


async def made_keys(admin):
    """The keys that do not stand in the settings."""
    keys = (await admin.get("/admin/keys")).json()["data"]
    return [key for key in keys if key["source"] == "store"]


@pytest.fixture
def access(tmp_path):
    access = access_over(tmp_path)
    yield access
    access.close()


@pytest.fixture
def admin(access):
    return client_of(access)


async def made(admin, **fields):
    answer = await admin.post("/admin/keys", json={"name": "Ada"} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def error_of(answer):
    return answer.json()["error"]


PATHS = [
    ("GET", "/admin/keys"),
    ("POST", "/admin/keys"),
    ("GET", "/admin/keys/abcdefgh"),
    ("PATCH", "/admin/keys/abcdefgh"),
    ("DELETE", "/admin/keys/abcdefgh"),
    ("POST", "/admin/keys/abcdefgh/rotate"),
    ("GET", "/admin/usage"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 401, "invalid_api_key"),
        ("", 401, "invalid_api_key"),
        ("hearth-admin-of-another", 401, "invalid_api_key"),
        (digest(ADMIN), 401, "invalid_api_key"),
        (CLIENT, 403, "admin_only"),
    ],
)
async def test_nobody_but_the_admin_comes_in(access, method, path, key, status, code):
    answer = await client_of(access, key).request(method, path)
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_without_a_folder_every_path_says_what_to_do(method, path):
    access = access_over(None)
    answer = await client_of(access).request(method, path)
    assert (answer.status_code, error_of(answer)["code"]) == (409, "no_key_store")
    assert "data_dir" in error_of(answer)["message"]
    access.close()


async def test_a_made_key_opens_at_once_and_is_shown_once(access, admin):
    answer = await made(admin, models=["coder"], rpm=5, budget=2.5, priority="high")
    text = answer.pop("key")
    assert text.startswith(f"sk-hearth-{answer['id']}")
    key = access.ring.find(text.encode())
    assert (key.name, key.models, key.rpm, key.budget_micro, key.priority) == (
        "Ada",
        {"coder"},
        5,
        2_500_000,
        0,
    )
    assert answer["created_at"] == "2024-10-04T00:00:00Z"
    assert (await admin.get(f"/admin/keys/{answer['id']}")).json() == answer
    assert await made_keys(admin) == [answer]
    assert text[-20:] not in (await admin.get("/admin/keys")).text


async def test_a_key_of_the_settings_is_shown_and_cannot_be_changed_here(admin):
    shown = (await admin.get("/admin/keys/file")).json()
    assert (shown["id"], shown["source"], shown["created_at"]) == ("file", "settings", None)
    assert (await admin.get("/admin/keys")).json()["data"] == [shown]
    for answer in (
        await admin.patch("/admin/keys/file", json={"rpm": 5}),
        await admin.post("/admin/keys/file/rotate"),
        await admin.delete("/admin/keys/file"),
    ):
        assert (answer.status_code, error_of(answer)["code"]) == (409, "key_of_settings")
        assert "settings" in error_of(answer)["message"]


async def test_an_answer_with_a_key_is_kept_by_no_cache(admin):
    answer = await admin.post("/admin/keys", json={"name": "Ada"})
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"rpm": 0}, "rpm"),
        ({"rpm": "5"}, "rpm"),
        ({"rpm": True}, "rpm"),
        ({"budget": -1}, "budget"),
        ({"budget_period": "week"}, "budget_period"),
        ({"priority": "urgent"}, "priority"),
        ({"models": []}, "models"),
        ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_in_s": -5}, "expires_in_s"),
        ({"max_budget": 1}, "max_budget"),
        ({"expires_in_s": 5, "expires_at": "2030-01-01T00:00:00Z"}, None),
    ],
)
async def test_a_wrong_field_is_named_and_no_key_is_made(admin, fields, param):
    answer = await admin.post("/admin/keys", json={"name": "Ada"} | fields)
    assert (answer.status_code, error_of(answer)["param"]) == (400, param)
    assert await made_keys(admin) == []


async def test_a_body_that_is_no_json_is_a_bad_request(admin):
    answer = await admin.post("/admin/keys", content=b"{not json")
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("field", "known"), [("models", "auto, coder, general"), ("endpoints", "chat, rerank")]
)
async def test_an_unknown_scope_is_refused_with_the_known_ones(admin, field, known):
    key = await made(admin)
    for answer in (
        await admin.post("/admin/keys", json={"name": "Bob", field: ["nothing"]}),
        await admin.patch(f"/admin/keys/{key['id']}", json={field: ["nothing"]}),
    ):
        assert (answer.status_code, error_of(answer)["code"]) == (400, "unknown_scope")
        assert error_of(answer)["message"] == f"{field}: unknown: nothing; known: {known}."


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"expires_in_s": 60}, "2024-10-04T00:01:00Z"),
        ({"expires_at": "2030-01-01T02:00:00+02:00"}, "2030-01-01T00:00:00Z"),
        ({}, None),
    ],
)
async def test_an_end_may_be_given_in_two_ways(admin, fields, end):
    assert (await made(admin, **fields))["expires_at"] == end


async def test_a_change_is_in_force_at_once_and_null_removes_a_limit(access, admin):
    key = await made(admin, rpm=5, tpm=100, metadata={"team": "x"})
    version = access.ring.version
    answer = await admin.patch(f"/admin/keys/{key['id']}", json={"rpm": None, "name": "Eve"})
    assert (answer.json()["rpm"], answer.json()["tpm"], answer.json()["name"]) == (None, 100, "Eve")
    assert answer.json()["metadata"] == {"team": "x"}
    assert access.ring.version != version
    assert access.ring.find(key["key"].encode()).rpm is None


async def test_an_empty_change_changes_nothing(admin):
    key = await made(admin, rpm=5)
    del key["key"]
    assert (await admin.patch(f"/admin/keys/{key['id']}", json={})).json() == key


async def test_a_revoked_key_opens_nothing_once_the_answer_is_there(access, admin):
    key = await made(admin)
    answer = await admin.delete(f"/admin/keys/{key['id']}")
    assert answer.json()["revoked_at"] == "2024-10-04T00:00:00Z"
    with pytest.raises(Unauthorized):
        access.ring.find(key["key"].encode())
    again = await admin.patch(f"/admin/keys/{key['id']}", json={"rpm": 1})
    assert (again.status_code, error_of(again)["code"]) == (409, "key_revoked")


@pytest.mark.parametrize(("body", "old_opens"), [({}, True), ({"overlap_s": 0}, False)])
async def test_a_rotation_gives_another_text_for_the_same_key(access, admin, body, old_opens):
    key = await made(admin)
    answer = (await admin.post(f"/admin/keys/{key['id']}/rotate", json=body)).json()
    assert answer["id"] == key["id"]
    assert answer["key"] != key["key"]
    assert access.ring.find(answer["key"].encode()).id == key["id"]
    try:
        access.ring.find(key["key"].encode())
        opened = True
    except Unauthorized:
        opened = False
    assert opened == old_opens


async def test_a_rotation_needs_no_body(admin):
    key = await made(admin)
    answer = await admin.post(f"/admin/keys/{key['id']}/rotate")
    assert [secret["expires_at"] for secret in answer.json()["secrets"]] == [
        "2024-10-05T00:00:00Z",
        None,
    ]


@pytest.mark.parametrize(("method", "path"), [entry for entry in PATHS if "abcdefgh" in entry[1]])
async def test_an_unknown_key_is_not_found(admin, method, path):
    answer = await admin.request(method, path, content=b"")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "key_not_found")


async def test_usage_is_reported_with_what_was_counted_a_moment_ago(access, admin):
    access.ledger.add("abcdefgh", "general", 10, 4, 5, 1_500_000, False)
    access.ledger.add("abcdefgh", "coder", 1, 0, 2, 0, True)
    answer = (await admin.get("/admin/usage")).json()
    assert (answer["from"], answer["to"]) == ("2024-09-05", "2024-10-04")
    assert answer["total"] == {
        "requests": 2,
        "prompt_tokens": 11,
        "cached_tokens": 4,
        "completion_tokens": 7,
        "aborted": 1,
        "cost": 1.5,
    }
    assert [entry["model"] for entry in answer["by_model"]] == ["coder", "general"]
    assert [entry["day"] for entry in answer["by_day"]] == ["2024-10-04"]
    coder = await admin.get("/admin/usage", params={"model": "coder", "key": "abcdefgh"})
    assert coder.json()["total"]["requests"] == 1
    later = await admin.get("/admin/usage", params={"from": "2024-10-05", "to": "2024-10-06"})
    assert later.json()["total"]["requests"] == 0


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2024-10-02", "to": "2024-10-01"}, "from"),
        ({"since": "2024-10-02"}, "since"),
    ],
)
async def test_a_wrong_parameter_is_named(admin, parameters, param):
    answer = await admin.get("/admin/usage", params=parameters)
    assert (answer.status_code, error_of(answer)["param"]) == (400, param)


async def test_a_broken_store_is_said_and_known_keys_go_on(tmp_path, access, admin):
    key = await made(admin)
    access._database.close()
    for file in tmp_path.glob("keys.sqlite*"):
        file.write_bytes(b"garbage " * 4096)
    for method, path in PATHS:
        answer = await admin.request(
            method, path, json={"name": "Bob"} if f"{method} {path}" == "POST /admin/keys" else {}
        )
        assert (answer.status_code, error_of(answer)["code"]) == (503, "storage_unavailable")
    assert access.ring.find(key["key"].encode()).id == key["id"]


async def test_no_key_and_no_digest_is_ever_logged(admin, caplog):
    caplog.set_level(logging.DEBUG)
    key = await made(admin)
    other = (await admin.post(f"/admin/keys/{key['id']}/rotate")).json()
    await admin.post("/admin/keys", json={"name": "Bob", "rpm": key["key"]})
    await admin.delete(f"/admin/keys/{key['id']}")
    for text in (key["key"], other["key"], ADMIN):
        assert text not in caplog.text
        assert digest(text) not in caplog.text


async def test_a_refusal_does_not_repeat_a_value(admin):
    answer = await admin.post("/admin/keys", json={"name": "Bob", "rpm": "sk-pasted-by-mistake"})
    assert "pasted" not in answer.text


async def test_changes_at_once_are_all_kept(admin):
    keys = await asyncio.gather(*(made(admin, name=f"key {n}") for n in range(20)))
    listed = await made_keys(admin)
    assert {entry["id"] for entry in listed} == {key["id"] for key in keys}
    assert len({key["key"] for key in keys}) == 20


def test_the_clock_of_these_tests_is_a_day_people_know():
    assert datetime.datetime.fromtimestamp(NOW, datetime.UTC).isoformat()[:10] == "2024-10-04"
