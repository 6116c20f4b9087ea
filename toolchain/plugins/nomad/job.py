"""``nomad:index/job:Job``: registers a job and, unless detached, waits until it is healthy."""

import json
from typing import Any, Final

from toolchain.plugins.diffing import Diff, Kind, compare
from toolchain.plugins.errors import InitFailed, PluginError
from toolchain.plugins.nomad.api import Api, NotFound
from toolchain.plugins.nomad.deployment import Follower, Outcome
from toolchain.plugins.resource import Checked, Created, Failure, Found, Log, Resource
from toolchain.plugins.values import UNKNOWN, Properties, reveal

_DEFAULTS: Final[Properties] = {
    "deregisterOnDestroy": True,
    "deregisterOnIdChange": True,
    "detach": True,
    "preserveCounts": False,
    "rerunIfDead": False,
}
_KNOWN: Final = frozenset(
    {*_DEFAULTS, "jobspec", "json", "hcl2", "policyOverride", "purgeOnDestroy", "readAllocationIds"}
)
_UNSET: Final = ("hcl2", "json", "policyOverride", "purgeOnDestroy")
_TIMEOUT_S: Final = 300.0
# What a changed spec makes unknown until the server has answered.
_RENEWED: Final = ("allocationIds", "modifyIndex", "region", "status")
_BORN: Final = (
    *_RENEWED,
    *("createIndex", "deploymentId", "deploymentStatus", "priority", "stable", "stop"),
    *("statusDescription", "submitTime", "version", "allAtOnce", "parentId"),
)


class Job(Resource):
    """A job. Id: the job's own. Specs are compared by meaning, not by text."""

    def __init__(self, api: Api, follower: Follower | None = None) -> None:
        self._api = api
        self._follower = follower or Follower(api)

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        failures = [
            Failure(key, f"Invalid or unknown key. Examine values at '{name}.{key}'.")
            for key in new
            if key not in _KNOWN and not key.startswith("__")
        ]
        if "jobspec" not in new:
            reason = (
                'Missing required argument. The argument "jobspec" is required, but no definition '
                f"was found.. Examine values at '{name}.jobspec'."
            )
            failures.append(Failure("jobspec", reason))
        return Checked({**_DEFAULTS, **new}, failures)

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        plain = reveal(new)
        if reveal(outputs.get("jobspec")) == plain["jobspec"]:
            diff = compare({**old, "jobspec": plain["jobspec"]}, new)
        else:
            diff = compare(old, new)
        unknown = plain["jobspec"] == UNKNOWN
        if "jobspec" in diff.changes and not unknown:
            self._diff_spec(diff, reveal(old), plain, outputs)
        if plain.get("rerunIfDead") and outputs.get("status") == "dead":
            diff.changes["status"] = Kind.UPDATE
        return diff

    def _diff_spec(self, diff: Diff, old: Properties, new: Properties, outputs: Properties) -> None:
        before, after = self._parse(old), self._parse(new)
        if before == after:
            # Spaces, comments and order of keys are no change.
            del diff.changes["jobspec"]
            return
        diff.changes |= dict.fromkeys(("modifyIndex", "region", "status"), Kind.UPDATE)
        diff.changes["allocationIds"] = Kind.ADD
        moved = before.get("Namespace") != after.get("Namespace")
        if moved or (before["ID"] != after["ID"] and new.get("deregisterOnIdChange")):
            diff.replaces.add("jobspec")
            return
        found = self._try_read(after["ID"], _namespace(after))
        index = outputs.get("modifyIndex")
        if found is not None and index is not None and str(found["JobModifyIndex"]) != str(index):
            # The official plugin refuses too: somebody else changed the job meanwhile.
            msg = "job modify index has changed since last refresh"
            raise PluginError(msg)

    def create(
        self, name: str, inputs: Properties, *, preview: bool, timeout_s: float, log: Log
    ) -> Created:
        if preview:
            plain = reveal(inputs)
            known: Properties = {}
            if plain["jobspec"] != UNKNOWN:
                spec = self._parse(plain)
                known = {
                    "name": spec.get("Name") or spec["ID"],
                    "namespace": _namespace(spec),
                    "datacenters": spec.get("Datacenters") or ["*"],
                    "type": spec.get("Type") or "service",
                }
            return Created(
                "", {**dict.fromkeys(_BORN, UNKNOWN), "name": UNKNOWN, **inputs, **known}
            )
        return self._register(inputs, timeout_s, log)

    def update(
        self,
        id_: str,
        outputs: Properties,
        old: Properties,
        new: Properties,
        *,
        preview: bool,
        timeout_s: float,
        log: Log,
    ) -> Properties:
        if preview:
            renewed = _RENEWED if reveal(old.get("jobspec")) != reveal(new["jobspec"]) else ()
            return {**outputs, **new, **dict.fromkeys(renewed, UNKNOWN)}
        return self._register(new, timeout_s, log).outputs

    def delete(self, id_: str, outputs: Properties, *, timeout_s: float, log: Log) -> None:
        if outputs.get("deregisterOnDestroy") is False:
            return
        purge = "true" if outputs.get("purgeOnDestroy") else "false"
        query = {"namespace": outputs.get("namespace") or "default", "purge": purge}
        try:
            self._api.call("DELETE", f"/v1/job/{id_}", query=query)
        except NotFound:
            return
        except PluginError as error:
            msg = f"error deregistering job: {error}"
            raise PluginError(msg) from None

    def read(self, id_: str, inputs: Properties, outputs: Properties) -> Found | None:
        try:
            found = self._api.get(f"/v1/job/{id_}", namespace=outputs.get("namespace") or "default")
        except NotFound:
            return None
        except PluginError as error:
            msg = f"error checking for job: {error}"
            raise PluginError(msg) from None
        return Found(inputs, {**outputs, **_facts(found)})

    def _register(self, inputs: Properties, timeout_s: float, log: Log) -> Created:
        plain = reveal(inputs)
        spec = self._parse(plain)
        namespace = _namespace(spec)
        request: Properties = {
            "Job": spec,
            "PolicyOverride": bool(plain.get("policyOverride")),
            "PreserveCounts": bool(plain.get("preserveCounts")),
            "Submission": {"Source": plain["jobspec"], "Format": "json"},
        }
        try:
            answer = self._api.call("POST", "/v1/jobs", request, {"namespace": namespace})
        except PluginError as error:
            msg = f"error applying jobspec: {error}"
            raise PluginError(msg) from None
        job, evaluation = spec["ID"], answer.get("EvalID")
        outcome = Outcome("", "")
        try:
            if not plain.get("detach") and evaluation:
                outcome = self._follower.follow(evaluation, timeout_s or _TIMEOUT_S, log)
        except PluginError as error:
            partial = {
                **dict.fromkeys(_UNSET),
                **inputs,
                "name": job,
                "namespace": namespace,
                "modifyIndex": str(answer["JobModifyIndex"]),
                "deploymentId": None,
                "status": None,
            }
            msg = f"error waiting for job '{job}' to schedule/deploy successfully: {error}"
            raise InitFailed(msg, job, partial) from None
        found = self._api.get(f"/v1/job/{job}", namespace=namespace)
        detached = bool(plain.get("detach"))
        return Created(
            job,
            {
                **dict.fromkeys(_UNSET),
                **inputs,
                **_facts(found),
                "deploymentId": None if detached else outcome.deployment,
                "deploymentStatus": None if detached else outcome.status,
                "allocationIds": [],
                "readAllocationIds": False,
            },
        )

    def _try_read(self, job: str, namespace: str) -> Any:
        """The job on the server, or None when it is gone or the server is not to be reached: a
        preview passes without a server.
        """
        try:
            return self._api.get(f"/v1/job/{job}", namespace=namespace)
        except PluginError:
            return None

    def _parse(self, plain: Properties) -> Any:
        """The job of a spec in the API's form. Raises PluginError for what cannot be parsed."""
        text = plain["jobspec"]
        if not plain.get("json"):
            hcl = {"JobHCL": text, "Canonicalize": False}
            try:
                return self._api.call("POST", "/v1/jobs/parse", hcl)
            except PluginError as error:
                msg = f"error parsing jobspec: {error}"
                raise PluginError(msg) from None
        try:
            document = json.loads(text)
        except ValueError as error:
            msg = f"error parsing jobspec: {error}"
            raise PluginError(msg) from None
        spec = document.get("Job", document) if isinstance(document, dict) else None
        if not isinstance(spec, dict) or not spec.get("ID"):
            msg = "error parsing jobspec: the JSON job has no ID"
            raise PluginError(msg)
        return spec


