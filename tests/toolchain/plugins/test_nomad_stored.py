"""Variables and stored things against a small fake of Nomad's HTTP API."""

from typing import Any

import pytest

from toolchain.plugins.errors import PluginError
from toolchain.plugins.nomad import provider
from toolchain.plugins.nomad.acl import AclPolicy, AclToken, go_time, seconds
from toolchain.plugins.nomad.api import Api
from toolchain.plugins.nomad.named import go_duration
from toolchain.plugins.nomad.variable import Variable
from toolchain.plugins.nomad.volume import parsed_size, shown_size
from toolchain.plugins.values import UNKNOWN, is_secret, reveal, secret

# --- variables ------------------------------------------------------------------------------------


def test_a_variable_is_put_and_its_items_are_secret(api: Api, nomad_api: Any, live: Any) -> None:
    life = live(Variable(api), path="app/cfg", items={"k": "v"})
    assert life.made.id == "app/cfg@default"
    assert is_secret(life.made.outputs["items"])
    assert nomad_api.variables["app/cfg@default"]["Items"] == {"k": "v"}


def test_a_changed_item_is_an_update_and_another_path_a_replacement(api: Api, live: Any) -> None:
    life = live(Variable(api), path="app/cfg", items={"k": "v"})
    diff = life.diff(path="app/cfg", items={"k": "w", "n": "1"})
    assert dict(diff.changes) == {"items.k": "UPDATE", "items.n": "ADD"}
    assert not diff.replaces
    assert life.diff(path="app/other", items={"k": "v"}).replaces == {"path"}
    assert life.diff(path="app/cfg", namespace="n", items={"k": "v"}).replaces == {"namespace"}


def test_a_variable_changed_outside_is_put_right_after_a_refresh(
    api: Api, nomad_api: Any, live: Any
) -> None:
    life = live(Variable(api), path="app/cfg", items={"k": "v"})
    nomad_api.variables["app/cfg@default"]["Items"] = {"k": "tampered"}
    found = life.read()
    diff = life.resource.diff(found.inputs, life.inputs, found.outputs)
    assert dict(diff.changes) == {"items.k": "UPDATE"}
    nomad_api.variables.clear()
    assert life.read() is None
    life.delete()


def test_a_variable_without_items_is_refused(api: Api) -> None:
    (failure,) = Variable(api).check("v", {}, {"path": "x"}).failures
    assert "one of `items,items_wo` must be specified" in failure.reason


# --- stored things --------------------------------------------------------------------------------

RULES = 'namespace "default" { policy = "read" }'


def test_a_name_is_made_up_once_and_kept(api: Api, live: Any) -> None:
    life = live(AclPolicy(api), rulesHcl=RULES)
    assert life.made.id.startswith("r-")
    assert len(life.made.id) == 2 + 7
    assert not life.diff(rulesHcl=RULES).changes
    assert life.diff(name="mine", rulesHcl=RULES).replaces == {"name"}


def test_a_name_that_was_given_is_not_kept_when_it_is_taken_away(api: Api, live: Any) -> None:
    life = live(AclPolicy(api), name="mine", rulesHcl=RULES)
    assert life.diff(rulesHcl=RULES).replaces == {"name"}


def test_drift_shows_for_what_was_given_and_for_what_was_not(
    api: Api, nomad_api: Any, live: Any
) -> None:
    life = live(AclPolicy(api), name="p", rulesHcl=RULES)
    assert life.read().inputs == life.inputs
    nomad_api.stored["p"] |= {"Description": "by hand", "Rules": "other"}
    found = life.read()
    diff = life.resource.diff(found.inputs, life.inputs, found.outputs)
    assert dict(diff.changes) == {"description": "DELETE", "rulesHcl": "UPDATE"}


def test_zero_values_that_the_official_plugin_writes_out_are_no_change(api: Api) -> None:
    mine = {"name": "t", "type": "client", "global": False}
    official = {**mine, "expirationTtl": "0s", "policies": [], "__defaults": ["global"]}
    assert not AclToken(api).diff(official, mine, official).changes
    assert not AclToken(api).diff(mine, official, mine).changes


