"""Fetching files over HTTP: resumed, verified, renamed into place.

Owns retries and partial files. Does not own which addresses, nor what the content means.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

from toolchain import digest, files
from toolchain.errors import ChecksumError, DownloadError
from toolchain.progress import Step

_BLOCK = 1 << 18
_AGENT = "hearth-toolchain"


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}".rstrip()
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


class Downloader:
    """HTTP client; proxies and certificate settings of the environment apply."""

    def __init__(
        self,
        *,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 30.0,
        attempts: int = 4,
        sleep: Callable[[float], None] = time.sleep,
        opener: urllib.request.OpenerDirector | None = None,
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._attempts = attempts
        self._sleep = sleep
        self._opener = opener or urllib.request.build_opener()

    def reachable(self, origins: Iterable[str]) -> dict[str, str]:
        """Origin (`https://host`) to the reason why it cannot be reached; empty means it can.

        All at once, in at most the connect timeout: name resolution has no timeout of its own,
        so each look runs in a thread that is left behind when it is too slow.
        """
        reasons: dict[str, str] = {}

        def look(origin: str) -> None:
            request = urllib.request.Request(
                origin + "/", method="HEAD", headers={"User-Agent": _AGENT}
            )
            try:
                self._opener.open(request, timeout=self._connect_timeout_s).close()
            except urllib.error.HTTPError as error:
                error.close()
                reasons[origin] = ""
            except (OSError, http.client.HTTPException, ssl.SSLError) as error:
                reasons[origin] = _reason(error)
            else:
                reasons[origin] = ""

        wanted = sorted(set(origins))
        threads = [threading.Thread(target=look, args=(o,), daemon=True) for o in wanted]
        deadline = time.monotonic() + self._connect_timeout_s
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        late = f"no answer within {self._connect_timeout_s:g} s"
        return {origin: reasons.get(origin, late) for origin in wanted}

    def text(self, url: str, limit: int = 1 << 20) -> str:
        """A small text file; raises DownloadError."""
        request = urllib.request.Request(url, headers={"User-Agent": _AGENT})
        try:
            with self._opener.open(request, timeout=self._read_timeout_s) as reply:
                body: bytes = reply.read(limit)
        except (OSError, http.client.HTTPException) as error:
            raise DownloadError(f"{url}: {_reason(error)}") from error
        return body.decode("utf-8", errors="replace")

    def fetch(self, url: str, target: Path, sha256: str, step: Step) -> None:
        """Puts the file at `target`; its digest must be `sha256` (hex).

        An earlier partial download is continued. Raises DownloadError when the address does
        not supply it, ChecksumError when a download made in one go is another file.
        """
        part = target.with_name(target.name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        name = urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1]
        step.activity(f"downloading {name}")
        resumed = part.exists() and part.stat().st_size > 0
        self._complete(url, part, step)
        try:
            digest.require(part, sha256, "the checksum list")
        except ChecksumError:
            part.unlink()
            if not resumed:
                raise
            # The first half may have been another version's: once more from the start.
            step.log("resumed file does not match, starting again")
            self._complete(url, part, step)
            try:
                digest.require(part, sha256, "the checksum list")
            except ChecksumError:
                part.unlink()
                raise
        part.replace(target)

    def _complete(self, url: str, part: Path, step: Step) -> None:
        failures = 0
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                if self._continue(url, part, step):
                    return
                problem = "the connection ended early"
            except urllib.error.HTTPError as error:
                error.close()
                if error.code == 416:
                    files.remove_tree(part)
                elif error.code not in (408, 425, 429) and error.code < 500:
                    raise DownloadError(f"{url}: {_reason(error)}") from error
                problem = _reason(error)
            except (OSError, http.client.HTTPException) as error:
                problem = _reason(error)
            grown = part.exists() and part.stat().st_size > before
            failures = 1 if grown else failures + 1
            step.log(f"{url}: {problem} (attempt {failures} of {self._attempts})")
            if failures >= self._attempts:
                raise DownloadError(f"{url}: {problem}")
            self._sleep(min(8.0, 0.5 * 2**failures))

    def _continue(self, url: str, part: Path, step: Step) -> bool:
        have = part.stat().st_size if part.exists() else 0
        headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        request = urllib.request.Request(url, headers=headers)
        with self._opener.open(request, timeout=self._read_timeout_s) as reply:
            if reply.status != 206:
                have = 0
            announced = reply.headers.get("Content-Length", "")
            total = have + int(announced) if announced.isdigit() else 0
            step.log(f"HTTP {reply.status}, from byte {have} of {total or 'unknown'}")
            with part.open("ab" if have else "wb") as out:
                while block := reply.read(_BLOCK):
                    out.write(block)
                    have += len(block)
                    step.amount(have, total, "B")
        return total == 0 or have >= total
