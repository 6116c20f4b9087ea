"""``tls:index/certRequest:CertRequest``: a request for a certificate."""

import hashlib

from toolchain.plugins.tls import issuing, keys
from toolchain.plugins.tls.made import Made
from toolchain.plugins.values import Properties


class CertRequest(Made):
    """A signed request; the id is its SHA-1 in hex."""

    optional = ("dnsNames", "ipAddresses", "subject", "uris")
    computed = ("certRequestPem", "keyAlgorithm")

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        key = keys.load(self.key_pem(inputs))
        pem = issuing.request_pem(
            key,
            issuing.subject_name(inputs.get("subject") or {}),
            issuing.alternative_names(inputs),
        )
        id_ = hashlib.sha1(pem.encode(), usedforsecurity=False).hexdigest()
        return id_, {"certRequestPem": pem, "keyAlgorithm": keys.algorithm_of(key)}
