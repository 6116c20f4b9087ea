"""``Namespace``, ``NodePool`` and ``SchedulerConfig`` of ``nomad:index``.

Owns their shapes. Does not own how a stored thing is checked or compared (stored).
"""

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from toolchain.plugins.errors import PluginError
from toolchain.plugins.nomad.acl import seconds
from toolchain.plugins.nomad.api import Api
from toolchain.plugins.nomad.stored import Shape, Stored, blamed
from toolchain.plugins.values import Properties

_RESERVED: Final = "default"
_ATTEMPTS: Final = 11
_PAUSE_S: Final = 5.0
_NS_PER_S: Final = 1_000_000_000

_CAPABILITIES: Final = {
    "enabledTaskDrivers": "EnabledTaskDrivers",
    "disabledTaskDrivers": "DisabledTaskDrivers",
    "enabledNetworkModes": "EnabledNetworkModes",
    "disabledNetworkModes": "DisabledNetworkModes",
}
_LIMITS: Final = {"default": "Default", "alloweds": "Allowed", "denieds": "Denied"}
_PREEMPTION: Final = {
    "batch_scheduler_enabled": "BatchSchedulerEnabled",
    "service_scheduler_enabled": "ServiceSchedulerEnabled",
    "sysbatch_scheduler_enabled": "SysBatchSchedulerEnabled",
    "system_scheduler_enabled": "SystemSchedulerEnabled",
}
_OVERSUBSCRIPTION: Final = {"enabled": True, "disabled": False}


class _Emptied(Stored):
    """A type whose deletion waits for its last users to go. Subclasses say what those look like."""

    busy: tuple[str, ...] = ()

    def __init__(self, api: Api, pause_s: float = _PAUSE_S) -> None:
        super().__init__(api)
        self._pause_s = pause_s

    def _delete(self, path: str) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                self._api.call("DELETE", path)
                return
            except PluginError as error:
                last = attempt == _ATTEMPTS - 1
                if last or not any(words in str(error) for words in self.busy):
                    raise
            # Jobs that were just deregistered need a moment to be counted as ended.
            time.sleep(self._pause_s)


class Namespace(_Emptied):
    """A namespace. Id: its name. An existing one of that name is overwritten."""

    busy = ("has non-terminal jobs",)
    shape = Shape(
        optional=(
            "capabilities",
            "consulConfig",
            "description",
            "meta",
            "nodePoolConfig",
            "vaultConfig",
        ),
        defaults={"quota": ""},
        computed=("consulConfig", "nodePoolConfig", "vaultConfig"),
    )

    def put(self, inputs: Properties, id_: str, timeout_s: float) -> str:
        name: str = inputs["name"]
        body = {
            "Name": name,
            "Description": inputs.get("description") or "",
            "Quota": inputs.get("quota") or "",
            "Meta": inputs.get("meta") or {},
            "Capabilities": _sent(inputs.get("capabilities"), _CAPABILITIES),
            "NodePoolConfiguration": _sent(inputs.get("nodePoolConfig"), _LIMITS),
            "VaultConfiguration": _sent(inputs.get("vaultConfig"), _LIMITS),
            "ConsulConfiguration": _sent(inputs.get("consulConfig"), _LIMITS),
        }
        with blamed(f'inserting namespace "{name}"'):
            self._api.call("PUT", f"/v1/namespace/{quote(name, safe='')}", body)
        return name

    def look(self, id_: str, known: Properties) -> Any:
        with blamed(f'reading namespace "{id_}"'):
            return self._api.get(f"/v1/namespace/{quote(id_, safe='')}")

    def remove(self, id_: str, known: Properties) -> None:
        if id_ == _RESERVED:
            # This one cannot be deleted: its attributes go back to what a new cluster has.
            self.put({"name": id_, "description": "Default shared namespace"}, id_, 0)
            return
        with blamed(f'deleting namespace "{id_}"'):
            self._delete(f"/v1/namespace/{quote(id_, safe='')}")

    def outputs(self, found: Any) -> Properties:
        return {
            "name": found["Name"],
            "description": found.get("Description") or None,
            "quota": found.get("Quota") or "",
            "meta": found.get("Meta") or None,
            "capabilities": _received(found.get("Capabilities"), _CAPABILITIES),
            "nodePoolConfig": _received(found.get("NodePoolConfiguration"), _LIMITS),
            "vaultConfig": _received(found.get("VaultConfiguration"), _LIMITS),
            "consulConfig": _received(found.get("ConsulConfiguration"), _LIMITS),
        }

    def normal(self, name: str, value: Any) -> Any:
        if isinstance(value, dict) and name in ("nodePoolConfig", "vaultConfig", "consulConfig"):
            # What may and may not be used are sets.
            return {
                key: sorted(item) if isinstance(item, list) else item
                for key, item in value.items()
                if item
            }
        if name == "capabilities" and value:
            return {key: item for key, item in value.items() if item}
        return super().normal(name, value)


