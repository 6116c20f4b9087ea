"""``python -m expert_runner``: reads the settings and the key, wires the runner, obeys signals."""

import argparse
import signal
import sys
import time
from pathlib import Path

from pydantic import ValidationError

from contract.expert_settings import ExpertSettings
from expert_runner.errors import ConfigurationError
from expert_runner.failures import FailureMemory
from expert_runner.flags import Listen
from expert_runner.log import Log
from expert_runner.memory import HostMemory
from expert_runner.runner import Runner, Timing

_USAGE_ERROR = 2


def read_settings(path: Path) -> ExpertSettings:
    """The settings document.

    Raises:
        ConfigurationError: it is missing or wrong; the message names the file and the fields.
    """
    try:
        return ExpertSettings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError(f"{path}: {faults}") from error


def read_key(path: Path) -> str:
    """The first key of the file llama-server gets too; lines with a hash are comments.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigurationError(f"{path} holds no key")
    return keys[0]


def main(arguments: list[str] | None = None) -> int:
    """Runs one expert. Returns 0 when stopped, 1 when no rung works, 2 on bad settings."""
    parser = argparse.ArgumentParser(prog="expert_runner", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--api-key-file", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    try:
        settings, key = read_settings(options.settings), read_key(options.api_key_file)
        runner = Runner(
            settings,
            Listen(host=options.host, port=options.port, api_key_file=str(options.api_key_file)),
            key=key,
            memory=HostMemory(),
            failures=FailureMemory(
                Path(settings.state_file), first_rest_s=settings.retry_after_s, now=time.time
            ),
            log=Log(sys.stdout, expert=settings.expert, now=time.time),
            timing=Timing(),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: runner.stop())
        return runner.run()
    except ConfigurationError as error:
        print(f"expert_runner: {error}", file=sys.stderr)
        return _USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