def test_a_token_is_secret_and_its_lifetime_may_be_written_either_way(api: Api, live: Any) -> None:
    given = {"name": "t", "type": "client", "policies": ["a", "b"], "expirationTtl": "24h"}
    life = live(AclToken(api), **given)
    assert is_secret(life.made.outputs["secretId"])
    assert life.made.outputs["expirationTtl"] == "24h0m0s"
    assert life.made.outputs["createTime"] == "2030-01-02 03:04:05.6789 +0000 UTC"
    assert not life.diff(**{**given, "expirationTtl": "24h0m0s"}).changes
    assert not life.diff(**{**given, "policies": ["b", "a"]}).changes
    assert life.diff(**{**given, "expirationTtl": "25h"}).replaces == {"expirationTtl"}
    assert life.read().inputs == life.inputs


def test_a_deletion_refused_because_nothing_is_there_is_done(api: Api, live: Any) -> None:
    life = live(AclToken(api), name="t", type="client")
    life.delete()
    life.delete()


def test_a_deletion_refused_for_another_reason_fails(api: Api, nomad_api: Any, live: Any) -> None:
    life = live(AclToken(api), name="t", type="client")
    nomad_api.refuse = (500, "no leader")
    with pytest.raises(PluginError, match=r"error deleting ACL token .*no leader"):
        life.delete()


def test_a_preview_knows_the_inputs_and_calls_nobody(api: Api, nomad_api: Any, log: Any) -> None:
    token = AclToken(api)
    inputs = token.check("t", {}, {"type": "client", "policies": [UNKNOWN]}).inputs
    made = token.create("t", inputs, preview=True, timeout_s=0, log=log)
    assert made.outputs["secretId"] == UNKNOWN
    assert made.outputs["type"] == "client"
    assert nomad_api.calls == []


def test_unknown_and_missing_inputs_are_refused(api: Api) -> None:
    names = [item.name for item in AclPolicy(api).check("p", {}, {"bogus": 1}).failures]
    assert names == ["bogus", "rulesHcl"]


def test_the_plugin_offers_every_type_of_its_table() -> None:
    assert len(provider().types) == 9


def test_a_secret_rule_reaches_the_server_in_plain(api: Api, nomad_api: Any, live: Any) -> None:
    life = live(AclPolicy(api), name="p", rulesHcl=secret(RULES))
    assert nomad_api.stored["p"]["Rules"] == RULES
    assert reveal(life.made.outputs)["rulesHcl"] == RULES


# --- small conversions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("24h0m0s", 86400.0), ("1h30m", 5400.0), ("1.5s", 1.5), ("0s", 0.0), ("0", 0.0)],
)
def test_durations_are_read(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["1 day", "h", "5", "-"])
def test_what_is_no_duration_is_left_for_the_server(text: str) -> None:
    assert seconds(text) == text


@pytest.mark.parametrize(
    ("length", "text"), [(86400, "24h0m0s"), (90, "1m30s"), (5, "5s"), (0, "")]
)
def test_durations_are_written_as_go_does(length: int, text: str) -> None:
    assert go_duration(length * 1_000_000_000) == text


def test_times_are_written_as_go_does() -> None:
    assert go_time("2030-01-02T03:04:05Z") == "2030-01-02 03:04:05 +0000 UTC"
    assert go_time(None) == ""


@pytest.mark.parametrize(
    ("text", "size"),
    [("1 GiB", 2**30), ("2GB", 2 * 10**9), ("1.5 k", 1500), ("7", 7), ("x", None), ("1 XB", None)],
)
def test_sizes_are_read(text: str, size: int | None) -> None:
    assert parsed_size(text) == size


def test_sizes_are_written_in_steps_of_1024() -> None:
    assert [shown_size(size) for size in (0, 1023, 1536, 20 * 2**30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "20 GiB",
    ]