class NodePool(_Emptied):
    """A node pool. Id: its name."""

    busy = ("has non-terminal jobs", "has nodes")
    shape = Shape(
        optional=("description", "meta", "nodeIdentityTtl", "schedulerConfig"),
        computed=("nodeIdentityTtl",),
    )

    def put(self, inputs: Properties, id_: str, timeout_s: float) -> str:
        name: str = inputs["name"]
        body: Properties = {
            "Name": name,
            "Description": inputs.get("description") or "",
            "Meta": inputs.get("meta") or {},
        }
        if config := inputs.get("schedulerConfig"):
            body["SchedulerConfiguration"] = {
                "SchedulerAlgorithm": config.get("schedulerAlgorithm") or "",
                "MemoryOversubscriptionEnabled": _OVERSUBSCRIPTION.get(
                    config.get("memoryOversubscription") or ""
                ),
            }
        if ttl := inputs.get("nodeIdentityTtl"):
            length = seconds(ttl)
            if not isinstance(length, float):
                raise PluginError(f'time: invalid duration "{ttl}"')
            body["NodeIdentityTTL"] = round(length * _NS_PER_S)
        with blamed(f'upserting node pool "{name}"'):
            self._api.call("PUT", f"/v1/node/pool/{quote(name, safe='')}", body)
        return name

    def look(self, id_: str, known: Properties) -> Any:
        with blamed(f'reading node pool "{id_}"'):
            return self._api.get(f"/v1/node/pool/{quote(id_, safe='')}")

    def remove(self, id_: str, known: Properties) -> None:
        with blamed(f'deleting node pool "{id_}"'):
            self._delete(f"/v1/node/pool/{quote(id_, safe='')}")

    def outputs(self, found: Any) -> Properties:
        config = found.get("SchedulerConfiguration")
        writings = {value: key for key, value in _OVERSUBSCRIPTION.items()}
        ttl = found.get("NodeIdentityTTL")
        return {
            "name": found["Name"],
            "description": found.get("Description") or None,
            "meta": found.get("Meta") or None,
            "nodeIdentityTtl": go_duration(ttl) if isinstance(ttl, int) else ttl,
            "schedulerConfig": config
            and {
                "schedulerAlgorithm": config.get("SchedulerAlgorithm") or "",
                "memoryOversubscription": writings.get(config.get("MemoryOversubscriptionEnabled")),
            },
        }

    def normal(self, name: str, value: Any) -> Any:
        if name == "nodeIdentityTtl":
            return seconds(value or "0s")
        if name == "schedulerConfig" and value:
            return {key: item for key, item in value.items() if item}
        return super().normal(name, value)


class SchedulerConfig(Stored):
    """The cluster's one scheduler configuration. Deleting it changes nothing on the server."""

    shape = Shape(
        optional=("preemptionConfig",),
        defaults={"memoryOversubscriptionEnabled": False, "schedulerAlgorithm": "binpack"},
        named=False,
        fixed=frozenset(),
    )

    def put(self, inputs: Properties, id_: str, timeout_s: float) -> str:
        wanted = inputs.get("preemptionConfig") or {}
        body = {
            "SchedulerAlgorithm": inputs["schedulerAlgorithm"],
            "MemoryOversubscriptionEnabled": bool(inputs["memoryOversubscriptionEnabled"]),
            "PreemptionConfig": {
                theirs: bool(wanted.get(ours)) for ours, theirs in _PREEMPTION.items()
            },
        }
        with blamed("upserting scheduler configuration"):
            self._api.call("PUT", "/v1/operator/scheduler/configuration", body)
        with blamed("getting region"):
            region = self._api.get("/v1/agent/self")["config"]["Region"]
        return f"nomad-scheduler-configuration-{region}"

    def look(self, id_: str, known: Properties) -> Any:
        with blamed("reading scheduler configuration"):
            return self._api.get("/v1/operator/scheduler/configuration")["SchedulerConfig"]

    def remove(self, id_: str, known: Properties) -> None:
        # Nobody knows what it was before, so it stays.
        return

    def outputs(self, found: Any) -> Properties:
        preemption = found.get("PreemptionConfig") or {}
        return {
            "memoryOversubscriptionEnabled": bool(found.get("MemoryOversubscriptionEnabled")),
            "schedulerAlgorithm": found.get("SchedulerAlgorithm") or "",
            "preemptionConfig": {
                ours: bool(preemption.get(theirs)) for ours, theirs in _PREEMPTION.items()
            },
        }

    def normal(self, name: str, value: Any) -> Any:
        # Four answers always come back; the ones not asked for are no difference.
        if name == "preemptionConfig" and isinstance(value, dict):
            return {key: item for key, item in value.items() if item}
        return super().normal(name, value)


def go_duration(nanoseconds: int) -> str:
    """A length of whole seconds as Go writes it, such as ``24h0m0s``; empty for none."""
    total = nanoseconds // _NS_PER_S
    if not total:
        return ""
    hours, rest = divmod(total, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"


def _sent(ours: Properties | None, names: Mapping[str, str]) -> Properties | None:
    if not ours:
        return None
    return {names[key]: value for key, value in ours.items() if key in names and value}


def _received(theirs: Properties | None, names: Mapping[str, str]) -> Properties | None:
    if not theirs:
        return None
    return {ours: theirs.get(name) for ours, name in names.items()}
