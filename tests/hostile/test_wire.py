"""Nothing that anybody sends brings the gateway down, out of step or to a fault of its own."""

import asyncio
import random

import pytest

from tests.contract.processes import KEY
from tests.hostile.arsenal import ATTACKS, administration, wrong_fields
from tests.hostile.conftest import MARKER
from tests.hostile.wire import asks_head, check, exchange, read_answers

pytestmark = pytest.mark.service
AT_ONCE = 24
SOUND_HTTP = (wrong_fields, administration)


async def attack(siege, attacks, count: int, *, key: bytes, seed: int) -> list[str]:
    """Sends so many requests, ``AT_ONCE`` at a time; returns what was wrong with the answers."""
    wrong: list[str] = []
    numbers = iter(range(count))

    async def fight() -> None:
        for number in numbers:
            chance = random.Random(seed * 1_000_003 + number)
            one = chance.choice(attacks)
            marker = f"marker-{seed}-{number}-end"
            parts = one(chance, key, marker)
            siege.count += 1
            heard = b""
            try:
                # What is sound HTTP must be answered; of the rest the gateway may await more.
                due = one in SOUND_HTTP
                patience_s = 20 if due else 0.1
                heard = await exchange(siege.gateway.port, *parts, patience_s=patience_s)
                told = read_answers(heard, to_head=asks_head(parts))
                assert told or not due, "no answer"
                siege.answered += bool(told)
                for answer in told:
                    check(answer)
                # A marker may have been mutated.
                own = b"".join((*parts, marker.encode()))
                foreign = [found for found in MARKER.findall(heard) if found not in own]
                assert not foreign, foreign
            except AssertionError as error:
                shown = b" | ".join(part[:700] for part in parts)
                wrong.append(f"{one.__name__} #{number}: {error}\n  sent {shown!r}")

    await asyncio.gather(*(fight() for _ in range(AT_ONCE)))
    return wrong


@pytest.mark.parametrize("kind", ATTACKS, ids=lambda one: one.__name__)
async def test_every_answer_to_a_hostile_request_is_sound(siege, kind):
    wrong = await attack(siege, (kind,), 1500, key=KEY.encode(), seed=1)
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:8])


@pytest.mark.parametrize("who", ["the administrator", "a client", "nobody"])
async def test_every_answer_of_the_administration_is_sound(siege, who):
    keys = {"the administrator": siege.gateway.admin_key, "a client": KEY, "nobody": "x"}
    wrong = await attack(siege, (administration,), 500, key=keys[who].encode(), seed=2)
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:8])
