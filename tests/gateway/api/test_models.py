"""What clients may ask for."""

import pytest


async def test_the_list_of_models_tells_what_serves_behind_each_name(serve, upstream, catalogue):
    catalogue.register("general", await upstream(rung="selftest"), preferred="big")
    gateway = await serve()
    listing = (await gateway.client.get("/v1/models")).json()
    assert listing["object"] == "list"
    models = {model["id"]: model for model in listing["data"]}
    assert list(models) == ["general", "coder", "gpt-4o-mini", "auto"]
    for model in models.values():
        assert (model["object"], model["owned_by"]) == ("model", "hearth")
        assert model["created"] > 1_700_000_000
    known = {
        "expert": "general",
        "description": "",
        "capabilities": ["chat"],
        "context_tokens": None,
        "serving": "selftest",
        "preferred": "big",
        "degraded": True,
        "replicas": 1,
        "slots": 8,
    }
    assert models["general"]["hearth"] == known
    assert models["gpt-4o-mini"]["hearth"] == known
    assert models["coder"]["hearth"]["replicas"] == 0
    assert models["coder"]["hearth"]["serving"] is None


@pytest.mark.parametrize("name", ["general", "gpt-4o-mini", "auto"])
async def test_each_name_of_the_list_has_an_entry_of_its_own(serve, name):
    gateway = await serve()
    listing = (await gateway.client.get("/v1/models")).json()["data"]
    entry = next(model for model in listing if model["id"] == name)
    assert (await gateway.client.get(f"/v1/models/{name}")).json() == entry


@pytest.mark.parametrize("name", ["gpt-99", "org/model", "", "%00"])
async def test_any_other_name_is_404(serve, name):
    gateway = await serve()
    answer = await gateway.client.get(f"/v1/models/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


async def test_what_the_settings_say_of_an_expert_is_shown(serve):
    route = {
        "description": "writes",
        "context_tokens": 4096,
        "capabilities": ["chat", "vision"],
    }
    gateway = await serve(experts={"general": route}, aliases={})
    shown = (await gateway.client.get("/v1/models/general")).json()["hearth"]
    assert {name: shown[name] for name in route} == route


async def test_the_slots_of_a_model_are_those_of_its_live_replicas(serve, upstream, catalogue):
    first, second = await upstream(), await upstream()
    first.props, second.props = {"total_slots": 2}, {"total_slots": 3}
    catalogue.register("general", first, second)
    gateway = await serve()
    assert (await gateway.client.get("/v1/models/general")).json()["hearth"]["slots"] == 5
