"""Follows a registered job until it is scheduled and healthy, or says why not."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from toolchain.plugins.errors import PluginError
from toolchain.plugins.nomad.api import Api
from toolchain.plugins.resource import Log

_POLL_S: Final = 0.5
_ENDED_BADLY: Final = ("failed", "cancelled", "canceled")


@dataclass(frozen=True)
class Outcome:
    """The deployment that became healthy; empty for jobs that have none."""

    deployment: str
    status: str


class Follower:
    """Polls one cluster. ``clock`` and ``sleep`` are given, so that tests need no time."""

    def __init__(
        self,
        api: Api,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._clock = clock
        self._sleep = sleep

    def follow(self, evaluation: str, timeout_s: float, log: Log) -> Outcome:
        """Wait for the evaluation and its deployment. Raises PluginError with Nomad's reason."""
        deadline = self._clock() + timeout_s
        deployment = self._evaluated(evaluation, deadline, timeout_s)
        if not deployment:
            return Outcome("", "")
        said = ""
        while True:
            found = self._api.get(f"/v1/deployment/{deployment}")
            status = found["Status"]
            if status == "successful":
                return Outcome(deployment, status)
            if status in _ENDED_BADLY:
                msg = (
                    f"error waiting for evaluation: deployment '{deployment}' terminated with "
                    f"status '{status}': '{found['StatusDescription']}'"
                )
                raise PluginError(msg)
            if (now := _progress(found)) != said:
                said = now
                log.progress(now)
            self._pause(deadline, timeout_s, "deployment_successful", "monitoring_deployment")

    def _evaluated(self, evaluation: str, deadline: float, timeout_s: float) -> str:
        """The id of the deployment the evaluation led to; blocked ones are followed on."""
        while True:
            found = self._api.get(f"/v1/evaluation/{evaluation}")
            if found["Status"] == "complete":
                following = found.get("BlockedEval") or found.get("NextEval")
                if found.get("DeploymentID") or not following:
                    return str(found.get("DeploymentID") or "")
                evaluation = following
            elif found["Status"] in _ENDED_BADLY:
                msg = (
                    f"error waiting for evaluation: evaluation '{evaluation}' ended with status "
                    f"'{found['Status']}': '{found.get('StatusDescription', '')}'"
                )
                raise PluginError(msg)
            self._pause(deadline, timeout_s, "evaluation_complete", "monitoring_evaluation")

    def _pause(self, deadline: float, timeout_s: float, wanted: str, last: str) -> None:
        if self._clock() >= deadline:
            msg = (
                f"timeout while waiting for state to become '{wanted}' "
                f"(last state: '{last}', timeout: {timeout_s:.0f}s)"
            )
            raise PluginError(msg)
        self._sleep(_POLL_S)


def _progress(deployment: dict[str, Any]) -> str:
    groups = deployment.get("TaskGroups") or {}
    return ", ".join(
        f"{name}: {group['HealthyAllocs']} of {group['DesiredTotal']} healthy"
        for name, group in groups.items()
    )
