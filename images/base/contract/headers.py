"""Names of the HTTP headers Hearth reads and adds, in lower case."""

from typing import Final

REQUEST_ID: Final = "x-request-id"
EXPERT: Final = "x-hearth-expert"  # the expert that answered
MODEL: Final = "x-hearth-model"  # the rung (model) that answered
DEGRADED: Final = "x-hearth-degraded"  # present only when the rung is not the first of the ladder
REASON: Final = (
    "x-hearth-reason"  # why this expert: explicit, alias, default, rule:…, sticky, fallback>…
)
HOST: Final = "x-hearth-host"  # address of the replica, where the settings allow it
QUEUED: Final = "x-hearth-queued-ms"  # present only when the request waited for a slot
SESSION: Final = "x-session-id"  # request: keeps a conversation with one expert
