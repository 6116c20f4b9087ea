"""``random:index/randomUuid:RandomUuid``."""

import uuid

from toolchain.plugins.random.once import Once
from toolchain.plugins.values import Properties


class RandomUuid(Once):
    """A random UUID; its id is the value."""

    computed = ("result",)

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        value = str(uuid.uuid4())
        return value, {"result": value}
