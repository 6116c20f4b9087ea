"""``python -m ops`` is the hearth command."""

import signal
import sys


def _stop(*_: object) -> None:
    sys.exit("interrupted; nothing was changed")


# The imports below take a moment, in which an interrupt would end in a traceback.
signal.signal(signal.SIGINT, _stop)

from ops.cli import main  # noqa: E402

signal.signal(signal.SIGINT, signal.default_int_handler)
main()
