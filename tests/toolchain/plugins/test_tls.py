"""Keys and certificates of the tls stand-in, judged by the cryptography library and openssl."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from toolchain.plugins.errors import PluginError
from toolchain.plugins.tls.cert import LocallySignedCert, SelfSignedCert
from toolchain.plugins.tls.cert_request import CertRequest
from toolchain.plugins.tls.private_key import PrivateKey
from toolchain.plugins.values import UNKNOWN, is_secret, reveal, secret

START = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(resource: Any, log: Any, **given: Any) -> Any:
    full = resource.check("x", {}, given)
    assert not full.failures, full.failures
    made = resource.create("x", full.inputs, preview=False, timeout_s=0, log=log)
    return made.id, made.outputs, full.inputs


def key(log: Any, **given: Any) -> dict[str, Any]:
    return dict(reveal(make(PrivateKey(), log, **{"algorithm": "ED25519", **given})[1]))


def ca(log: Any, clock: Clock, algorithm: str = "ECDSA", **more: Any) -> dict[str, Any]:
    pem = key(log, algorithm=algorithm, ecdsaCurve="P256")["privateKeyPem"]
    given = {
        "privateKeyPem": pem,
        "subject": {"commonName": "hearth CA", "organization": "Hearth"},
        "isCaCertificate": True,
        "validityPeriodHours": 1000,
        "allowedUses": ["cert_signing", "crl_signing"],
        **more,
    }
    return dict(reveal(make(SelfSignedCert(clock), log, **given)[1]))


def leaf(log: Any, clock: Clock, authority: dict[str, Any], **more: Any) -> Any:
    own = key(log)
    request = make(
        CertRequest(),
        log,
        privateKeyPem=own["privateKeyPem"],
        subject={"commonName": "server.global.nomad"},
        dnsNames=["server.global.nomad", "localhost"],
        ipAddresses=["127.0.0.1", "::1"],
        uris=["spiffe://hearth/x"],
    )[1]
    return make(
        LocallySignedCert(clock),
        log,
        **{
            "caCertPem": authority["certPem"],
            "caPrivateKeyPem": authority["privateKeyPem"],
            "certRequestPem": request["certRequestPem"],
            "validityPeriodHours": 100,
            "earlyRenewalHours": 10,
            "allowedUses": ["digital_signature", "key_encipherment", "server_auth", "client_auth"],
            **more,
        },
    )


def extension(pem: str, kind: type) -> Any:
    return x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(kind)


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({"algorithm": "RSA"}, "RSA PRIVATE KEY"),
        ({"algorithm": "ECDSA", "ecdsaCurve": "P384"}, "EC PRIVATE KEY"),
        ({"algorithm": "ED25519"}, "PRIVATE KEY"),
    ],
)
def test_all_writings_of_a_key_are_the_same_key(
    log: Any, given: dict[str, Any], header: str
) -> None:
    id_, outputs, _ = make(PrivateKey(), log, **given)
    for name in ("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"):
        assert is_secret(outputs[name])
    plain = reveal(outputs)
    assert plain["privateKeyPem"].startswith(f"-----BEGIN {header}-----\n")
    assert plain["privateKeyPemPkcs8"].startswith("-----BEGIN PRIVATE KEY-----\n")
    keys = [
        load_pem_private_key(plain["privateKeyPem"].encode(), None),
        load_pem_private_key(plain["privateKeyPemPkcs8"].encode(), None),
    ]
    assert keys[0].public_key() == keys[1].public_key()
    ssh = asyncssh.import_private_key(plain["privateKeyOpenssh"])
    assert ssh.export_public_key().decode().split()[:2] == plain["publicKeyOpenssh"].split()
    assert plain["publicKeyOpenssh"].endswith("\n")
    assert ssh.get_fingerprint("sha256") == plain["publicKeyFingerprintSha256"]
    assert ssh.get_fingerprint("md5") == "MD5:" + plain["publicKeyFingerprintMd5"]
    assert len(id_) == 40


def test_the_defaults_stand_in_the_outputs_and_the_smallest_curve_has_no_ssh_form(
    log: Any,
) -> None:
    _, outputs, inputs = make(PrivateKey(), log, algorithm="ECDSA")
    assert (outputs["ecdsaCurve"], outputs["rsaBits"]) == ("P224", 2048)
    assert inputs == {"algorithm": "ECDSA"}
    plain = reveal(outputs)
    for name in ("privateKeyOpenssh", "publicKeyOpenssh", "publicKeyFingerprintMd5"):
        assert plain[name] == ""


def test_a_written_out_default_is_no_change_and_anything_else_replaces(log: Any) -> None:
    resource = PrivateKey()
    _, outputs, inputs = make(resource, log, algorithm="RSA")
    assert not resource.diff(inputs, {"algorithm": "RSA", "rsaBits": 2048}, outputs).changes
    diff = resource.diff(inputs, {"algorithm": "RSA", "rsaBits": 3072}, outputs)
    assert diff.replaces == {"rsaBits"}


@pytest.mark.parametrize("given", [{}, {"algorithm": "DSA"}, {"algorithm": "RSA", "bits": 1}])
def test_a_key_nobody_can_make_is_refused(given: dict[str, Any]) -> None:
    assert PrivateKey().check("x", {}, given).failures


# --- an authority of one's own --------------------------------------------------------------------


def test_a_self_signed_authority_says_what_it_is(log: Any, clock: Clock) -> None:
    outputs = ca(log, clock, maxPathLength=0)
    cert = x509.load_pem_x509_certificate(outputs["certPem"].encode())
    cert.verify_directly_issued_by(cert)
    assert cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "hearth CA"
    basic = extension(outputs["certPem"], x509.BasicConstraints)
    assert basic.critical
    assert basic.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extension(outputs["certPem"], x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature
    assert extension(outputs["certPem"], x509.SubjectKeyIdentifier).value.digest
    assert outputs["keyAlgorithm"] == "ECDSA"
    assert outputs["validityStartTime"] == "2030-01-02T03:04:05Z"
    assert cert.not_valid_after_utc == START.replace(microsecond=0) + timedelta(hours=1000)
    assert outputs["readyForRenewal"] is False


def test_an_authority_needs_a_subject(log: Any, clock: Clock) -> None:
    with pytest.raises(PluginError, match="at least one Distinguished Name"):
        ca(log, clock, subject={})


def test_an_authority_key_id_needs_a_subject_key_id(log: Any, clock: Clock) -> None:
    asked: dict[str, Any] = {"isCaCertificate": False, "setAuthorityKeyId": True}
    with pytest.raises(PluginError, match="Could not determine Authority Key Identifier"):
        ca(log, clock, **asked)
    pem = ca(log, clock, **asked, setSubjectKeyId=True)["certPem"]
    own = extension(pem, x509.SubjectKeyIdentifier).value.digest
    assert extension(pem, x509.AuthorityKeyIdentifier).value.key_identifier == own


# --- signing for others ---------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RSA", "ECDSA", "ED25519"])
def test_a_signed_certificate_carries_the_request_and_verifies(
    log: Any, clock: Clock, algorithm: str
) -> None:
    authority = ca(log, clock, algorithm)
    id_, outputs, _ = leaf(log, clock, authority)
    cert = x509.load_pem_x509_certificate(outputs["certPem"].encode())
    root = x509.load_pem_x509_certificate(authority["certPem"].encode())
    cert.verify_directly_issued_by(root)
    assert str(cert.serial_number) == id_
    names = extension(outputs["certPem"], x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["server.global.nomad", "localhost"]
    addresses = [str(item) for item in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["127.0.0.1", "::1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://hearth/x"]
    usage = extension(outputs["certPem"], x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert extension(outputs["certPem"], x509.BasicConstraints).value.ca is False
    signer = extension(outputs["certPem"], x509.AuthorityKeyIdentifier).value.key_identifier
    assert signer == extension(authority["certPem"], x509.SubjectKeyIdentifier).value.digest
    assert outputs["caKeyAlgorithm"] == algorithm


def test_openssl_accepts_the_chain(log: Any, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    clock = Clock()
    clock.now = datetime.now(UTC)
    authority = ca(log, clock)
    (tmp_path / "ca.pem").write_text(authority["certPem"])
    (tmp_path / "leaf.pem").write_text(leaf(log, clock, authority)[1]["certPem"])
    arguments = ["verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", "127.0.0.1"]
    done = subprocess.run(
        [openssl, *arguments, "-CAfile", "ca.pem", "leaf.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_key_that_is_not_the_authoritys_is_refused(log: Any, clock: Clock) -> None:
    with pytest.raises(PluginError, match="doesn't match parent's PublicKey"):
        leaf(log, clock, ca(log, clock), caPrivateKeyPem=key(log)["privateKeyPem"])


def test_broken_inputs_are_told_without_showing_them(log: Any, clock: Clock) -> None:
    authority = ca(log, clock)
    broken = authority["privateKeyPem"].replace("M", "!", 5)
    for change in ({"caPrivateKeyPem": broken}, {"caCertPem": "no"}, {"certRequestPem": "no"}):
        with pytest.raises(PluginError, match="Failed to parse") as caught:
            leaf(log, clock, authority, **change)
        assert broken[40:80] not in str(caught.value)


# --- renewal --------------------------------------------------------------------------------------


def test_a_certificate_is_replaced_from_its_early_renewal_on(log: Any, clock: Clock) -> None:
    resource = LocallySignedCert(clock)
    id_, outputs, inputs = leaf(log, clock, ca(log, clock))
    clock.now = START + timedelta(hours=90) - timedelta(seconds=2)
    assert not resource.diff(inputs, inputs, outputs).changes
    assert resource.read(id_, inputs, outputs).outputs["readyForRenewal"] is False  # type: ignore[union-attr]
    clock.now = START + timedelta(hours=90)
    diff = resource.diff(inputs, inputs, outputs)
    assert diff.replaces == {"readyForRenewal"}
    assert resource.read(id_, inputs, outputs).outputs["readyForRenewal"] is True  # type: ignore[union-attr]


def test_a_longer_early_renewal_is_an_update_in_place(log: Any, clock: Clock) -> None:
    resource = LocallySignedCert(clock)
    id_, outputs, inputs = leaf(log, clock, ca(log, clock))
    new = {**inputs, "earlyRenewalHours": 20}
    diff = resource.diff(inputs, new, outputs)
    assert dict(diff.changes) == {"earlyRenewalHours": "UPDATE"}
    assert not diff.replaces
    updated = resource.update(id_, outputs, inputs, new, preview=False, timeout_s=0, log=log)
    assert updated["certPem"] == outputs["certPem"]
    assert updated["earlyRenewalHours"] == 20


@pytest.mark.parametrize(
    "text", ["2030-01-06T07:04:05+00:00", "2030-01-06T08:04:05.123456789+01:00"]
)
def test_times_of_an_official_state_are_understood(log: Any, clock: Clock, text: str) -> None:
    resource = LocallySignedCert(clock)
    _, outputs, inputs = leaf(log, clock, ca(log, clock))
    official = {**outputs, "validityEndTime": text}
    assert not resource.diff(inputs, inputs, official).changes
    clock.now = START + timedelta(hours=91)
    assert resource.diff(inputs, inputs, official).replaces == {"readyForRenewal"}


# --- secrets and previews -------------------------------------------------------------------------


def test_the_private_key_is_a_secret_input_and_output(log: Any, clock: Clock) -> None:
    _, outputs, inputs = leaf(log, clock, ca(log, clock))
    assert is_secret(inputs["caPrivateKeyPem"])
    assert is_secret(outputs["caPrivateKeyPem"])


def test_a_key_that_arrives_unmarked_becomes_a_secret_output(log: Any, clock: Clock) -> None:
    # The engine takes the marks off for a provider that does not accept secrets.
    resource = SelfSignedCert(clock)
    given = {"privateKeyPem": key(log)["privateKeyPem"], "validityPeriodHours": 1}
    inputs = reveal(resource.check("x", {}, {**given, "allowedUses": []}).inputs)
    made = resource.create("x", inputs, preview=False, timeout_s=0, log=log)
    assert is_secret(made.outputs["privateKeyPem"])


def test_a_write_only_key_is_in_no_output_and_only_its_version_tells_a_change(
    log: Any, clock: Clock
) -> None:
    authority = ca(log, clock)
    resource = LocallySignedCert(clock)
    pem = authority["privateKeyPem"]
    _, outputs, inputs = leaf(
        log,
        clock,
        authority,
        caPrivateKeyPem=None,
        caPrivateKeyPemWo=pem,
        caPrivateKeyPemWoVersion=1,
    )
    assert outputs["caPrivateKeyPemWo"] is None
    assert pem not in repr(outputs)
    other = {**inputs, "caPrivateKeyPemWo": secret("another")}
    assert not resource.diff(inputs, other, outputs).changes
    newer = {**inputs, "caPrivateKeyPemWoVersion": 2}
    assert resource.diff(inputs, newer, outputs).replaces == {"caPrivateKeyPemWoVersion"}


def test_both_or_neither_form_of_the_key_is_refused(clock: Clock) -> None:
    base = {"allowedUses": [], "validityPeriodHours": 1}
    both = {"privateKeyPem": "a", "privateKeyPemWo": "b"}
    for given in (base, {**base, **both}):
        (failure,) = SelfSignedCert(clock).check("x", {}, given).failures
        assert failure.reason == "Exactly one of privateKeyPem and privateKeyPemWo must be set"


def test_an_unknown_use_of_a_certificate_is_refused(clock: Clock) -> None:
    given = {"allowedUses": ["server_auth", "flying"], "validityPeriodHours": 1}
    checked = SelfSignedCert(clock).check("x", {}, {**given, "privateKeyPem": UNKNOWN})
    assert [failure.name for failure in checked.failures] == ["allowedUses[1]"]


def test_a_preview_makes_nothing_and_takes_unknown_inputs(log: Any, clock: Clock) -> None:
    resource = LocallySignedCert(clock)
    given = {
        "allowedUses": ["server_auth"],
        "caCertPem": UNKNOWN,
        "caPrivateKeyPem": secret(UNKNOWN),
        "certRequestPem": UNKNOWN,
        "validityPeriodHours": 1,
    }
    checked = resource.check("x", {}, given)
    assert not checked.failures
    made = resource.create("x", checked.inputs, preview=True, timeout_s=0, log=log)
    assert made.id == ""
    assert made.outputs["certPem"] == UNKNOWN
    assert made.outputs["earlyRenewalHours"] == 0
