"""What local and remote commands have in common: when something runs, and what is known before."""

from abc import abstractmethod

from toolchain.plugins.diffing import Diff, compare
from toolchain.plugins.resource import Created, Log, Resource
from toolchain.plugins.values import UNKNOWN, Properties, has_unknown, reveal

_COMPUTED = ("stdout", "stderr", "assets", "archive")
_OUTPUTS = ("stdout", "stderr")


class Command(Resource):
    """A command resource. Subclasses say how a text is run."""

    @abstractmethod
    def execute(
        self, text: str, inputs: Properties, previous: Properties | None, log: Log
    ) -> Properties:
        """Run one command text with revealed inputs; returns stdout, stderr and files."""

    @abstractmethod
    def new_id(self, name: str) -> str:
        """An id for a new resource."""

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        diff = compare(old, new)
        # A changed trigger replaces through the SDK's own option; only the list as a whole is ours.
        if ("triggers" in old) != ("triggers" in new):
            diff.replaces.add("triggers")
        return diff

    def create(
        self, name: str, inputs: Properties, *, preview: bool, timeout_s: float, log: Log
    ) -> Created:
        if preview:
            return Created(self.new_id(name), {**inputs, **dict.fromkeys(_OUTPUTS, UNKNOWN)})
        results: Properties = dict.fromkeys(_OUTPUTS, "")
        plain = reveal(inputs)
        if plain.get("create") is not None:
            results = self.execute(plain["create"], plain, None, log)
        return Created(self.new_id(name), {**inputs, **results})

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
        kept = {name: outputs[name] for name in _COMPUTED if name in outputs}
        if preview:
            # Known outputs stay known when inputs were only added, as the official plugin has it.
            touched = any(
                name not in new or reveal(new[name]) != reveal(value) or has_unknown(new[name])
                for name, value in old.items()
                if not name.startswith("__")
            )
            return {**new, **(dict.fromkeys(kept, UNKNOWN) if touched else kept)}
        plain = reveal(new)
        text = plain.get("update") if plain.get("update") is not None else plain.get("create")
        if text is None:
            return {**new, **kept}
        return {**new, **self.execute(text, plain, reveal(kept), log)}

    def delete(self, id_: str, outputs: Properties, *, timeout_s: float, log: Log) -> None:
        plain = reveal(outputs)
        if plain.get("delete") is not None:
            self.execute(plain["delete"], plain, plain, log)


def previous_output(inputs: Properties, previous: Properties | None) -> dict[str, str]:
    """The variables that carry the output of the run before; empty values are left out."""
    if previous is None or inputs.get("addPreviousOutputInEnv") is False:
        return {}
    return {
        f"PULUMI_COMMAND_{name.upper()}": str(previous[name])
        for name in _OUTPUTS
        if previous.get(name)
    }
