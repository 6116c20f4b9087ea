"""The verbs as library calls: one object per stack of this checkout."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ops import changes, state
from ops.checkout import Checkout
from ops.endpoint import Endpoint
from ops.engine import Engine
from ops.errors import OpsError, PulumiFailed
from ops.nomad_api import NomadApi

SERVING_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Unavailable:
    """A model file that could not be had, and why."""

    file: str
    reason: str


class Stack:
    """What can be done with one stack."""

    def __init__(self, checkout: Checkout, name: str) -> None:
        self.checkout = checkout
        self.name = name
        self.engine = Engine(checkout, name)

    def prepare(self) -> None:
        """State directory, passphrase, stack; clears what a killed run left behind."""
        self.checkout.prepare()
        self.engine.ensure_stack()
        self.engine.recover()

    def set_driver(self, driver: str) -> None:
        """Write ``apps.driver`` into the stack file; nothing but the file says how apps run."""
        self.engine.set_config("hearth:cluster.apps.driver", driver)

    def outputs(self) -> dict[str, Any]:
        """Outputs of the stack. Raises OpsError when it was never brought up."""
        outputs = self.engine.outputs() if self.checkout.passphrase_file.exists() else {}
        if "gateway-url" not in outputs:
            msg = f"stack {self.name} is not up; run: hearth up --stack {self.name}"
            raise OpsError(msg)
        return outputs

    def preview(self) -> list[changes.Change]:
        """What an update would change. Raises PulumiFailed with the program's own messages."""
        digest = self.engine.preview()
        if found := changes.problems(digest):
            raise PulumiFailed("\n".join(found), 1)
        return changes.changes(digest)

    def findings(self) -> list[state.Finding]:
        """What is not as the state says. Empty for a stack that was never brought up."""
        return state.probe(self.engine.export())

    def cluster_findings(self) -> list[state.Finding]:
        """What keeps the cluster itself from answering: its agent and the access to it."""
        return [
            finding
            for finding in self.findings()
            if any(part in finding.urn for part in ("NomadAgent$", "NomadAccess$"))
        ]

    def repair(self, findings: list[state.Finding]) -> None:
        """Run exactly the ensure commands that are off, nothing else."""
        targets = [option for finding in findings for option in ("--target-replace", finding.urn)]
        self.engine.update(*targets)

    def stopped_jobs(self) -> list[str]:
        """Jobs of the stack that the cluster does not run."""
        outputs = self.outputs()
        wanted = [
            resource["id"]
            for resource in state.resources(self.engine.export())
            if resource["type"] == "nomad:index/job:Job"
        ]
        nomad = NomadApi(outputs["nomad-address"], outputs["nomad-token"])
        try:
            running = nomad.jobs()
        finally:
            nomad.close()
        return [job for job in wanted if running.get(job) not in ("running", "pending")]

    def endpoint(self, outputs: dict[str, Any]) -> Endpoint:
        """The gateway of the stack, from its outputs; asking for those starts the engine."""
        return Endpoint(outputs["gateway-url"], outputs["gateway-key"])

    def forget_unavailable(self) -> None:
        """Make the next probe ask for missing models again, however recently they were missed."""
        for marker in self._markers():
            marker.unlink(missing_ok=True)

    def unavailable_models(self) -> list[Unavailable]:
        """Model files this machine could not get."""
        return [
            Unavailable(file=marker.stem, reason=marker.read_text().strip())
            for marker in self._markers()
            if marker.exists()
        ]

    def _markers(self) -> list[Path]:
        files = state.model_files(self.engine.export())
        return [file.with_name(file.name + ".unavailable") for file in files]
