"""Which stack a command is about."""

from typing import Annotated, Final

import typer

from ops.checkout import find_checkout
from ops.engine import selected_stack
from ops.stack import Stack

StackName = Annotated[
    str | None,
    typer.Option(
        "--stack",
        "-s",
        envvar="HEARTH_STACK",
        help="Which Pulumi.<stack>.yaml; default: the one `pulumi stack select` chose, or dev.",
    ),
]

_FIRST_STACK: Final = "dev"


def find_stack(name: str | None) -> Stack:
    """The stack of this name, or the one in use."""
    checkout = find_checkout()
    return Stack(checkout, name or selected_stack(checkout) or _FIRST_STACK)
