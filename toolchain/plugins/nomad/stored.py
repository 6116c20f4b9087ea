"""What the types have in common that the cluster stores whole: put, read, delete under an id.

Owns checks, names made up, diffs and previews of such types. Knows none of their fields; a type
tells them in its ``Shape`` and translates in the four abstract methods.
"""

import secrets
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from toolchain.plugins.diffing import Diff, compare
from toolchain.plugins.errors import PluginError
from toolchain.plugins.nomad.api import Api, NotFound
from toolchain.plugins.resource import Checked, Created, Failure, Found, Log, Resource
from toolchain.plugins.values import UNKNOWN, Properties, has_unknown, reveal

_FILLED: Final = "__defaults"


@dataclass(frozen=True)
class Shape:
    """A type's inputs and outputs.

    ``defaults`` are filled in by Check, ``named`` types get a name made up where none is given,
    a change of ``fixed`` replaces, ``sets`` are lists without an order, and ``computed`` are
    outputs that only the server knows. ``kept`` are inputs that the server returns rounded, so that
    outputs repeat the program's writing.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    defaults: Properties = field(default_factory=dict)
    named: bool = True
    fixed: frozenset[str] = frozenset({"name"})
    sets: frozenset[str] = frozenset()
    computed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def inputs(self) -> frozenset[str]:
        """All names a program may give."""
        name = ("name",) if self.named else ()
        return frozenset((*self.required, *self.optional, *self.defaults, *name))


@contextmanager
def blamed(doing: str) -> Iterator[None]:
    """Puts what was being done before the server's words, as the official plugin does."""
    try:
        yield
    except NotFound as error:
        raise NotFound(f"error {doing}: {error}") from None
    except PluginError as error:
        raise PluginError(f"error {doing}: {error}") from None


class Stored(Resource):
    """A type described by its shape."""

    shape: ClassVar[Shape]

    def __init__(self, api: Api) -> None:
        self._api = api

    @abstractmethod
    def put(self, inputs: Properties, id_: str, timeout_s: float) -> str:
        """Make it (empty id) or change it, from revealed inputs; returns the id."""

    @abstractmethod
    def look(self, id_: str, known: Properties) -> Any:
        """The server's form; ``known`` are revealed outputs or inputs. Raises NotFound."""

    @abstractmethod
    def remove(self, id_: str, known: Properties) -> None:
        """Delete it. NotFound counts as done."""

    @abstractmethod
    def outputs(self, found: Any) -> Properties:
        """All outputs from the server's form; absent ones are None."""

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        failures = [
            Failure(key, f"Invalid or unknown key. Examine values at '{name}.{key}'.")
            for key in new
            if key not in self.shape.inputs and not key.startswith("__")
        ]
        failures += [
            Failure(
                key,
                f'Missing required argument. The argument "{_snake(key)}" is required, '
                f"but no definition was found.. Examine values at '{name}.{key}'.",
            )
            for key in self.shape.required
            if new.get(key) is None
        ]
        inputs = {**self.shape.defaults, **new}
        if self.shape.named and new.get("name") is None:
            # A name made up once stays: it is kept for as long as the program gives none.
            kept = old.get("name") if "name" in (old.get(_FILLED) or ()) else None
            inputs["name"] = kept or f"{name}-{secrets.token_hex(4)[:7]}"
            inputs[_FILLED] = ["name"]
        return Checked(inputs, failures)

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        diff = self._changes(old, new)
        diff.replaces.update(self.shape.fixed.intersection(diff.keys))
        return diff

    def create(
        self, name: str, inputs: Properties, *, preview: bool, timeout_s: float, log: Log
    ) -> Created:
        if preview:
            absent = dict.fromkeys(self.shape.inputs)
            return Created("", {**absent, **self._unknown(inputs), **inputs})
        plain = reveal(inputs)
        id_ = self.put(plain, "", timeout_s)
        return Created(id_, self._saved(inputs, self.look(id_, plain)))

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
            return {**outputs, **new}
        plain = reveal(new)
        self.put(plain, id_, timeout_s)
        return self._saved(new, self.look(id_, {**reveal(outputs), **plain}))

    def delete(self, id_: str, outputs: Properties, *, timeout_s: float, log: Log) -> None:
        known = reveal(outputs)
        try:
            self.remove(id_, known)
        except NotFound:
            return
        except PluginError:
            # For some types the server answers 500 where it means that there is nothing.
            if self._gone(id_, known):
                return
            raise

    def read(self, id_: str, inputs: Properties, outputs: Properties) -> Found | None:
        try:
            now = self._saved(inputs, self.look(id_, reveal(outputs)))
        except NotFound:
            return None
        # What the server fills in by itself is no drift as long as the program is silent about it.
        watched = self.shape.inputs.difference(self.shape.computed).union(inputs)
        drifted = self._changes(inputs, {key: now.get(key) for key in watched}).keys
        return Found({**inputs, **{key: now.get(key) for key in drifted}}, {**outputs, **now})

    def normal(self, name: str, value: Any) -> Any:
        """A revealed input in the form in which two ways of writing it are equal."""
        return sorted(value, key=repr) if name in self.shape.sets and value else value

    def _gone(self, id_: str, known: Properties) -> bool:
        try:
            self.look(id_, known)
        except NotFound:
            return True
        except PluginError:
            return False
        return False

    def _changes(self, old: Properties, new: Properties) -> Diff:
        before, after = self._comparable(old), self._comparable(new)
        # The official plugin writes zero values out where nothing was given; both mean the same.
        void = frozenset(
            key for key in {*before, *after} if not before.get(key) and not after.get(key)
        )
        return compare(before, after, ignored=void)

    def _comparable(self, inputs: Properties) -> Properties:
        given = {key: value for key, value in inputs.items() if value is not None}
        return {
            key: value if has_unknown(value) else self.normal(key, reveal(value))
            for key, value in {**self.shape.defaults, **given}.items()
        }

    def _unknown(self, inputs: Properties) -> Properties:
        return {key: UNKNOWN for key in self.shape.computed if inputs.get(key) is None}

    def _saved(self, inputs: Properties, found: Any) -> Properties:
        """Outputs in the server's form, except where the program's writing is kept."""
        now = self.outputs(found)
        same = {
            key: inputs[key]
            for key in self.shape.kept
            if inputs.get(key) is not None
            and self.normal(key, reveal(inputs[key])) == self.normal(key, now.get(key))
        }
        return {**now, **same}


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
