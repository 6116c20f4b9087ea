"""The gateway's /admin, used with the admin credential. Owns the requests and what their failures
mean for a person; not what is printed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from ops.errors import OpsError, Unreachable


class AdminApi:
    """Keys and usage of one gateway."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self._client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def create(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Make a key; the answer holds its text under ``key``."""
        return self._ask("POST", "/admin/keys", body=fields)

    def all(self) -> list[dict[str, Any]]:
        """Every key, the oldest first."""
        return list(self._ask("GET", "/admin/keys")["data"])

    def key(self, key_id: str) -> dict[str, Any]:
        """One key."""
        return self._ask("GET", f"/admin/keys/{key_id}")

    def update(self, key_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of a key; None takes a limit away."""
        return self._ask("PATCH", f"/admin/keys/{key_id}", body=fields)

    def rotate(self, key_id: str, overlap_s: float | None) -> dict[str, Any]:
        """Another text for a key, in the answer under ``key``."""
        body = {} if overlap_s is None else {"overlap_s": overlap_s}
        return self._ask("POST", f"/admin/keys/{key_id}/rotate", body=body)

    def revoke(self, key_id: str) -> dict[str, Any]:
        """End a key."""
        return self._ask("DELETE", f"/admin/keys/{key_id}")

    def usage(self, wanted: Mapping[str, str]) -> dict[str, Any]:
        """What was used."""
        return self._ask("GET", "/admin/usage", parameters=wanted)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body, params=parameters)
        except httpx.TransportError as error:
            msg = (
                f"the gateway at {self.url} does not answer ({error}); is it up? see: hearth status"
            )
            raise Unreachable(msg) from None
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            msg = f"{self.url} or {path} is no usable address: {error}"
            raise OpsError(msg) from None
        try:
            document = answer.json()
        except ValueError:
            document = None
        if answer.is_success and isinstance(document, dict):
            return document
        msg = f"the gateway answered {answer.status_code}: {_reason(document)}{_fix(answer)}"
        raise OpsError(msg)


def read_admin_key(file: Path) -> str:
    """The admin credential from a gateway's data folder.

    Raises:
        OpsError: it cannot be read or holds nothing.
    """
    try:
        text = file.read_text().strip()
    except OSError as error:
        msg = f"{file}: {error.strerror}; the gateway keeps it as admin.key in its data_dir"
        raise OpsError(msg) from None
    except UnicodeDecodeError:
        msg = f"{file} holds no text; the gateway keeps its key as admin.key in its data_dir"
        raise OpsError(msg) from None
    if not text or not text.isascii() or len(text.split()) != 1:
        msg = f"{file} holds no admin key; the gateway keeps it as admin.key in its data_dir"
        raise OpsError(msg)
    return text


def _reason(document: object) -> str:
    if isinstance(document, dict) and isinstance(document.get("error"), dict):
        return str(document["error"].get("message"))
    return "no answer of a gateway's /admin"


def _fix(answer: httpx.Response) -> str:
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return " The key given is not this gateway's admin key; see --admin-key-file."
    return ""
