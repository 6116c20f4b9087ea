"""The few reads the hearth command makes of Nomad's HTTP API."""

from dataclasses import dataclass
from typing import Any

import httpx

from ops.errors import OpsError, Unreachable


@dataclass(frozen=True)
class Allocation:
    """The newest allocation of a job."""

    id: str
    task: str
    status: str
    restarts: int


class NomadApi:
    """Reads from one agent. Raises Unreachable when it does not answer."""

    def __init__(self, address: str, token: str) -> None:
        self._client = httpx.Client(
            base_url=address, headers={"X-Nomad-Token": token}, timeout=10.0
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def jobs(self) -> dict[str, str]:
        """Status of every job by id: running, pending or dead."""
        return {job["ID"]: job["Status"] for job in self._get("/v1/jobs")}

    def allocation(self, job: str) -> Allocation | None:
        """The newest allocation of a job, or None when it never had one."""
        allocations = self._get(f"/v1/job/{job}/allocations")
        if not allocations:
            return None
        newest = max(allocations, key=lambda one: one["CreateIndex"])
        states: dict[str, dict[str, Any]] = newest.get("TaskStates") or {}
        task, state = next(iter(states.items()), (job, {}))
        return Allocation(
            id=newest["ID"],
            task=task,
            status=newest["ClientStatus"],
            restarts=int(state.get("Restarts", 0)),
        )

    def log(self, allocation: Allocation, stream: str, tail_bytes: int) -> str:
        """The end of a task's ``stdout`` or ``stderr``."""
        return self._response(
            f"/v1/client/fs/logs/{allocation.id}",
            task=allocation.task,
            type=stream,
            plain="true",
            origin="end",
            offset=str(tail_bytes),
        ).text

    def _get(self, path: str) -> Any:
        return self._response(path).json()

    def _response(self, path: str, **query: str) -> httpx.Response:
        try:
            response = self._client.get(path, params=query)
        except httpx.TransportError as error:
            msg = f"Nomad at {self._client.base_url} does not answer ({error}); run: hearth heal"
            raise Unreachable(msg) from None
        if response.status_code != httpx.codes.OK:
            msg = f"Nomad refused {path}: {response.status_code} {response.text.strip()}"
            raise OpsError(msg)
        return response
