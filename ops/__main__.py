"""``python -m ops`` is the hearth command."""

from ops.cli import main

main()
