"""``python -m ops`` is the hearth command."""

import os
import signal


def _stop(*_: object) -> None:
    os.write(2, b"error: interrupted; nothing was changed\n")
    os._exit(130)


# The imports below take a moment, in which an interrupt would end in a traceback.
signal.signal(signal.SIGINT, _stop)

from ops.cli import main  # noqa: E402

signal.signal(signal.SIGINT, signal.default_int_handler)
main()
