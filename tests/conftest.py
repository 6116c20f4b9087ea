"""The tiers: what each test needs decides how long a developer waits for it."""

import os
from collections import Counter
from pathlib import Path

import pytest

from components.stack import cache_dir

TESTS = Path(__file__).parent
# Real sockets and child processes: seconds, where the rest takes milliseconds.
SERVICE = (
    "contract/test_openai",
    "expert_runner/test_main",
    "expert_runner/test_runner",
    "gateway/access/test_access",
    "gateway/access/test_ledger_kill",
    "gateway/access/test_shared_limits",
    "gateway/admission/test_admission",
    "gateway/api/",
    "gateway/fleet/test_discovery",
    "gateway/telemetry/test_exposition",
    "gateway/test_main",
    "gateway/test_workers",
    "gateway/wire/test_cancel",
    "gateway/wire/test_departure",
    "gateway/wire/test_exchange",
    "gateway/wire/test_failover",
    "gateway/wire/test_faults",
    "gateway/wire/test_keys",
    "gateway/wire/test_mends",
    "gateway/wire/test_protocol",
    "ops/test_cli",
    "ops/test_keys",
    "render/test_bash_bodies",
    "toolchain/plugins/test_copy",
    "toolchain/plugins/test_docker",
    "toolchain/plugins/test_remote",
)
MOCKS = ("stacks/",)


# The llama-server that the product built last, unless another one is named. Done at import, because
# the conftest files of subfolders read it at theirs.
_BUILDS = sorted(cache_dir().glob("llama.cpp/*/*/bin/llama-server"), key=os.path.getmtime)
if _BUILDS:
    os.environ.setdefault("HEARTH_LLAMA_SERVER", str(_BUILDS[-1]))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of this checkout."""
    return TESTS.parent


def tier_of(item: pytest.Item) -> str:
    """pure, mocks, service or live."""
    path = item.path.relative_to(TESTS).as_posix()
    if item.get_closest_marker("live"):
        return "live"
    if path.startswith(SERVICE) or item.get_closest_marker("plugin"):
        return "service"
    return "mocks" if path.startswith(MOCKS) else "pure"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if tier_of(item) == "service":
            item.add_marker(pytest.mark.service)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    report.tier = tier_of(item)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    outcomes = ("passed", "failed", "skipped")
    counts = Counter(
        (report.tier, outcome)
        for outcome in outcomes
        for report in terminalreporter.stats.get(outcome, [])
        if hasattr(report, "tier") and (report.when == "call" or outcome == "skipped")
    )
    for tier in ("pure", "mocks", "service", "live"):
        told = [f"{counts[tier, one]} {one}" for one in outcomes if counts[tier, one]]
        if told:
            terminalreporter.write_line(f"tier {tier}: {', '.join(told)}")
