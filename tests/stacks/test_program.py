"""Every committed stack through the real program, with the engine's answers recorded."""

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

MARKER = "marker-secret-value"
JOB = "nomad:index/job:Job"
SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"


def plain(value: Any) -> Any:
    """A value without its secret parts."""
    if isinstance(value, dict):
        if SECRET_SIGNATURE in value:
            return None
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def jobs(recorded: Any) -> dict[str, dict[str, Any]]:
    documents = [json.loads(job.inputs["jobspec"])["Job"] for job in recorded.of_type(JOB)]
    return {document["ID"]: document for document in documents}


def test_the_program_registers_a_job_for_each_expert_and_the_gateway(
    recorded: Any, stack_name: str, committed: Callable[[str], dict[str, Any]]
) -> None:
    experts = committed(stack_name)["experts"]
    assert set(jobs(recorded)) == {"gateway", *(f"expert-{name}" for name in experts)}


def test_no_secret_stands_in_a_plain_input(recorded: Any) -> None:
    shown = {resource.name: json.dumps(plain(resource.inputs)) for resource in recorded.resources}
    assert [name for name, text in shown.items() if MARKER in text] == []
    hidden = [r.name for r in recorded.resources if MARKER in json.dumps(r.inputs)]
    assert hidden, "the harness sees no secrets at all, so the rule above proves nothing"


def test_no_two_resources_share_type_and_name(recorded: Any) -> None:
    names = [(resource.typ, resource.name) for resource in recorded.resources]
    assert len(names) == len(set(names))
    assert len(names) > 20


def test_preflight_runs_before_any_resource(recorded: Any, stack_name: str) -> None:
    local = stack_name == "dev"
    assert [call.token for call in recorded.calls] == ["command:local:run"] * local


def test_commands_take_their_scripts_on_stdin(recorded: Any) -> None:
    commands = [r for r in recorded.resources if r.typ.endswith(":Command")]
    assert commands
    for command in commands:
        texts = {command.inputs.get(key) for key in ("create", "delete")} - {None}
        assert texts <= {"bash -s ensure", "bash -s remove"}


def test_every_job_is_pinned_to_its_planned_host(recorded: Any) -> None:
    for job in jobs(recorded).values():
        (constraint,) = job["Constraints"]
        assert constraint["LTarget"] == "${node.unique.name}"


def test_a_changed_expert_changes_exactly_its_own_job(
    run: Callable[..., Any], committed: Callable[[str], dict[str, Any]]
) -> None:
    before = run("dev", committed("dev"))
    changed = committed("dev")
    changed["experts"]["general"]["context-tokens"] = 4096
    changed["experts"]["general"]["ladder"] = ["lfm2.5-230m:q4_k_m", "selftest"]
    after = run("dev", changed)
    difference = {
        resource.name
        for resource in after.resources
        if resource.inputs not in [r.inputs for r in before.resources if r.name == resource.name]
    }
    assert difference == {"expert-general-job"}


def test_a_changed_context_restarts_the_gateway_only_where_it_routes(
    run: Callable[..., Any], committed: Callable[[str], dict[str, Any]]
) -> None:
    def gateway_jobs(context: int) -> str:
        cluster = committed("dev")
        cluster["experts"]["general"]["context-tokens"] = context
        cluster["gateway"]["routing"] = {
            "rules": [{"name": "code", "when": {"code": True}, "expert": "general"}]
        }
        return json.dumps(jobs(run("dev", cluster))["gateway"])

    assert gateway_jobs(4096) != gateway_jobs(8192)


def test_bad_configuration_ends_in_a_message_and_registers_nothing(
    run: Callable[..., Any], committed: Callable[[str], dict[str, Any]]
) -> None:
    broken = committed("dev")
    broken["experts"]["general"]["slotss"] = 2
    with pytest.raises(pulumi.RunError) as caught:
        run("dev", broken)
    assert "did you mean 'slots'?" in str(caught.value)
