"""The one answer of routing that is not an expert; it belongs to the tree of ``gateway.errors``."""

from gateway.errors import BadRequest


class NoSuitableExpert(BadRequest):
    """No expert that the key may use can do what the request asks for."""

    code = "no_suitable_expert"
