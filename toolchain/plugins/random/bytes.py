"""``random:index/randomBytes:RandomBytes`` and ``randomId:RandomId``."""

import base64
import secrets

from toolchain.plugins.random.once import Once
from toolchain.plugins.values import Properties, secret


class RandomBytes(Once):
    """Secret bytes as base64 and hex; the id tells nothing."""

    computed = ("base64", "hex")

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        value = secrets.token_bytes(int(inputs["length"]))
        return "none", {
            "base64": secret(base64.b64encode(value).decode()),
            "hex": secret(value.hex()),
        }


class RandomId(Once):
    """Bytes for names, in several writings; no secret."""

    computed = ("b64Std", "b64Url", "dec", "hex")

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        value = secrets.token_bytes(int(inputs["byteLength"]))
        prefix = inputs.get("prefix") or ""
        plain = base64.urlsafe_b64encode(value).decode().rstrip("=")
        return plain, {
            "b64Std": prefix + base64.b64encode(value).decode(),
            "b64Url": prefix + plain,
            "dec": prefix + str(int.from_bytes(value, "big")),
            "hex": prefix + value.hex(),
        }
