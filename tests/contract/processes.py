"""The gateway and llama-server as what they are in earnest: processes with a command line."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from tests.ports import free_port

KEY: Final = "sk-hearth-contract-of-the-tests"
KEY_ID: Final = "contract"
_CHECKOUT: Final = Path(__file__).parents[2]
_READY_S: Final = 20.0
_END_S: Final = 10.0


def wait_until(holds: Callable[[], bool], within_s: float = _READY_S, step_s: float = 0.01) -> bool:
    """Whether a condition came true in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(step_s)
    return True


class Process:
    """A server in a process of its own. ``log`` holds what it wrote."""

    def __init__(
        self, command: Sequence[str], port: int, log: Path, environment: Mapping[str, str] = {}
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=_CHECKOUT,
                env={**os.environ, **environment},
            )
        if not wait_until(lambda: not self.alive or self._healthy()) or not self.alive:
            self.stop()
            msg = f"{command[0]} did not come up: {log.read_text(errors='replace')[-2000:]}"
            raise AssertionError(msg)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def rss_kb(self) -> int:
        """Memory it occupies."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def open_files(self) -> int:
        """File descriptors it holds."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    def stop(self) -> int:
        """Ends it and returns its exit status."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def _healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False


class LlamaServer(Process):
    """llama-server with one tiny model."""

    def __init__(self, binary: str, model: Path, name: str, folder: Path, *flags: str) -> None:
        port = free_port()
        command = [
            *(binary, "-m", str(model), "--alias", name),
            *("--host", "127.0.0.1", "--port", str(port), "-t", "1", "--cache-ram", "8"),
            *("-lm", "none", "--metrics", "--no-ui", "--offline", *flags),
        ]
        super().__init__(command, port, folder / f"{name}.log", {"GGML_NO_BACKTRACE": "1"})

    def busy_slots(self) -> int:
        """How many requests it works on."""
        slots = httpx.get(f"{self.url}/slots", timeout=5).json()
        return sum(slot["is_processing"] for slot in slots)


class GatewayProcess(Process):
    """``python -m gateway --settings FILE`` with the key ``KEY`` and a data folder of its own."""

    def __init__(self, folder: Path, experts: Mapping[str, Any], **settings: Any) -> None:
        port = free_port()
        self.data = folder / "data"
        document = {
            "host": "127.0.0.1",
            "port": port,
            "experts": experts,
            "data_dir": str(self.data),
            "keys": [{"id": KEY_ID, "sha256": hashlib.sha256(KEY.encode()).hexdigest()}],
            "probe_interval_s": 0.5,
            **settings,
        }
        file = folder / "settings.json"
        file.write_text(json.dumps(document))
        command = [sys.executable, "-m", "gateway", "--settings", str(file)]
        roots = {"PYTHONPATH": f"{_CHECKOUT}:{_CHECKOUT / 'images/base'}"}
        super().__init__(command, port, folder / "gateway.log", roots)

    @property
    def admin_key(self) -> str:
        """The credential of /admin."""
        return (self.data / "admin.key").read_text().strip()

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of one of the paths under /admin."""
        answer = httpx.request(
            method,
            f"{self.url}/admin{path}",
            json=body,
            headers={"authorization": f"Bearer {self.admin_key}"},
            timeout=30,
        )
        assert answer.is_success, answer.text
        return answer.json()

    def new_key(self, name: str, **terms: Any) -> tuple[str, str]:
        """Id and text of a new key."""
        made = self.admin("POST", "/keys", {"name": name, **terms})
        return made["id"], made["key"]

    def usage(self, key_id: str) -> dict[str, Any]:
        """What a key has used until this moment."""
        total: dict[str, Any] = self.admin("GET", f"/usage?key={key_id}")["total"]
        return total

    def metric(self, name: str, labels: str = "") -> float:
        """The sum of a counter over all lines whose labels hold the given text."""
        text = httpx.get(f"{self.url}/metrics", timeout=30).text
        found = [
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith(f"hearth_gateway_{name}{{") and labels in line
        ]
        return sum(found)
