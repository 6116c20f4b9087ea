"""``random:index/randomPassword:RandomPassword`` and ``randomString:RandomString``."""

import secrets
import string
from typing import Final

from toolchain.plugins.errors import PluginError
from toolchain.plugins.random.once import Once
from toolchain.plugins.resource import Checked, Failure
from toolchain.plugins.values import UNKNOWN, Properties, reveal, secret

_SPECIAL: Final = "!@#$%&*()-_=+[]{}<>:?"

_BCRYPT_LIMIT: Final = 72  # bytes the algorithm looks at
_BCRYPT_ROUNDS: Final = 10
_DEFAULTS: Final[Properties] = {
    "lower": True,
    "minLower": 0,
    "minNumeric": 0,
    "minSpecial": 0,
    "minUpper": 0,
    "number": True,
    "numeric": True,
    "special": True,
    "upper": True,
}


def make_text(inputs: Properties) -> str:
    """Characters of the wished kinds in random order, at least the wished number of each."""
    wishes = {**_DEFAULTS, **inputs}
    special = inputs.get("overrideSpecial") or _SPECIAL
    numeric = wishes["numeric"] and wishes["number"]
    kinds = [
        (wishes["upper"], string.ascii_uppercase, wishes["minUpper"]),
        (wishes["lower"], string.ascii_lowercase, wishes["minLower"]),
        (numeric, string.digits, wishes["minNumeric"]),
        (wishes["special"], special, wishes["minSpecial"]),
    ]
    alphabet = "".join(letters for wanted, letters, _ in kinds if wanted)
    if not alphabet:
        msg = "at least one of upper, lower, numeric and special must be true"
        raise PluginError(msg)
    letters = [secrets.choice(kind) for _, kind, least in kinds for _ in range(int(least))]
    letters += [secrets.choice(alphabet) for _ in range(int(inputs["length"]) - len(letters))]
    secrets.SystemRandom().shuffle(letters)
    return "".join(letters)


class RandomString(Once):
    """Random text that is no secret; its id is the value."""

    computed: tuple[str, ...] = ("result",)

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        plain = reveal(new)
        length = plain.get("length")
        if length is None:
            return Checked(new, [Failure("length", 'Missing required argument "length"')])
        least = sum(
            int(plain.get(f"min{kind}") or 0) for kind in ("Lower", "Upper", "Numeric", "Special")
        )
        if length != UNKNOWN and (length < 1 or length < least):
            reason = f"length must be at least 1 and at least the sum of the minima ({least})"
            return Checked(new, [Failure("length", reason)])
        return Checked({**_DEFAULTS, **new})

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        value = make_text(inputs)
        return value, {"result": value}


class RandomPassword(RandomString):
    """Random text that is a secret; the id tells nothing."""

    computed = ("result", "bcryptHash")

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        # Imported here because only a creation needs it, and every update starts this plugin.
        import bcrypt

        value = make_text(inputs)
        salt = bcrypt.gensalt(rounds=_BCRYPT_ROUNDS, prefix=b"2a")
        hashed = bcrypt.hashpw(value.encode()[:_BCRYPT_LIMIT], salt).decode()
        return "none", {"result": secret(value), "bcryptHash": secret(hashed)}
