"""``tls:index/selfSignedCert:SelfSignedCert`` and ``locallySignedCert:LocallySignedCert``."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from toolchain.plugins.diffing import Diff, Kind
from toolchain.plugins.resource import Failure, Found
from toolchain.plugins.tls import issuing, keys
from toolchain.plugins.tls.made import Made
from toolchain.plugins.values import UNKNOWN, Properties, reveal

_TIMES: Final = ("validityStartTime", "validityEndTime")
_DUE: Final = "readyForRenewal"

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class _Cert(Made):
    """A certificate; the id is its serial number in decimal. It is replaced when its time has
    come: ``earlyRenewalHours`` before its end.
    """

    soft = frozenset({"earlyRenewalHours"})

    def __init__(self, clock: Clock = _now) -> None:
        self._clock = clock

    def refused(self, plain: Properties) -> list[Failure]:
        failures = []
        uses = plain.get("allowedUses")
        for place, use in enumerate(uses if isinstance(uses, list) else []):
            if use not in (*issuing.KEY_USES, *issuing.EXTENDED_USES, UNKNOWN):
                reason = f"{use!r} is no use a certificate can allow"
                failures.append(Failure(f"allowedUses[{place}]", reason))
        for name in ("validityPeriodHours", "earlyRenewalHours"):
            hours = plain.get(name)
            if isinstance(hours, int | float) and hours < 0:
                failures.append(Failure(name, f"{name} must be at least 0, not {hours}"))
        return failures

    def diff(self, old: Properties, new: Properties, outputs: Properties) -> Diff:
        diff = super().diff(old, new, outputs)
        if self._due(outputs, reveal(new).get("earlyRenewalHours") or 0):
            diff.changes[_DUE] = Kind.UPDATE
            diff.replaces.add(_DUE)
        return diff

    def read(self, id_: str, inputs: Properties, outputs: Properties) -> Found | None:
        if self._due(outputs, reveal(outputs).get("earlyRenewalHours") or 0):
            return Found(inputs, {**outputs, _DUE: True})
        return Found(inputs, outputs)

    def terms(self, inputs: Properties) -> issuing.Terms:
        """What revealed inputs ask for, from now on."""
        start = self._clock().replace(microsecond=0)
        length = inputs.get("maxPathLength")
        return issuing.Terms(
            start=start,
            end=start + timedelta(hours=inputs["validityPeriodHours"]),
            uses=inputs["allowedUses"],
            is_ca=bool(inputs.get("isCaCertificate")),
            max_path_length=None if length is None else int(length),
            subject_key_id=bool(inputs.get("setSubjectKeyId")),
            authority_key_id=bool(inputs.get("setAuthorityKeyId")),
        )

    def _due(self, outputs: Properties, early_hours: object) -> bool:
        text = outputs.get("validityEndTime")
        if not isinstance(text, str) or not isinstance(early_hours, int | float):
            return False
        try:
            end = datetime.fromisoformat(text)
        except ValueError:
            return False
        return self._clock() >= end - timedelta(hours=early_hours)


class SelfSignedCert(_Cert):
    """A certificate signed with its own key."""

    required = ("allowedUses", "validityPeriodHours")
    optional = ("dnsNames", "ipAddresses", "maxPathLength", "subject", "uris")
    defaults = {  # noqa: RUF012  (declared as a class variable in Made)
        "earlyRenewalHours": 0,
        "isCaCertificate": False,
        "setAuthorityKeyId": False,
        "setSubjectKeyId": False,
    }
    computed = ("certPem", "keyAlgorithm", _DUE, *_TIMES)

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        key, terms = keys.load(self.key_pem(inputs)), self.terms(inputs)
        serial, pem = issuing.certificate_pem(
            issuing.Issuer(key),
            issuing.subject_name(inputs.get("subject") or {}),
            issuing.alternative_names(inputs),
            key.public_key(),
            terms,
        )
        return serial, {
            "certPem": pem,
            "keyAlgorithm": keys.algorithm_of(key),
            **_validity(terms),
        }


class LocallySignedCert(_Cert):
    """A certificate for a request, signed with the key of an authority."""

    required = ("allowedUses", "caCertPem", "certRequestPem", "validityPeriodHours")
    optional = ("maxPathLength",)
    key_input = "caPrivateKeyPem"
    defaults = {  # noqa: RUF012  (declared as a class variable in Made)
        "earlyRenewalHours": 0,
        "isCaCertificate": False,
        "setSubjectKeyId": False,
    }
    computed = ("caKeyAlgorithm", "certPem", _DUE, *_TIMES)

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        from cryptography import x509

        request = issuing.load_request(inputs["certRequestPem"])
        key, terms = keys.load(self.key_pem(inputs)), self.terms(inputs)
        try:
            found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            others = list(found.value)
        except x509.ExtensionNotFound:
            others = []
        serial, pem = issuing.certificate_pem(
            issuing.Issuer(key, issuing.load_certificate(inputs["caCertPem"])),
            request.subject,
            others,
            request.public_key(),
            terms,
        )
        return serial, {
            "certPem": pem,
            "caKeyAlgorithm": keys.algorithm_of(key),
            **_validity(terms),
        }


def _validity(terms: issuing.Terms) -> Properties:
    start, end = (f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in (terms.start, terms.end))
    return {"validityStartTime": start, "validityEndTime": end, _DUE: False}
