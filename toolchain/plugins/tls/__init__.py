"""Stand-in for the tls plugin: keys, requests and certificates made once and kept in the state."""

from toolchain.plugins.provider import Provider
from toolchain.plugins.tls.cert import LocallySignedCert, SelfSignedCert
from toolchain.plugins.tls.cert_request import CertRequest
from toolchain.plugins.tls.private_key import PrivateKey
from toolchain.plugins.versions import VERSIONS


def provider() -> Provider:
    """The plugin."""
    return Provider(
        name="tls",
        version=VERSIONS["tls"],
        accepts_secrets=False,
        types={
            "tls:index/privateKey:PrivateKey": PrivateKey(),
            "tls:index/selfSignedCert:SelfSignedCert": SelfSignedCert(),
            "tls:index/certRequest:CertRequest": CertRequest(),
            "tls:index/locallySignedCert:LocallySignedCert": LocallySignedCert(),
        },
    )
