"""``tls:index/privateKey:PrivateKey``: a key pair made once and kept in the state."""

from typing import Final

from toolchain.plugins.diffing import Diff
from toolchain.plugins.random.once import Once
from toolchain.plugins.resource import Checked, Failure
from toolchain.plugins.tls import keys
from toolchain.plugins.values import UNKNOWN, Properties, reveal

_DEFAULTS: Final[Properties] = {"ecdsaCurve": "P224", "rsaBits": 2048}
_CHOICES: Final = {"algorithm": keys.ALGORITHMS, "ecdsaCurve": keys.CURVES}


class PrivateKey(Once):
    """A key pair; the id is the SHA-1 of the public key in hex."""

    computed = (
        "privateKeyOpenssh",
        "privateKeyPem",
        "privateKeyPemPkcs8",
        "publicKeyFingerprintMd5",
        "publicKeyFingerprintSha256",
        "publicKeyOpenssh",
        "publicKeyPem",
    )

    def check(self, name: str, old: Properties, new: Properties) -> Checked:
        plain = reveal(new)
        failures = [
            Failure(key, f"Invalid or unknown key. Examine values at '{name}.{key}'.")
            for key in new
            if key not in ("algorithm", *_DEFAULTS) and not key.startswith("__")
        ]
        if plain.get("algorithm") is None:
            failures.append(Failure("algorithm", 'Missing required argument "algorithm"'))
        for key, choices in _CHOICES.items():
            if plain.get(key) is not None and plain[key] not in (*choices, UNKNOWN):
                words = f"{key} must be one of {', '.join(choices)}, not {plain[key]!r}"
                failures.append(Failure(key, words))
        return Checked(new, failures)

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        return super().diff({**_DEFAULTS, **old}, {**_DEFAULTS, **new}, outputs)

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        full = {**_DEFAULTS, **{key: item for key, item in inputs.items() if item is not None}}
        key = keys.generate(full["algorithm"], int(full["rsaBits"]), full["ecdsaCurve"])
        id_, made = keys.described(key)
        return id_, {**{name: full[name] for name in _DEFAULTS}, **made}
