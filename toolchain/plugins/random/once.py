"""A value made at creation, never again: any changed input makes a new resource."""

from abc import abstractmethod

from toolchain.plugins.diffing import Diff, compare
from toolchain.plugins.resource import Created, Log, Resource
from toolchain.plugins.values import UNKNOWN, Properties, reveal


class Once(Resource):
    """Subclasses name their outputs and make them."""

    computed: tuple[str, ...] = ()
    secret_outputs: tuple[str, ...] = ()

    @abstractmethod
    def make(self, inputs: Properties) -> tuple[str, Properties]:
        """The id and the computed outputs, from revealed inputs. Raises PluginError."""

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        diff = compare(old, new)
        diff.replaces.update(diff.keys)
        return diff

    def create(
        self, name: str, inputs: Properties, *, preview: bool, timeout_s: float, log: Log
    ) -> Created:
        if preview:
            return Created("", {**inputs, **dict.fromkeys(self.computed, UNKNOWN)})
        id_, made = self.make(reveal(inputs))
        return Created(id_, {**inputs, **made})

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
        return {**outputs, **new}
