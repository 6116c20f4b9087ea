"""Jobs against a small fake of Nomad's HTTP API."""

import json
import socket
from typing import Any

import pytest

from toolchain.plugins.errors import InitFailed, PluginError
from toolchain.plugins.nomad.api import Api
from toolchain.plugins.nomad.deployment import Follower
from toolchain.plugins.nomad.job import Job
from toolchain.plugins.values import UNKNOWN


@pytest.fixture
def job(api: Api) -> Job:
    clock = iter(range(1_000_000))
    return Job(api, Follower(api, clock=lambda: float(next(clock)), sleep=lambda _: None))


def test_a_job_is_registered_and_described(job: Job, nomad_api: Any, live: Any) -> None:
    life = live(job, jobspec=nomad_api.spec(), json=True)
    outputs = life.made.outputs
    assert life.made.id == "web"
    assert outputs["modifyIndex"] == "11"
    assert outputs["status"] == "running"
    assert outputs["deploymentId"] is None
    assert outputs["taskGroups"][0]["tasks"][0]["driver"] == "raw_exec"
    assert not any("evaluation" in call for call in nomad_api.calls)


def test_the_token_is_sent_with_every_call(job: Job, nomad_api: Any, live: Any) -> None:
    live(job, jobspec=nomad_api.spec(), json=True)
    assert {headers["X-Nomad-Token"] for headers in nomad_api.headers} == {"the-token"}


def test_a_job_that_is_waited_for_tells_its_deployment(job: Job, nomad_api: Any, live: Any) -> None:
    life = live(job, jobspec=nomad_api.spec(), json=True, detach=False)
    assert life.made.outputs["deploymentId"] == "dep-1"
    assert life.made.outputs["deploymentStatus"] == "successful"


def test_a_failed_deployment_leaves_the_job_in_the_state(
    job: Job, nomad_api: Any, live: Any
) -> None:
    nomad_api.deployment = {"Status": "failed", "StatusDescription": "Failed due to deadline"}
    with pytest.raises(
        InitFailed, match="with status 'failed': 'Failed due to deadline'"
    ) as caught:
        live(job, jobspec=nomad_api.spec(), json=True, detach=False)
    assert caught.value.id == "web"
    assert caught.value.outputs["modifyIndex"] == "11"
    assert caught.value.outputs["status"] is None
    assert str(caught.value).startswith(
        "error waiting for job 'web' to schedule/deploy successfully: error waiting for evaluation:"
    )


def test_waiting_ends_with_the_timeout(job: Job, nomad_api: Any, live: Any) -> None:
    nomad_api.deployment = {"Status": "running", "StatusDescription": ""}
    with pytest.raises(InitFailed, match=r"state to become 'deployment_successful'.*timeout: 30s"):
        live(job, jobspec=nomad_api.spec(), json=True, detach=False)


def test_an_unchanged_job_asks_nobody(job: Job, nomad_api: Any, live: Any) -> None:
    spec = nomad_api.spec()
    life = live(job, jobspec=spec, json=True)
    nomad_api.calls.clear()
    assert not life.diff(jobspec=spec, json=True).changes
    assert nomad_api.calls == []


def test_spaces_and_the_order_of_keys_are_no_change(job: Job, nomad_api: Any, live: Any) -> None:
    spec = nomad_api.spec()
    life = live(job, jobspec=spec, json=True)
    turned = dict(reversed(json.loads(spec).items()))
    for same in (nomad_api.spec(indent=4), json.dumps(turned)):
        assert not life.diff(jobspec=same, json=True).changes


def test_a_changed_job_is_updated_in_place_with_the_official_paths(
    job: Job, nomad_api: Any, live: Any
) -> None:
    life = live(job, jobspec=nomad_api.spec(), json=True)
    changed = nomad_api.spec(Priority=70)
    diff = life.diff(jobspec=changed, json=True)
    assert set(diff.changes) == {"allocationIds", "jobspec", "modifyIndex", "region", "status"}
    assert diff.changes["allocationIds"] == "ADD"
    assert not diff.replaces
    seen = life.update(preview=True, jobspec=changed, json=True)
    assert {key for key, value in seen.items() if value == UNKNOWN} == {
        "allocationIds",
        "modifyIndex",
        "region",
        "status",
    }
    assert life.update(jobspec=changed, json=True)["priority"] == 70


@pytest.mark.parametrize("change", [{"job": "other"}, {"Namespace": "elsewhere"}])
def test_another_id_or_namespace_replaces(
    job: Job, nomad_api: Any, live: Any, change: dict[str, Any]
) -> None:
    life = live(job, jobspec=nomad_api.spec(), json=True)
    assert life.diff(jobspec=nomad_api.spec(**change), json=True).replaces


