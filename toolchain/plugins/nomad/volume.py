"""``nomad:index/dynamicHostVolume:DynamicHostVolume``: a directory that a host makes on request."""

import re
import time
from typing import Any, Final

from toolchain.plugins.errors import PluginError
from toolchain.plugins.nomad.api import Api
from toolchain.plugins.nomad.stored import Shape, Stored, blamed
from toolchain.plugins.values import Properties

_DEFAULT: Final = "default"
_READY: Final = "ready"
_TIMEOUT_S: Final = 300.0
_POLL_S: Final = 1.0
_SIZE: Final = re.compile(r"([\d.,]+)\s*([a-z]*)")
_STEPS: Final = "kmgtpe"


class DynamicHostVolume(Stored):
    """A volume. Id: a UUID that the server makes."""

    shape = Shape(
        required=("capabilities", "pluginId"),
        optional=("capacityMax", "capacityMin", "constraints", "nodeId", "nodePool", "parameters"),
        defaults={"namespace": _DEFAULT},
        fixed=frozenset({"nodeId"}),
        kept=("capacityMax", "capacityMin"),
        computed=(
            "capacity",
            "capacityBytes",
            "capacityMaxBytes",
            "capacityMinBytes",
            "hostPath",
            "nodeId",
            "nodePool",
            "state",
        ),
    )

    def __init__(self, api: Api, poll_s: float = _POLL_S) -> None:
        super().__init__(api)
        self._poll_s = poll_s

    def put(self, inputs: Properties, id_: str, timeout_s: float) -> str:
        name, namespace = inputs["name"], inputs.get("namespace") or _DEFAULT
        volume = {
            "ID": id_,
            "Namespace": namespace,
            "Name": name,
            "PluginID": inputs["pluginId"],
            "NodeID": inputs.get("nodeId") or "",
            "NodePool": inputs.get("nodePool") or "",
            "Parameters": inputs.get("parameters") or {},
            "Constraints": [
                {
                    "LTarget": one["attribute"],
                    "RTarget": one.get("value") or "",
                    "Operand": one.get("operator") or "=",
                }
                for one in inputs.get("constraints") or []
            ],
            "RequestedCapabilities": [
                {"AccessMode": one["accessMode"], "AttachmentMode": one["attachmentMode"]}
                for one in inputs["capabilities"]
            ],
            "RequestedCapacityMinBytes": _asked(inputs, "capacityMin"),
            "RequestedCapacityMaxBytes": _asked(inputs, "capacityMax"),
        }
        with blamed(f'upserting dynamic host volume "{name}"'):
            answer = self._api.call("PUT", "/v1/volume/host/create", {"Volume": volume})
        made = str(answer["Volume"]["ID"])
        self._await_ready(made, namespace, timeout_s or _TIMEOUT_S)
        return made

    def look(self, id_: str, known: Properties) -> Any:
        namespace = known.get("namespace") or _DEFAULT
        with blamed(f'checking for dynamic host volume "{id_}"'):
            return self._api.get(f"/v1/volume/host/{id_}", namespace=namespace)

    def remove(self, id_: str, known: Properties) -> None:
        query = {"namespace": known.get("namespace") or _DEFAULT}
        with blamed(f'deleting dynamic host volume "{id_}"'):
            self._api.call("DELETE", f"/v1/volume/host/{id_}/delete", query=query)

    def outputs(self, found: Any) -> Properties:
        least = found.get("RequestedCapacityMinBytes") or 0
        most = found.get("RequestedCapacityMaxBytes") or 0
        return {
            "name": found["Name"],
            "namespace": found["Namespace"],
            "pluginId": found["PluginID"],
            "nodeId": found["NodeID"],
            "nodePool": found["NodePool"],
            "hostPath": found.get("HostPath") or "",
            "state": found["State"],
            "parameters": found.get("Parameters") or None,
            "capacity": shown_size(found.get("CapacityBytes") or 0),
            "capacityBytes": found.get("CapacityBytes") or 0,
            "capacityMin": _exact_size(least),
            "capacityMinBytes": least,
            "capacityMax": _exact_size(most),
            "capacityMaxBytes": most,
            "constraints": [
                {"attribute": one["LTarget"], "value": one["RTarget"], "operator": one["Operand"]}
                for one in found.get("Constraints") or []
            ],
            "capabilities": [
                {"accessMode": one["AccessMode"], "attachmentMode": one["AttachmentMode"]}
                for one in found.get("RequestedCapabilities") or []
            ],
        }

    def normal(self, name: str, value: Any) -> Any:
        if name in ("capacityMin", "capacityMax") and isinstance(value, str):
            size = parsed_size(value)
            return value if size is None else size
        if name == "constraints" and value:
            return [{"operator": "=", "value": "", **one} for one in value]
        return super().normal(name, value)

    def _await_ready(self, id_: str, namespace: str, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while True:
            with blamed("polling for dynamic host volume readiness"):
                state = self._api.get(f"/v1/volume/host/{id_}", namespace=namespace)["State"]
            if state == _READY:
                return
            if time.monotonic() >= end:
                raise PluginError(
                    f"error polling for dynamic host volume readiness: volume {id_} "
                    f"is still {state} after {timeout_s:.0f}s"
                )
            time.sleep(self._poll_s)


def _asked(inputs: Properties, name: str) -> int:
    text = inputs.get(name)
    if not text:
        return 0
    size = parsed_size(text)
    if size is None:
        words = "capacity_min" if name == "capacityMin" else "capacity_max"
        raise PluginError(f'could not parse {words} value as bytes: "{text}" is no size')
    return size


def parsed_size(text: str) -> int | None:
    """Bytes of a size such as ``10 GiB`` or ``1.5 MB``; None for what is no size."""
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None:
        return None
    number, unit = found.group(1).replace(",", ""), found.group(2)
    base = 1024 if unit.endswith(("ib", "i")) else 1000
    letter = unit.removesuffix("b").removesuffix("i")
    if len(letter) > 1 or (letter and letter not in _STEPS):
        return None
    try:
        return int(float(number) * base ** (_STEPS.index(letter) + 1 if letter else 0))
    except ValueError:
        return None


def shown_size(size: int) -> str:
    """A size as people write it, in steps of 1024."""
    number, step = float(size), 0
    while number >= 1024 and step < len(_STEPS):
        number, step = number / 1024, step + 1
    if not step:
        return f"{size} B"
    digits = f"{number:.1f}" if number < 10 else f"{number:.0f}"
    return f"{digits} {_STEPS[step - 1].upper()}iB"


def _exact_size(size: int) -> str | None:
    """A size that reads back as the same number, so that rounding never looks like a change."""
    shown = shown_size(size)
    return (shown if parsed_size(shown) == size else f"{size} B") if size else None
