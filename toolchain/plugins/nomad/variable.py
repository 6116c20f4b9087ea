"""``nomad:index/variable:Variable``: secrets a job may read."""

from typing import Final

from toolchain.plugins.diffing import Diff, compare
from toolchain.plugins.nomad.api import Api, NotFound
from toolchain.plugins.resource import Checked, Created, Failure, Found, Log, Resource
from toolchain.plugins.values import Properties, reveal, secret

_DEFAULT: Final = "default"


class Variable(Resource):
    """A variable; its items are always secret outputs. Id: ``<path>@<namespace>``."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        failures = []
        if "items" not in new and "itemsWo" not in new:
            reason = (
                'Invalid combination of arguments. "items": one of `items,items_wo` must be '
                "specified"
            )
            failures.append(Failure("", reason))
        if "path" not in new:
            failures.append(
                Failure("path", 'Missing required argument. The argument "path" is required')
            )
        return Checked({"namespace": _DEFAULT, **new}, failures)

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        diff = compare(old, new)
        diff.replaces.update(key for key in diff.keys if key in ("path", "namespace"))
        return diff

    def create(
        self, name: str, inputs: Properties, *, preview: bool, timeout_s: float, log: Log
    ) -> Created:
        plain = reveal(inputs)
        if not preview:
            self._put(plain)
        return Created(f"{plain['path']}@{plain['namespace']}", _outputs(inputs))

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
        if not preview:
            self._put(reveal(new))
        return _outputs(new)

    def delete(self, id_: str, outputs: Properties, *, timeout_s: float, log: Log) -> None:
        plain = reveal(outputs)
        try:
            self._api.call(
                "DELETE", f"/v1/var/{plain['path']}", query={"namespace": plain["namespace"]}
            )
        except NotFound:
            return

    def read(self, id_: str, inputs: Properties, outputs: Properties) -> Found | None:
        path, _, namespace = id_.rpartition("@")
        try:
            found = self._api.get(f"/v1/var/{path}", namespace=namespace)
        except NotFound:
            return None
        there = {"items": secret(found["Items"])} if "itemsWo" not in inputs else {}
        return Found({**inputs, **there}, {**outputs, **there})

    def _put(self, plain: Properties) -> None:
        items = plain.get("items") if plain.get("items") is not None else plain["itemsWo"]
        self._api.call(
            "PUT",
            f"/v1/var/{plain['path']}",
            {"Namespace": plain["namespace"], "Path": plain["path"], "Items": items},
            {"namespace": plain["namespace"]},
        )


def _outputs(inputs: Properties) -> Properties:
    items = secret(inputs["items"]) if "items" in inputs else None
    return {**inputs, "items": items, "itemsWo": None}
