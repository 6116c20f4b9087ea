"""What a request cost that did not simply succeed. Pure."""

from typing import TYPE_CHECKING

from gateway.reply.usage import Usage

if TYPE_CHECKING:
    from gateway.wire.exchange import Exchange


def usage_of(exchange: "Exchange", outcome: str) -> tuple[Usage, int, bool]:
    """Tokens of a request that did not tell them at once; 1 when it ended early while a replica
    worked on it, else 0; and whether the prompt is a guess.

    What was sent is known, for an event carries a token. Of a prompt nobody has counted, four bytes
    make about one.
    """
    answer, endpoint = exchange.answer, exchange.call.endpoint
    aborted = int(outcome != "ok" and (exchange.first_at > 0 or exchange.holding))
    known = answer.usage if answer is not None else exchange.usage
    if known is not None and (not aborted or known.completion):
        return known, aborted, False
    if not endpoint.counted or not (exchange.first_at or aborted):
        return Usage(), aborted, False
    events = max(0, answer.events - 1) if answer is not None and endpoint.generates else 0
    if known is not None:
        return Usage(prompt=known.prompt, completion=events), aborted, False
    return Usage(prompt=len(exchange.call.content) // 4, completion=events), aborted, True
