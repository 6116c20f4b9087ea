"""``nomad:index/aclPolicy:AclPolicy``, ``aclRole:AclRole`` and ``aclToken:AclToken``."""

import re
from typing import Any, Final
from urllib.parse import quote

from toolchain.plugins.nomad.stored import Shape, Stored, blamed
from toolchain.plugins.values import Properties, secret

_DEFAULT: Final = "default"
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z")


class AclPolicy(Stored):
    """Rules under a name, which is the id. An existing policy of that name is overwritten."""

    shape = Shape(required=("rulesHcl",), optional=("description", "jobAcl"))

    def put(self, inputs: Properties, id_: str, timeout_s: float) -> str:
        name: str = inputs["name"]
        body: Properties = {
            "Name": name,
            "Description": inputs.get("description") or "",
            "Rules": inputs["rulesHcl"],
        }
        if job := inputs.get("jobAcl"):
            body["JobACL"] = {
                "Namespace": job.get("namespace") or _DEFAULT,
                "JobID": job["jobId"],
                "Group": job.get("group") or "",
                "Task": job.get("task") or "",
            }
        with blamed(f'{"updating" if id_ else "inserting"} ACLPolicy "{name}"'):
            self._api.call("PUT", f"/v1/acl/policy/{quote(name, safe='')}", body)
        return name

    def look(self, id_: str, known: Properties) -> Any:
        with blamed(f'reading ACLPolicy "{id_}"'):
            return self._api.get(f"/v1/acl/policy/{quote(id_, safe='')}")

    def remove(self, id_: str, known: Properties) -> None:
        with blamed(f'deleting ACLPolicy "{id_}"'):
            self._api.call("DELETE", f"/v1/acl/policy/{quote(id_, safe='')}")

    def outputs(self, found: Any) -> Properties:
        job = found.get("JobACL")
        return {
            "name": found["Name"],
            "description": found.get("Description") or None,
            "rulesHcl": found["Rules"],
            "jobAcl": job
            and {
                "namespace": job.get("Namespace") or _DEFAULT,
                "jobId": job.get("JobID") or "",
                "group": job.get("Group") or None,
                "task": job.get("Task") or None,
            },
        }

    def normal(self, name: str, value: Any) -> Any:
        if name == "jobAcl" and value:
            return {"namespace": _DEFAULT, **{key: item for key, item in value.items() if item}}
        return super().normal(name, value)


class AclRole(Stored):
    """Policies under an id that the server makes; the name may change in place."""

    shape = Shape(
        required=("policies",),
        optional=("description",),
        fixed=frozenset(),
        sets=frozenset({"policies"}),
    )

    def put(self, inputs: Properties, id_: str, timeout_s: float) -> str:
        body: Properties = {
            "Name": inputs["name"],
            "Description": inputs.get("description") or "",
            "Policies": [{"Name": policy["name"]} for policy in inputs["policies"]],
        }
        if not id_:
            with blamed("creating ACL role"):
                return str(self._api.call("PUT", "/v1/acl/role", body)["ID"])
        with blamed(f'updating ACL role "{id_}"'):
            self._api.call("PUT", f"/v1/acl/role/{id_}", {"ID": id_, **body})
        return id_

    def look(self, id_: str, known: Properties) -> Any:
        with blamed(f'reading ACL role "{id_}"'):
            return self._api.get(f"/v1/acl/role/{id_}")

    def remove(self, id_: str, known: Properties) -> None:
        with blamed(f'deleting ACL role "{id_}"'):
            self._api.call("DELETE", f"/v1/acl/role/{id_}")

    def outputs(self, found: Any) -> Properties:
        return {
            "name": found["Name"],
            "description": found.get("Description") or None,
            "policies": [{"name": policy["Name"]} for policy in found.get("Policies") or []],
        }

    def normal(self, name: str, value: Any) -> Any:
        if name == "policies" and value:
            return sorted(policy["name"] for policy in value)
        return super().normal(name, value)


class AclToken(Stored):
    """A token. Id: its accessor; ``secretId`` is a secret output and never leaves the state."""

    shape = Shape(
        required=("type",),
        optional=("policies", "roles", "expirationTtl"),
        defaults={"global": False},
        fixed=frozenset({"global", "expirationTtl"}),
        sets=frozenset({"policies", "roles"}),
        computed=("accessorId", "createTime", "expirationTime", "expirationTtl", "secretId"),
    )

    def put(self, inputs: Properties, id_: str, timeout_s: float) -> str:
        body: Properties = {
            "Name": inputs["name"],
            "Type": inputs["type"],
            "Policies": inputs.get("policies") or [],
            "Roles": [{"ID": role["id"]} for role in inputs.get("roles") or []],
            "Global": bool(inputs.get("global")),
        }
        # The server refuses an update whose lifetime is not the one the token was made with.
        if seconds(inputs.get("expirationTtl") or "0s"):
            body["ExpirationTTL"] = inputs["expirationTtl"]
        if id_:
            with blamed(f'updating ACL token "{id_}"'):
                self._api.call("PUT", f"/v1/acl/token/{id_}", {"AccessorID": id_, **body})
            return id_
        with blamed("creating ACL token"):
            return str(self._api.call("PUT", "/v1/acl/token", body)["AccessorID"])

    def look(self, id_: str, known: Properties) -> Any:
        with blamed(f'reading ACL token "{id_}"'):
            return self._api.get(f"/v1/acl/token/{id_}")

    def remove(self, id_: str, known: Properties) -> None:
        with blamed(f'deleting ACL token "{id_}"'):
            self._api.call("DELETE", f"/v1/acl/token/{id_}")

    def outputs(self, found: Any) -> Properties:
        return {
            "accessorId": found["AccessorID"],
            "secretId": secret(found["SecretID"]),
            "name": found.get("Name") or None,
            "type": found["Type"],
            "policies": found.get("Policies"),
            "roles": [
                {"id": role["ID"], "name": role.get("Name") or ""}
                for role in found.get("Roles") or []
            ],
            "global": bool(found.get("Global")),
            "createTime": go_time(found["CreateTime"]),
            "expirationTime": go_time(found.get("ExpirationTime")),
            "expirationTtl": found.get("ExpirationTTL") or "0s",
        }

    def normal(self, name: str, value: Any) -> Any:
        # The server writes 24h0m0s for 24h. The official plugin takes that for a change and makes
        # a new token in every update; one token for as long as nothing changed is the better copy.
        if name == "expirationTtl":
            return seconds(value or "0s")
        if name == "roles" and value:
            return sorted(role["id"] for role in value)
        return super().normal(name, value)


_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str) -> float | str:
    """A duration such as ``1h30m``; what is none comes back as it is, for the server to refuse."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return 0.0 if text == "0" else text
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts), 9)


def go_time(text: str | None) -> str:
    """A time of the API in the official plugin's writing; empty for none."""
    found = _TIME.fullmatch(text or "")
    if found is None:
        return text or ""
    day, clock, fraction = found.groups()
    return f"{day} {clock}{(fraction or '').rstrip('0').rstrip('.')} +0000 UTC"
