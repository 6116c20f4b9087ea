"""However long a siege lasts, the gateway grows no larger and keeps nothing open."""

import re

import httpx
import pytest

from tests.contract.processes import KEY, wait_until
from tests.hostile.arsenal import ATTACKS, administration, request
from tests.hostile.conftest import REPORT
from tests.hostile.test_wire import attack
from tests.hostile.wire import exchange

pytestmark = pytest.mark.service
WARM_UP, SIEGE = 2500, 6000
TOLERANCE_KB = 8 * 1024


async def test_memory_and_files_are_the_same_after_thousands_of_hostile_requests(siege):
    kinds = (*ATTACKS, *ATTACKS, administration)
    await attack(siege, kinds, WARM_UP, key=KEY.encode(), seed=3)
    assert wait_until(lambda: siege.gateway.metric("in_flight") == 0, within_s=5)
    before, files = siege.gateway.rss_kb(), siege.gateway.open_files()
    wrong = await attack(siege, kinds, SIEGE, key=KEY.encode(), seed=4)
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:8])
    assert wait_until(lambda: siege.gateway.metric("in_flight") == 0, within_s=5)
    assert wait_until(lambda: siege.gateway.open_files() <= files + 20, within_s=8)
    after = siege.gateway.rss_kb()
    REPORT.append(f"RSS after {WARM_UP} requests {before} kB, after {SIEGE} more {after} kB")
    assert after - before < TOLERANCE_KB


async def test_content_types_that_never_repeat_are_not_kept(siege):
    async def send(number: int) -> None:
        kind = b"content-type: application/json; x=" + b"%08d" % number + b"y" * 50_000
        lines = [b"host: x", b"authorization: Bearer " + KEY.encode(), kind]
        content = b'{"model":"general","messages":[]}'
        heard = await exchange(
            siege.gateway.port, request(b"POST", b"/v1/chat/completions", lines, content)
        )
        assert heard.startswith(b"HTTP/1.1 200")

    await send(0)
    before = siege.gateway.rss_kb()
    for number in range(1, 260):
        await send(number)
    assert siege.gateway.rss_kb() - before < TOLERANCE_KB


async def test_trailers_without_end_are_not_kept(siege):
    before = siege.gateway.rss_kb()
    lines = [b"host: x", b"authorization: Bearer " + KEY.encode()]
    head = request(b"POST", b"/v1/route/explain", lines, b"", framing=b"transfer-encoding: chunked")
    trailer = b"".join(b"x-%06d: y\r\n" % number for number in range(4000))
    parts = [head, b"2\r\n{}\r\n0\r\n", *[trailer] * 40]
    highest = 0

    async def watch() -> None:
        nonlocal highest
        await exchange(siege.gateway.port, *parts, patience_s=0.5)
        highest = siege.gateway.rss_kb()

    await watch()
    assert highest - before < TOLERANCE_KB


def test_the_labels_of_the_metrics_are_few(siege):
    text = httpx.get(f"{siege.gateway.url}/metrics").text
    labels = set(re.findall(r'(?:code|status|expert)="([^"]*)"', text))
    assert len(labels) < 60, sorted(labels)
