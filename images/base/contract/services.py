"""How services find each other in Nomad's native catalogue.

An expert registers one service per replica, named ``expert-<name>``. Its first-choice rung
travels as a tag, so that a changed ladder changes that expert's job and nothing else: the gateway
compares the tag with the rung the replica reports (the ``id`` in its ``/v1/models``).
"""

from typing import Final

EXPERT_PREFIX: Final = "expert-"
PREFERRED_RUNG_TAG: Final = "preferred-rung="

SELFTEST: Final = "selftest"
"""Name of the generated model that is the last rung of every ladder."""


def expert_service(expert: str) -> str:
    """The Nomad service name of an expert."""
    return f"{EXPERT_PREFIX}{expert}"


def preferred_rung_tag(rung: str) -> str:
    """The service tag that carries the first rung of a ladder."""
    return f"{PREFERRED_RUNG_TAG}{rung}"


def preferred_rung(tags: list[str]) -> str | None:
    """The first rung named in a service's tags, or None when the tag is absent."""
    for tag in tags:
        if tag.startswith(PREFERRED_RUNG_TAG):
            return tag.removeprefix(PREFERRED_RUNG_TAG)
    return None
