"""Names of the HTTP headers Hearth adds to answers, in lower case."""

from typing import Final

REQUEST_ID: Final = "x-request-id"
EXPERT: Final = "x-hearth-expert"  # the expert that answered
MODEL: Final = "x-hearth-model"  # the rung (model) that answered
DEGRADED: Final = "x-hearth-degraded"  # present only when the rung is not the first of the ladder
