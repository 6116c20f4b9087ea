"""Writing certificates and requests. Pure but for the serial number; keeps nothing."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from toolchain.plugins.errors import PluginError
from toolchain.plugins.tls import keys
from toolchain.plugins.values import Properties

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes as PrivateKey,
    )

KEY_USES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "cert_signing",
    "crl_signing",
    "encipher_only",
    "decipher_only",
)
_KEY_USE_NAMES: Final = {"cert_signing": "key_cert_sign", "crl_signing": "crl_sign"}
EXTENDED_USES: Final = {
    "any_extended": "2.5.29.37.0",
    "server_auth": "1.3.6.1.5.5.7.3.1",
    "client_auth": "1.3.6.1.5.5.7.3.2",
    "code_signing": "1.3.6.1.5.5.7.3.3",
    "email_protection": "1.3.6.1.5.5.7.3.4",
    "ipsec_end_system": "1.3.6.1.5.5.7.3.5",
    "ipsec_tunnel": "1.3.6.1.5.5.7.3.6",
    "ipsec_user": "1.3.6.1.5.5.7.3.7",
    "timestamping": "1.3.6.1.5.5.7.3.8",
    "ocsp_signing": "1.3.6.1.5.5.7.3.9",
    "microsoft_server_gated_crypto": "1.3.6.1.4.1.311.10.3.3",
    "netscape_server_gated_crypto": "2.16.840.1.113730.4.1",
    "microsoft_commercial_code_signing": "1.3.6.1.4.1.311.2.1.22",
    "microsoft_kernel_code_signing": "1.3.6.1.4.1.311.61.1.1",
}
_SERIAL_BITS: Final = 127


@dataclass(frozen=True)
class Terms:
    """What a certificate allows, and for how long."""

    start: datetime
    end: datetime
    uses: Sequence[str]
    is_ca: bool = False
    max_path_length: int | None = None
    subject_key_id: bool = False
    authority_key_id: bool = False


@dataclass(frozen=True)
class Issuer:
    """Who signs; ``certificate`` is None for one's own."""

    key: PrivateKey
    certificate: x509.Certificate | None = None


def subject_name(subject: Properties) -> x509.Name:
    """A distinguished name from a ``subject`` input, in the usual order of its parts."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = (
        ("country", NameOID.COUNTRY_NAME),
        ("organization", NameOID.ORGANIZATION_NAME),
        ("organizationalUnit", NameOID.ORGANIZATIONAL_UNIT_NAME),
        ("locality", NameOID.LOCALITY_NAME),
        ("province", NameOID.STATE_OR_PROVINCE_NAME),
        ("streetAddresses", NameOID.STREET_ADDRESS),
        ("postalCode", NameOID.POSTAL_CODE),
        ("commonName", NameOID.COMMON_NAME),
        ("serialNumber", NameOID.SERIAL_NUMBER),
        ("emailAddress", NameOID.EMAIL_ADDRESS),
    )
    found = []
    for name, oid in parts:
        values = subject.get(name) or []
        for value in [values] if isinstance(values, str) else values:
            try:
                found.append(x509.NameAttribute(oid, value))
            except ValueError as error:
                raise PluginError(f"subject: {name} {value!r}: {error}") from None
    return x509.Name(found)


def alternative_names(inputs: Properties) -> list[x509.GeneralName]:
    """The names and addresses besides the subject. Raises PluginError for what is none."""
    from cryptography import x509

    names: list[x509.GeneralName] = []
    try:
        names += [x509.DNSName(name) for name in inputs.get("dnsNames") or []]
        names += [x509.UniformResourceIdentifier(uri) for uri in inputs.get("uris") or []]
    except ValueError as error:
        raise PluginError(f"invalid alternative name: {error}") from None
    for text in inputs.get("ipAddresses") or []:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            raise PluginError(f'invalid IP address "{text}"') from None
    return names


def request_pem(key: PrivateKey, name: x509.Name, others: list[x509.GeneralName]) -> str:
    """A signed certificate request."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if others:
        builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=not len(name))
    return builder.sign(key, keys.signing_hash(key)).public_bytes(Encoding.PEM).decode()


def load_request(pem: str) -> x509.CertificateSigningRequest:
    """A request whose own signature is right."""
    from cryptography import x509

    try:
        request = x509.load_pem_x509_csr(pem.encode())
    except ValueError:
        raise PluginError("Failed to parse certificate request PEM") from None
    if not request.is_signature_valid:
        raise PluginError("the certificate request's own signature is wrong")
    return request


def load_certificate(pem: str) -> x509.Certificate:
    """A certificate."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise PluginError("Failed to parse certificate PEM") from None


def certificate_pem(
    issuer: Issuer,
    name: x509.Name,
    others: list[x509.GeneralName],
    public_key: Any,
    terms: Terms,
) -> tuple[str, str]:
    """The serial number in decimal and the signed certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    if terms.is_ca and not len(name):
        raise PluginError(
            "Must contain at least one Distinguished Name when creating Certificate Authority (CA)"
        )
    parent = issuer.certificate
    if parent is not None and parent.public_key() != issuer.key.public_key():
        raise PluginError("x509: provided PrivateKey doesn't match parent's PublicKey")
    serial = secrets.randbits(_SERIAL_BITS) + 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if parent is None else parent.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(terms.start)
        .not_valid_after(terms.end)
    )
    for extension, critical in _extensions(parent, name, others, public_key, terms):
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(issuer.key, keys.signing_hash(issuer.key))
    return str(serial), certificate.public_bytes(Encoding.PEM).decode()


def _extensions(
    parent: x509.Certificate | None,
    name: x509.Name,
    others: list[x509.GeneralName],
    public_key: Any,
    terms: Terms,
) -> list[tuple[x509.ExtensionType, bool]]:
    from cryptography import x509

    found: list[tuple[x509.ExtensionType, bool]] = []
    if key_uses := {use for use in terms.uses if use in KEY_USES}:
        flags = {_KEY_USE_NAMES.get(use, use): use in key_uses for use in KEY_USES}
        # These two say something about key agreement and are nothing without it.
        if not flags["key_agreement"]:
            flags |= {"encipher_only": False, "decipher_only": False}
        found.append((x509.KeyUsage(**flags), True))
    if extended := [EXTENDED_USES[use] for use in terms.uses if use in EXTENDED_USES]:
        usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in extended])
        found.append((usage, False))
    length = terms.max_path_length if terms.is_ca else None
    length = None if length is not None and length < 0 else length
    found.append((x509.BasicConstraints(ca=terms.is_ca, path_length=length), True))
    own = x509.SubjectKeyIdentifier.from_public_key(public_key)
    with_own = terms.is_ca or terms.subject_key_id
    if with_own:
        found.append((own, False))
    if (signer := _signer_id(parent, own if with_own else None, terms)) is not None:
        authority = x509.AuthorityKeyIdentifier(signer.digest, None, None)
        found.append((authority, False))
    if others:
        found.append((x509.SubjectAlternativeName(others), not len(name)))
    return found


def _signer_id(
    parent: x509.Certificate | None, own: x509.SubjectKeyIdentifier | None, terms: Terms
) -> x509.SubjectKeyIdentifier | None:
    """Whose key signed: the parent's if it says, and one's own only when that is asked for."""
    from cryptography import x509

    if parent is not None:
        try:
            found = parent.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except x509.ExtensionNotFound:
            return None
        return found.value
    if terms.authority_key_id and own is None:
        raise PluginError("Could not determine Authority Key Identifier")
    return own if terms.authority_key_id else None
