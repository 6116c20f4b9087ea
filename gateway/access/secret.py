"""The texts that open doors: client keys, the pepper they are hashed with, the admin key. Owns how
they are made, kept in files and recognised. Does not know what a key may do.
"""

import hashlib
import os
import secrets
import string
from pathlib import Path
from typing import Final

from contract.gateway_settings import GatewaySecrets
from gateway.access.errors import StorageUnavailable

KEY_PREFIX: Final = "sk-hearth-"
ID_CHARACTERS: Final = 8
PEPPER_FILE: Final = "pepper"
ADMIN_KEY_FILE: Final = "admin.key"

_RANDOM_CHARACTERS: Final = 40
_ALPHABET: Final = string.ascii_letters + string.digits
_SHORTEST: Final = 32
_BLOCK: Final = 64  # of SHA-256, in bytes


def new_id() -> str:
    """The public part of a key."""
    return _random(ID_CHARACTERS)


def new_key(key_id: str) -> str:
    """A key whose holder can be told from its text; 40 random characters are 238 bits."""
    return f"{KEY_PREFIX}{key_id}{_random(_RANDOM_CHARACTERS)}"


class Hasher:
    """HMAC-SHA256 under the pepper. The two padded halves of the pepper are hashed once, which
    makes it more than twice as fast as ``hmac.digest``.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, pepper: bytes) -> None:
        if len(pepper) > _BLOCK:
            pepper = hashlib.sha256(pepper).digest()
        block = pepper.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, token: bytes) -> bytes:
        """What the store keeps of a key."""
        inner = self._inner.copy()
        inner.update(token)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


def hasher_of(given: GatewaySecrets, folder: Path | None) -> Hasher:
    """The hasher of this gateway.

    Raises:
        StorageUnavailable: the pepper's file cannot be made or read.
    """
    if given.pepper is not None:
        return Hasher(given.pepper.encode())
    if folder is None:
        return Hasher(secrets.token_bytes(_BLOCK))
    return Hasher(_kept(folder / PEPPER_FILE, _random(_BLOCK)).encode())


def admin_digest(given: GatewaySecrets, folder: Path | None) -> bytes | None:
    """SHA-256 of the credential of /admin; None: there is none.

    Raises:
        StorageUnavailable: its file cannot be made or read.
    """
    if given.admin_key_sha256 is not None:
        return bytes.fromhex(given.admin_key_sha256)
    if folder is None:
        return None
    text = _kept(folder / ADMIN_KEY_FILE, f"hearth-admin-{_random(_RANDOM_CHARACTERS)}")
    return hashlib.sha256(text.encode()).digest()


def _random(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))


def _kept(file: Path, fresh: str) -> str:
    """The text of a file that is made once, whoever comes first."""
    try:
        if not file.exists():
            _make(file, fresh)
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StorageUnavailable(f"{file} cannot be read or made: {reason}.") from None
    if len(text) < _SHORTEST:
        raise StorageUnavailable(
            f"{file} is damaged: it should hold at least {_SHORTEST} characters. "
            "Restore it from a backup."
        )
    return text


def _make(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as writer:
            writer.write(text + "\n")
            writer.flush()
            os.fsync(writer.fileno())
        # A link appears whole or not at all and never replaces: another worker that starts at the
        # same moment reads either nothing or the text that both will use.
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
