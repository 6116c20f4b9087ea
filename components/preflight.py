"""Preflight: looks at the machines and stops the run before anything changes.

Reads only. It is no resource, because it has no state: it runs in every preview and every update.
"""

from collections.abc import Mapping

from components.machine import Machine
from components.plan.spec import Plan
from components.render.preflight import preflight_script


def preflight(plan: Plan, machines: Mapping[str, Machine]) -> None:
    """Check every host of the plan. Raises pulumi.RunError naming each problem and its fix."""
    for host in plan.hosts:
        machines[host.name].check(preflight_script(host))
