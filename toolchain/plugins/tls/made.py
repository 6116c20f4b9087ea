"""What requests and certificates have in common: checks, replacement, and a key given in secret."""

from __future__ import annotations

from typing import ClassVar

from toolchain.plugins.diffing import Diff, compare
from toolchain.plugins.random.once import Once
from toolchain.plugins.resource import Checked, Created, Failure, Log
from toolchain.plugins.values import Properties, reveal, secret


class Made(Once):
    """Subclasses name their inputs. ``key_input`` may also be given under its name with ``Wo``
    (write-only): then it is not repeated in the outputs, and only ``…WoVersion`` tells a change.
    """

    required: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[Properties] = {}
    key_input: ClassVar[str] = "privateKeyPem"
    # A change of these changes nothing about what was made.
    soft: ClassVar[frozenset[str]] = frozenset()

    @property
    def write_only(self) -> str:
        """The name of the write-only form of the key."""
        return f"{self.key_input}Wo"

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        keys = (self.key_input, self.write_only)
        known = {*self.required, *self.optional, *self.defaults, *keys, f"{self.write_only}Version"}
        failures = [
            Failure(key, f"Invalid or unknown key. Examine values at '{name}.{key}'.")
            for key in new
            if key not in known and not key.startswith("__")
        ]
        failures += [
            Failure(key, f'Missing required argument "{key}"')
            for key in self.required
            if new.get(key) is None
        ]
        if sum(new.get(key) is not None for key in keys) != 1:
            words = f"Exactly one of {keys[0]} and {keys[1]} must be set"
            failures.append(Failure(self.key_input, words))
        full = {key: secret(value) if key in keys else value for key, value in new.items()}
        return Checked(full, failures + self.refused(reveal(new)))

    def refused(self, plain: Properties) -> list[Failure]:
        """Further reasons to refuse revealed inputs; values may be unknown."""
        return []

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        before, after = {**self.defaults, **old}, {**self.defaults, **new}
        diff = compare(before, after, ignored=frozenset({self.write_only}))
        diff.replaces.update(set(diff.keys) - self.soft)
        return diff

    def create(
        self, name: str, inputs: Properties, *, preview: bool, timeout_s: float, log: Log
    ) -> Created:
        full = self.with_defaults(inputs)
        made = super().create(name, full, preview=preview, timeout_s=timeout_s, log=log)
        return Created(made.id, self.hidden(made.outputs))

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
        return self.hidden({**outputs, **self.with_defaults(new)})

    def with_defaults(self, inputs: Properties) -> Properties:
        """The inputs with what the program left open."""
        given = {key: value for key, value in inputs.items() if value is not None}
        return {**self.defaults, **given}

    def hidden(self, outputs: Properties) -> Properties:
        """Outputs with the key secret, or absent where it is write-only."""
        key = outputs.get(self.key_input)
        return {
            **outputs,
            self.key_input: None if key is None else secret(key),
            self.write_only: None,
        }

    def key_pem(self, inputs: Properties) -> str:
        """The key of revealed inputs, in whichever form it was given."""
        return str(inputs.get(self.key_input) or inputs[self.write_only])
