"""Stand-in for the random plugin: values made once and kept in the state."""

from toolchain.plugins.provider import Provider
from toolchain.plugins.random.bytes import RandomBytes, RandomId
from toolchain.plugins.random.text import RandomPassword, RandomString
from toolchain.plugins.random.uuid import RandomUuid
from toolchain.plugins.versions import VERSIONS


def provider() -> Provider:
    """The plugin."""
    return Provider(
        name="random",
        version=VERSIONS["random"],
        accepts_secrets=False,
        types={
            "random:index/randomUuid:RandomUuid": RandomUuid(),
            "random:index/randomPassword:RandomPassword": RandomPassword(),
            "random:index/randomString:RandomString": RandomString(),
            "random:index/randomBytes:RandomBytes": RandomBytes(),
            "random:index/randomId:RandomId": RandomId(),
        },
    )