def _namespace(spec: Properties) -> str:
    return str(spec.get("Namespace") or "default")


def _facts(job: Properties) -> Properties:
    """A job of the API as the resource's outputs."""
    return {
        "name": job["Name"],
        "namespace": job["Namespace"],
        "type": job["Type"],
        "region": job["Region"],
        "datacenters": job["Datacenters"],
        "status": job["Status"],
        "statusDescription": job.get("StatusDescription") or "",
        "modifyIndex": str(job["JobModifyIndex"]),
        "createIndex": job["CreateIndex"],
        "version": job["Version"],
        "priority": job["Priority"],
        "submitTime": str(job["SubmitTime"]),
        "stable": job["Stable"],
        "stop": job["Stop"],
        "allAtOnce": job["AllAtOnce"],
        "parentId": job.get("ParentID") or "",
        "constraints": [_condition(one) for one in job.get("Constraints") or []],
        "periodicConfigs": [],
        "taskGroups": [_group(group) for group in job["TaskGroups"]],
        "updateStrategies": [],
    }


def _condition(constraint: Properties) -> Properties:
    return {
        "ltarget": constraint.get("LTarget", ""),
        "rtarget": constraint.get("RTarget", ""),
        "operand": constraint.get("Operand", ""),
    }


def _group(group: Properties) -> Properties:
    return {
        "name": group["Name"],
        "count": group["Count"],
        "meta": group.get("Meta") or {},
        "updateStrategies": [],
        "volumes": [],
        "tasks": [
            {
                "name": task["Name"],
                "driver": task["Driver"],
                "meta": task.get("Meta") or {},
                "volumeMounts": [],
            }
            for task in group["Tasks"]
        ],
    }
