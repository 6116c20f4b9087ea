"""``python -m gateway --settings FILE``: reads the documents, serves, and ends well when told to.

With Hearth around it, infrastructure writes both files. On its own the settings file is all it
needs; see docs/gateway.md.
"""

import argparse
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Final

import uvicorn

from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.documents import UnusableDocument, read_document
from gateway.errors import GatewayError
from gateway.serving import create_worker, prepare_process, server_config
from gateway.workers import serve_workers

_USAGE_ERROR: Final = 2


def main(arguments: list[str] | None = None) -> int:
    """Serves until SIGTERM; then returns 0. 1: it could not start; 2: unusable settings."""
    parser = argparse.ArgumentParser(prog="gateway", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="YAML or JSON file")
    parser.add_argument("--secrets", type=Path, help="JSON file, readable by its owner only")
    options = parser.parse_args(arguments)
    start_logging()
    try:
        settings = read_document(options.settings, GatewaySettings)
        secrets = (
            GatewaySecrets()
            if options.secrets is None
            else read_document(options.secrets, GatewaySecrets)
        )
    except UnusableDocument as error:
        print(f"gateway: {error}", file=sys.stderr)
        return _USAGE_ERROR
    # uvicorn raises a caught signal again after its orderly end; by then it has been obeyed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    if settings.workers > 1:
        return serve_workers(settings, options.settings, options.secrets)
    try:
        prepare_process()
        server = uvicorn.Server(server_config(create_worker(settings, secrets), settings))
        server.run()
    except GatewayError as error:
        print(f"gateway: {error.message}", file=sys.stderr)
        return 1
    except SystemExit:
        return 1  # uvicorn could not start, and has said why
    return 0 if server.started else 1


def start_logging() -> None:
    """Lines with UTC time on standard output, where Nomad keeps them."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stdout,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%SZ",
    )
    logging.Formatter.converter = time.gmtime
    logging.getLogger("httpx").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
