"""What every request meets on its way: keys, limits, routing, replicas, the queue, the counters.
Owns none of their rules, only that there is one of each per process.
"""

import asyncio
import time
from typing import Any, Final, Protocol

import msgspec

from contract import headers
from contract.gateway_settings import GatewaySettings
from gateway.access.access import Access
from gateway.access.period import utc_day
from gateway.admission.waiting import WaitingRoom
from gateway.errors import BadRequest, GatewayError
from gateway.fleet.ask import Asker
from gateway.fleet.prefix import Link, PrefixIndex, chain
from gateway.fleet.replicas import Fleet, Replica
from gateway.reply.usage import read_count
from gateway.request.call import Call
from gateway.request.endpoints import Conversation
from gateway.routing.decision import Decision
from gateway.routing.facts import read_facts
from gateway.routing.router import Router
from gateway.telemetry.colleagues import Colleagues
from gateway.telemetry.figures import Figures, figures_of
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request_log import RequestLog
from gateway.wire.exchange import Exchange
from gateway.wire.placement import Placement
from gateway.wire.tally import usage_of

CORE: Final = "core"
"""Under this name the application's lifespan puts the ``Core`` where the protocol finds it."""


_COUNTING_S: Final = 10.0
_MOST_COUNTING: Final = 32
_SETTLING_S: Final = 1.0


class Client(Protocol):
    """An open client connection."""

    def sweep(self, now: float) -> None:
        """Ends what takes too long; ``now`` is monotonic seconds."""

    def end(self) -> None:
        """Ends what is under way, because the gateway does."""

    def abort(self) -> None:
        """Closes at once, whatever is under way."""


class Core:
    """The state of one gateway process."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        access: Access,
        fleet: Fleet,
        router: Router,
        ask: Asker,
        metrics: Metrics,
        colleagues: Colleagues,
        log: RequestLog,
    ) -> None:
        self.settings = settings
        self._priced = {
            name
            for name, expert in settings.experts.items()
            if expert.input_price or expert.output_price
        }
        self._log_all = settings.log_requests
        self.access = access
        self.ring, self.limits, self.ledger = access.ring, access.limits, access.ledger
        self.fleet = fleet
        self.router = router
        self.metrics = metrics
        self.colleagues = colleagues
        self.log = log
        self.waiting = WaitingRoom(settings.admission)
        self.queues = self.waiting.queues
        self.prefixes = PrefixIndex()
        self._ask = ask
        self._counting: set[asyncio.Task[None]] = set()
        self.loop = asyncio.get_running_loop()
        self.connections: set[Client] = set()
        self.draining = False
        self.began = time.monotonic()
        self._turn = 0
        self.today = utc_day(time.time())
        """Days since 1970, UTC; kept by ``sweep``."""

    def next_turn(self) -> int:
        """A number that grows with each request sent, to order replicas by their latest use."""
        self._turn += 1
        return self._turn

    def slots(self, expert: str) -> int:
        """Requests that the live replicas of an expert take at once."""
        return sum(replica.slots for replica in self.fleet.of(expert) if replica.live)

    def conversation(self, placement: Placement) -> list[Link]:
        """The beginnings of a request's conversation, for the affinity of replicas."""
        body = placement.body
        kind = placement.call.endpoint.conversation
        if body is None or kind is Conversation.NONE:
            return []
        text = {
            Conversation.MESSAGES: body.messages,
            Conversation.INPUT: body.input,
            Conversation.PROMPT: body.prompt,
        }[kind]
        return chain(placement.expert, bytes(text), system=bytes(body.system))

    async def decide(self, call: Call) -> Decision:
        """The expert for model `auto`.

        Raises:
            GatewayError: no expert can take the request.
        """
        document: dict[str, Any] = {}
        session = call.head.session
        if not call.endpoint.form:
            try:
                document = msgspec.json.decode(call.content)
            except (msgspec.DecodeError, RecursionError):
                # Valid JSON, but with a number that no double holds, or too deep to look into.
                msg = "The request body holds a value that cannot be read."
                raise BadRequest(msg) from None
        facts = read_facts(
            document,
            endpoint=call.endpoint.path,
            headers={headers.SESSION: session.decode("latin-1")} if session else {},
            key_id=call.key.id,
            key_name=call.key.name,
        )
        return await self.router.decide(facts, allowed=call.key.models, live=self.fleet.live)

    def account(self, exchange: Exchange, outcome: str, now: float) -> None:
        """Books what a request cost, once, when it has ended at ``now``, monotonic seconds."""
        call, expert, usage, aborted = exchange.call, exchange.expert, exchange.usage, 0
        if usage is None or outcome != "ok":
            usage, aborted, guessed = usage_of(exchange, outcome)
            if guessed and aborted:
                self._count(exchange, usage.prompt)
        prompt, completion, key = usage.prompt, usage.completion, call.key
        cost = self._cost(expert, prompt, completion) if expert in self._priced else 0
        if exchange.reserved >= 0:
            tokens = prompt + completion
            self.limits.settle(key, exchange.reserved, tokens, cost, exchange.day)
        if exchange.first_at or aborted:
            self.ledger.add(key.id, expert, prompt, usage.cached, completion, cost, aborted)
        seconds = now - exchange.began
        if self.queues and outcome == "ok":
            self.waiting.took(expert, seconds - exchange.queue_s)
        self.metrics.ended(exchange, outcome, usage, seconds)
        if self._log_all or outcome != "ok":
            self.log.add(exchange, outcome, usage, now, seconds)

    def _cost(self, expert: str, prompt: int, completion: int) -> int:
        """Millionths of the unit of the prices."""
        route = self.settings.experts[expert]
        return round(prompt * route.input_price + completion * route.output_price)

    def _count(self, exchange: Exchange, guessed: int) -> None:
        """Lets the replica count the prompt of a request that was broken off: nobody waits for it,
        and what was booked at once was a guess.
        """
        replica, path = exchange.replica, exchange.call.endpoint.counting
        if len(self._counting) >= _MOST_COUNTING:
            return  # the guess stands: a crowd that leaves must not become a crowd of questions
        if replica is not None and replica.counts and path is not None:
            task = self.loop.create_task(self._correct(exchange, guessed, replica, path))
            self._counting.add(task)
            task.add_done_callback(self._counting.discard)

    async def _correct(self, exchange: Exchange, guessed: int, replica: Replica, path: str) -> None:
        call, expert = exchange.call, exchange.expert
        try:
            answer = await self._ask.of(replica, path, call.content, timeout_s=_COUNTING_S)
            more = read_count(answer) - guessed
        except (GatewayError, msgspec.DecodeError):
            return  # the guess stands
        cost = self._cost(expert, more, 0)
        self.ledger.add(call.key.id, expert, more, 0, 0, cost, 0, requests=0)
        if exchange.reserved >= 0:
            self.limits.settle(call.key, 0, more, cost, exchange.day, ended=False)
        self.metrics.of(expert).prompt += more

    def figures(self) -> Figures:
        """What all workers have counted and hold."""
        return self.colleagues.together(figures_of(self))

    async def settle(self) -> None:
        """Gives what is still being counted a moment, at the end; after that the guesses stand."""
        if self._counting:
            _, late = await asyncio.wait(set(self._counting), timeout=_SETTLING_S)
            for task in late:
                task.cancel()

    def sweep(self) -> None:
        """What no event brings about: the date, and turns in queues whose replica came back."""
        self.today = utc_day(time.time())
        self.waiting.serve_all()
