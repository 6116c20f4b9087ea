"""Key pairs: making, reading and writing them. Pure; keeps nothing.

The cryptography library is imported inside functions, because an unchanged update needs none of it.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, Final

from toolchain.plugins.errors import PluginError
from toolchain.plugins.values import Properties, secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes as PrivateKey,
    )
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

RSA: Final = "RSA"
ECDSA: Final = "ECDSA"
ED25519: Final = "ED25519"
ALGORITHMS: Final = (RSA, ECDSA, ED25519)
CURVES: Final = ("P224", "P256", "P384", "P521")
SMALLEST_RSA: Final = 1024
# SSH knows no such curve; its outputs are empty, as with the official plugin.
_NO_SSH: Final = "secp224r1"


def generate(algorithm: str, rsa_bits: int, curve: str) -> PrivateKey:
    """A new key. Raises PluginError for an algorithm, size or curve there is not."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    curves: dict[str, ec.EllipticCurve] = {
        "P224": ec.SECP224R1(),
        "P256": ec.SECP256R1(),
        "P384": ec.SECP384R1(),
        "P521": ec.SECP521R1(),
    }
    if algorithm == RSA and rsa_bits >= SMALLEST_RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
    if algorithm == ECDSA and curve in curves:
        return ec.generate_private_key(curves[curve])
    if algorithm == ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    detail = {RSA: f" with {rsa_bits} bits", ECDSA: f" with curve {curve}"}.get(algorithm, "")
    raise PluginError(f"Key Algorithm {algorithm}{detail} is not supported")


def load(pem: str) -> PrivateKey:
    """The key of a PEM text in any of the usual forms. No error text repeats the key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    data = pem.encode()
    try:
        if b"OPENSSH PRIVATE KEY" in data:
            key: Any = serialization.load_ssh_private_key(data, None)
        else:
            key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PluginError("Failed to parse private key PEM") from None
    algorithm_of(key)
    return key  # type: ignore[no-any-return]


def algorithm_of(key: PrivateKey) -> str:
    """The name of a key's algorithm. Raises PluginError for one that certificates do not use."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPrivateKey):
        return RSA
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ECDSA
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return ED25519
    raise PluginError(f"private key type {type(key).__name__} is not supported")


def signing_hash(key: PrivateKey) -> SHA256 | SHA384 | SHA512 | None:
    """What a signature with this key is made over; None where the algorithm brings its own."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.key_size >= 521:
            return hashes.SHA512()
        if key.curve.key_size >= 384:
            return hashes.SHA384()
    return hashes.SHA256()


def described(key: PrivateKey) -> tuple[str, Properties]:
    """The id and all the writings of a key; the private ones are secrets."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    def private(form: PrivateFormat) -> str:
        return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()

    public = key.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with_ssh = not (isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == _NO_SSH)
    ssh = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() if with_ssh else ""
    blob = base64.b64decode(ssh.split()[1]) if ssh else b""
    # Ed25519 has no older form of its own.
    older = isinstance(key, ed25519.Ed25519PrivateKey)
    form = PrivateFormat.PKCS8 if older else PrivateFormat.TraditionalOpenSSL
    return hashlib.sha1(der, usedforsecurity=False).hexdigest(), {
        "privateKeyPem": secret(private(form)),
        "privateKeyPemPkcs8": secret(private(PrivateFormat.PKCS8)),
        "privateKeyOpenssh": secret(private(PrivateFormat.OpenSSH) if with_ssh else ""),
        "publicKeyPem": public.public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ).decode(),
        "publicKeyOpenssh": f"{ssh}\n" if ssh else "",
        "publicKeyFingerprintMd5": _md5(blob) if ssh else "",
        "publicKeyFingerprintSha256": _sha256(blob) if ssh else "",
    }


def _md5(blob: bytes) -> str:
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def _sha256(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