def test_a_changed_flag_alone_is_an_update_of_the_flag(job: Job, nomad_api: Any, live: Any) -> None:
    spec = nomad_api.spec()
    life = live(job, jobspec=spec, json=True)
    assert set(life.diff(jobspec=spec, json=True, purgeOnDestroy=True).changes) == {
        "purgeOnDestroy"
    }


def test_an_outside_change_stops_a_changed_spec_until_a_refresh(
    job: Job, nomad_api: Any, live: Any
) -> None:
    life = live(job, jobspec=nomad_api.spec(), json=True)
    nomad_api.jobs["web"]["JobModifyIndex"] = 99
    with pytest.raises(PluginError, match="job modify index has changed since last refresh"):
        life.diff(jobspec=nomad_api.spec(Priority=70), json=True)
    refreshed = life.read()
    assert refreshed.outputs["modifyIndex"] == "99"
    new = life.checked(life.inputs, {"jobspec": nomad_api.spec(Priority=70), "json": True})
    assert job.diff(life.inputs, new, refreshed.outputs).changes


def test_a_stopped_job_is_seen_by_a_refresh_and_started_when_asked_to(
    job: Job, nomad_api: Any, live: Any
) -> None:
    spec = nomad_api.spec()
    life = live(job, jobspec=spec, json=True)
    nomad_api.jobs["web"].update(Status="dead", Stop=True)
    refreshed = life.read()
    assert (refreshed.outputs["status"], refreshed.outputs["stop"]) == ("dead", True)
    quiet = life.checked(life.inputs, {"jobspec": spec, "json": True})
    assert not job.diff(life.inputs, quiet, refreshed.outputs).changes
    wanted = {**quiet, "rerunIfDead": True}
    assert "status" in job.diff(wanted, wanted, refreshed.outputs).changes


def test_a_job_that_has_gone_reads_as_gone_and_deletes_as_done(
    job: Job, nomad_api: Any, live: Any
) -> None:
    life = live(job, jobspec=nomad_api.spec(), json=True)
    nomad_api.jobs.clear()
    assert life.read() is None
    life.delete()


@pytest.mark.parametrize(("purge", "left"), [(False, True), (True, False)])
def test_deleting_purges_only_when_told_to(
    job: Job, nomad_api: Any, live: Any, purge: bool, left: bool
) -> None:
    life = live(job, jobspec=nomad_api.spec(), json=True, purgeOnDestroy=purge)
    life.delete()
    assert ("web" in nomad_api.jobs) is left


def test_deregistering_can_be_switched_off(job: Job, nomad_api: Any, live: Any) -> None:
    life = live(job, jobspec=nomad_api.spec(), json=True, deregisterOnDestroy=False)
    life.delete()
    assert nomad_api.jobs["web"]["Status"] == "running"


@pytest.mark.parametrize("spec", ["{", '{"Name": "x"}', "[]"])
def test_a_spec_that_is_none_fails_in_the_preview(job: Job, log: Any, spec: str) -> None:
    inputs = job.check("r", {}, {"jobspec": spec, "json": True}).inputs
    with pytest.raises(PluginError, match="error parsing jobspec"):
        job.create("r", inputs, preview=True, timeout_s=0, log=log)


def test_a_server_that_is_not_there_is_told_in_the_official_words(
    nomad_api: Any, live: Any
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    api = Api()
    api.configure({"address": f"http://{address}"})
    with pytest.raises(PluginError) as caught:
        live(Job(api), jobspec=nomad_api.spec(), json=True)
    assert str(caught.value).startswith("error applying jobspec: ")
    assert f"dial tcp {address}: connect: connection refused" in str(caught.value)


def test_a_refusal_carries_the_servers_words(job: Job, nomad_api: Any, live: Any) -> None:
    nomad_api.refuse = (403, "Permission denied")
    with pytest.raises(PluginError) as caught:
        live(job, jobspec=nomad_api.spec(), json=True)
    assert str(caught.value) == (
        "error applying jobspec: Unexpected response code: 403 (Permission denied)"
    )


def test_without_an_address_every_call_says_so(
    monkeypatch: pytest.MonkeyPatch, nomad_api: Any, live: Any
) -> None:
    monkeypatch.delenv("NOMAD_ADDR", raising=False)
    with pytest.raises(PluginError, match="address must be provided either in provider"):
        live(Job(Api()), jobspec=nomad_api.spec(), json=True)


def test_an_unknown_spec_makes_everything_unknown_in_a_preview(job: Job, log: Any) -> None:
    inputs = job.check("r", {}, {"jobspec": UNKNOWN, "json": True}).inputs
    made = job.create("r", inputs, preview=True, timeout_s=0, log=log)
    assert made.id == ""
    assert made.outputs["name"] == UNKNOWN
    assert made.outputs["modifyIndex"] == UNKNOWN
