"""``python -m gateway``: reads the two documents, serves, and ends well when told to stop."""

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final, TypeVar

import uvicorn
from pydantic import ValidationError

from contract.base import Document
from contract.gateway_settings import GatewaySecrets, GatewaySettings
from gateway.app import create_app
from gateway.nomad_client import nomad_client

_DRAIN_S: Final = 25  # below Nomad's kill timeout, so that streams end and are not cut
_KEEP_ALIVE_S: Final = 75  # longer than clients keep idle connections, so that they close first
_USAGE_ERROR: Final = 2

DocumentType = TypeVar("DocumentType", bound=Document)


class UnusableDocument(Exception):
    """A settings file is missing or wrong; the message names the file and the fields, no values."""


def read_document(path: Path, kind: type[DocumentType]) -> DocumentType:
    """A settings document from its file.

    Raises:
        UnusableDocument: it cannot be read or does not validate.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UnusableDocument(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        # Not chained: the original text quotes the values, and one document is secret.
        raise UnusableDocument(f"{path}: {faults}") from None


def main(arguments: list[str] | None = None) -> int:
    """Serves until SIGTERM. Returns 0 after that, 2 on unusable settings."""
    parser = argparse.ArgumentParser(prog="gateway", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--secrets", type=Path, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stdout,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%SZ",
    )
    logging.Formatter.converter = time.gmtime
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = read_document(options.settings, GatewaySettings)
        secrets = read_document(options.secrets, GatewaySecrets)
    except UnusableDocument as error:
        print(f"gateway: {error}", file=sys.stderr)
        return _USAGE_ERROR
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, secrets, nomad=nomad_client(settings.nomad_address, os.environ)),
            host=settings.host,
            port=settings.port,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_S,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
    )
    # uvicorn raises a caught signal again after its orderly end; by then it has been obeyed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
