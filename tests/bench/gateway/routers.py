"""The peers that come from the package index: two routers in Rust, and LiteLLM.

Each gets what flatters it: the cheapest policy, no retries, no log of requests.
"""

import json
from collections.abc import Mapping, Sequence

from tests.bench.gateway.systems import UPSTREAM_PORT, System
from tests.bench.gateway.venvs import venv

_UPSTREAM = f"http://127.0.0.1:{UPSTREAM_PORT}"


class VllmRouter(System):
    """vLLM's router."""

    name = "vllm-router"
    port = 18083
    start_s = 60.0
    _metrics_port = 18093

    def ports(self) -> Sequence[int]:
        """Its metrics have a port too; both routers take the same one unless told."""
        return [self.port, self._metrics_port]

    def command(self) -> Sequence[str]:
        """Round robin over one worker."""
        return [
            *(str(venv(self.name) / "bin/vllm-router"), "--host", "127.0.0.1"),
            *("--port", str(self.port), "--worker-urls", _UPSTREAM),
            *("--policy", "round_robin", "--disable-retries", "--disable-circuit-breaker"),
            *("--max-concurrent-requests", "1000000", "--log-level", "error"),
            *("--prometheus-port", str(self._metrics_port)),
        ]


class SglangRouter(System):
    """SGLang's router."""

    name = "sglang-router"
    port = 18084
    start_s = 60.0
    holds = False
    _metrics_port = 18094

    def ports(self) -> Sequence[int]:
        """Its metrics have a port too."""
        return [self.port, self._metrics_port]

    def command(self) -> Sequence[str]:
        """Round robin over one worker."""
        return [
            *(str(venv(self.name) / "bin/python"), "-m", "sglang_router.launch_router"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--worker-urls", _UPSTREAM),
            *("--policy", "round_robin", "--disable-retries", "--disable-circuit-breaker"),
            *("--max-concurrent-requests", "-1", "--log-level", "error"),
            *("--prometheus-port", str(self._metrics_port)),
        ]


class Litellm(System):
    """LiteLLM's proxy, one worker."""

    name = "litellm"
    port = 18085
    start_s = 180.0
    slow = True
    holds = False

    def command(self) -> Sequence[str]:
        """One model, no database."""
        route = {"model": "openai/fake", "api_base": f"{_UPSTREAM}/v1", "api_key": "none"}
        config = self.folder / "litellm.yaml"  # JSON is YAML
        config.write_text(
            json.dumps(
                {
                    "model_list": [{"model_name": "fake", "litellm_params": route}],
                    "litellm_settings": {"num_retries": 0, "telemetry": False},
                    "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
                }
            )
        )
        return [
            *(str(venv(self.name) / "bin/litellm"), "--config", str(config)),
            *("--host", "127.0.0.1", "--port", str(self.port), "--num_workers", "1"),
        ]

    def environment(self) -> Mapping[str, str]:
        """Quiet, and without the price list it would fetch from elsewhere at its start."""
        return {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
