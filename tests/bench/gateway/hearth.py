"""Hearth's gateway under test, with a key whose limits are really counted."""

import hashlib
import http
import json
import secrets
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.gateway.endpoint import Json, exchange
from tests.bench.gateway.systems import CHECKOUT, UPSTREAM_PORT, System

# So high that none is reached, so that each is counted and none refuses.
_LIMITS: Json = {
    "name": "bench",
    "rpm": 9_000_000,
    "tpm": 900_000_000,
    "concurrency": 100_000,
    "daily_tokens": 1_000_000_000_000,
}
_SLOTS = 16384  # more than streams are held: what is measured must not queue
_ADMIN_KEY_S = 3.0
_DISTRIBUTION = Path("/usr/bin/python3")
_VERSION = "import sys; print(*sys.version_info[:2], sep='.')"


class Hearth(System):
    """``python -m gateway`` of this checkout."""

    name = "hearth"
    port = 18080

    def __init__(
        self, folder: Path, ports: Sequence[int] = (UPSTREAM_PORT,), slots: int | None = _SLOTS
    ) -> None:
        """In front of the upstreams on these ports; ``slots`` of None: what each reports."""
        super().__init__(folder)
        self._upstreams: list[Json] = [
            {"url": f"http://127.0.0.1:{port}", **({"slots": slots} if slots else {})}
            for port in ports
        ]
        self._file_key = f"sk-bench-{secrets.token_hex(16)}"
        self.key = self._file_key

    def command(self) -> Sequence[str]:
        """One expert on the fake upstream; the file's key is there to find out that it serves."""
        settings: Json = {
            "host": "127.0.0.1",
            "port": self.port,
            "experts": {"fake": {"upstreams": self._upstreams}},
            "show_hosts": True,
            "log_requests": False,  # nobody else writes a line for each request here
            "data_dir": str(self._data),
            "keys": [
                {"id": "bench", "sha256": hashlib.sha256(self._file_key.encode()).hexdigest()}
            ],
            "admission": {"queue_length": 10000, "queue_length_per_key": 10000},
        }
        self._data.mkdir(exist_ok=True)
        path = self.folder / "settings.yaml"
        path.write_text(json.dumps(settings, indent=2))  # JSON is YAML
        return [str(self._python()), "-m", "gateway", "--settings", str(path)]

    def environment(self) -> Mapping[str, str]:
        """This checkout, with the packages of its environment whichever interpreter runs it."""
        packages = sysconfig.get_path("purelib")
        return {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'images/base'}:{packages}"}

    def _python(self) -> Path:
        """The distribution's interpreter where the packages fit it, as nginx and haproxy are the
        distribution's: one that was built without optimisation measures how it was built.
        """
        own = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if _DISTRIBUTION.exists():
            found = subprocess.run(
                [_DISTRIBUTION, "-c", _VERSION], capture_output=True, text=True, check=False
            )
            if found.stdout.strip() == own:
                return _DISTRIBUTION
        self.notes.append(f"hearth: runs on {sys.executable}, not on the distribution's Python")
        return Path(sys.executable)

    def start(self) -> None:
        """Serves, and has a key with limits where the administration can make one."""
        self.key = self._file_key
        super().start()
        try:
            self.key = self._limited_key()
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            self.notes.append(f"hearth: no key with limits, measured without: {error!r}")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _limited_key(self) -> str:
        admin = self._data / "admin.key"
        deadline = time.monotonic() + _ADMIN_KEY_S
        while not admin.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        status, text, _ = exchange(
            self.port, "POST", "/admin/keys", _LIMITS, admin.read_text().strip()
        )
        if status >= http.HTTPStatus.BAD_REQUEST:
            msg = f"status {status}: {text[:160]}"
            raise ValueError(msg)
        return str(json.loads(text)["key"])
