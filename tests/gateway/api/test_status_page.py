"""The status page as a person sees it: a real browser, a real gateway, model servers of ours."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from tests.gateway.api.browser import CHROMIUM, KEY, World, own_address, world

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}; apt-get install chromium"
    ),
]

HOSTILE: Final = "<img src=x onerror=alert(1)>"
READABLE: Final = 4.5  # WCAG AA for text of ordinary size

# The lowest contrast of any visible text with what is behind it, and that text. A canvas turns
# every notation of a colour into four numbers.
CONTRAST: Final = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const parse = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((n) => top[n] * top[3] + below[n] * (1 - top[3]));
  const behind = (node) => {
    const own = parse(getComputedStyle(node).backgroundColor);
    return own[3] === 1 || !node.parentElement ? own : over(own, behind(node.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((n) => n / 255)
      .map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = [...document.body.querySelectorAll("*")].filter((node) =>
    node.checkVisibility() && [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  const found = texts.map((node) => {
    const pair = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    return [(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), node.textContent.trim()];
  });
  return found.reduce((worst, one) => (one[0] < worst[0] ? one : worst));
}"""


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as started:
        yield started


def upstreams(*urls: str, **more: Any) -> dict[str, Any]:
    return {"upstreams": [{"url": url, "slots": 4} for url in urls], **more}


def card(page: Page, name: str) -> Any:
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name))


async def test_it_shows_every_expert_and_its_state(here: World) -> None:
    good, spare, gone = await here.server(), await here.server("selftest"), await here.server()
    await gone.stop()
    good.register("vision", spare, preferred="qwen2.5-vl-7b")
    general = upstreams(good.url, description="Everyday questions", capabilities=["chat", "vision"])
    await here.serve(
        nomad_address=good.url,
        experts={"general": general, "coder": upstreams(gone.url), "vision": {}},
        aliases={"gpt-4o-mini": "general"},
    )
    assert await here.ask("general") == 200
    page = await here.look()
    await expect(page.get_by_role("status").first).to_have_text(
        "2 of 3 experts answer; coder has no replica; vision is degraded: selftest answers"
    )
    for text in ("answers", "Everyday questions", "gpt-4o-mini", "qwen3-8b", "0 of 4", "75%"):
        await expect(card(page, "general")).to_contain_text(text)
    await expect(card(page, "general").get_by_label("Capabilities")).to_have_text("chatvision")
    await expect(card(page, "coder")).to_contain_text("no replica")
    await expect(card(page, "vision")).to_contain_text("degraded")
    await expect(page.get_by_role("row", name="person")).to_have_text("person11,200340")
    await expect(page.get_by_text("Usage is kept in memory only")).to_be_visible()
    await expect(page.get_by_text("shutting down")).to_be_hidden()


async def test_it_shows_a_lost_replica_and_its_return_without_a_reload(here: World) -> None:
    server = await here.server()
    await here.serve(experts={"general": upstreams(server.url)})
    page = await here.look()
    sentence = page.get_by_role("status").first
    await expect(sentence).to_have_text("general answers")
    await server.stop()
    await expect(sentence).to_have_text("general has no replica")
    await expect(card(page, "general")).to_contain_text("does not answer")
    await server.start()
    await expect(sentence).to_have_text("general answers")


async def test_it_shows_requests_in_flight_as_filled_slots(here: World) -> None:
    server = await here.server()
    await here.serve(experts={"general": upstreams(server.url)})
    page = await here.look()
    await expect(card(page, "general")).to_contain_text("0 of 4")
    server.go.clear()
    asking = [asyncio.create_task(here.ask("general")) for _ in range(5)]
    await expect(card(page, "general")).to_contain_text("4 of 4")
    await expect(card(page, "general").locator(".dots .on")).to_have_count(4)
    await expect(card(page, "general")).to_contain_text("busy")
    await expect(page.get_by_text("1 request waits")).to_be_visible()
    server.go.set()
    assert await asyncio.gather(*asking) == [200] * 5
    await expect(card(page, "general").locator(".dots .on")).to_have_count(0)
    await expect(page.get_by_role("img", name="Tokens per second of general")).to_be_visible()


async def test_it_shows_hostile_names_as_text(here: World) -> None:
    server = await here.server(HOSTILE)
    await here.serve(
        key_id=HOSTILE,
        experts={
            HOSTILE: upstreams(server.url, description=HOSTILE),
            "__proto__": upstreams(server.url),
        },
        aliases={f"{HOSTILE}!": HOSTILE},
    )
    assert await here.ask(HOSTILE) == 200
    page = await here.look()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await expect(page.get_by_role("heading", name=HOSTILE)).to_have_text(HOSTILE)
    await expect(page.locator(".serving").first).to_have_text(HOSTILE)
    await expect(page.locator(".about").first).to_have_text(HOSTILE)
    await expect(page.get_by_text(f"Also called {HOSTILE}!")).to_be_visible()
    await expect(page.get_by_role("rowheader")).to_have_text(HOSTILE)
    await expect(page.get_by_role("heading", name="__proto__")).to_be_visible()
    assert await page.locator("img").count() == 0
    assert dialogs == []


async def test_it_asks_for_a_key_where_one_is_needed_and_can_forget_it(here: World) -> None:
    address = own_address()
    if address is None:
        pytest.skip("this machine has only loopback addresses, which need no key")
    server = await here.server()
    await here.serve(host="0.0.0.0", experts={"general": upstreams(server.url)})
    page = await here.look(host=address)
    field = page.get_by_label("API key")
    await expect(field).to_be_focused()
    await expect(field).to_have_attribute("type", "password")
    await field.fill("sk-hearth-wrong")
    await field.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("Incorrect API key provided.")
    await field.fill(KEY)
    await page.get_by_role("button", name="Show status").click()
    await expect(page.get_by_role("status").first).to_have_text("general answers")
    await expect(field).to_be_hidden()
    await page.reload()
    await expect(page.get_by_role("status").first).to_have_text("general answers")
    kept = "[sessionStorage.length, localStorage.length, document.cookie, location.href]"
    assert await page.evaluate(kept) == [1, 0, "", f"{here.url(address)}/status"]
    await page.get_by_role("button", name="Forget key").click()
    await expect(field).to_be_visible()
    await expect(card(page, "general")).to_be_hidden()
    assert await page.evaluate("sessionStorage.length") == 0


async def test_it_complains_of_nothing_and_asks_nobody_but_the_gateway(here: World) -> None:
    server = await here.server()
    await here.serve(experts={"general": upstreams(server.url)})
    page = await here.look()
    async with page.expect_response("**/status.json"):
        await expect(page).to_have_title("Hearth")
    async with page.expect_response("**/status.json"):
        pass
    assert here.complaints == []
    assert here.strangers == []


async def test_it_rests_while_nobody_looks(here: World) -> None:
    server = await here.server()
    await here.serve(experts={"general": upstreams(server.url)})
    page = await here.look()
    await expect(page.get_by_role("status").first).to_have_text("general answers")
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url))
    turn = """hidden => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    await page.evaluate(turn, True)
    await page.wait_for_timeout(300)
    polls.clear()
    await page.wait_for_timeout(3000)
    assert polls == []
    async with page.expect_response("**/status.json", timeout=1000):
        await page.evaluate(turn, False)


async def test_it_never_scrolls_sideways_on_a_small_phone(here: World) -> None:
    server = await here.server("a_model_with_a_name_longer_than_any_phone_is_wide")
    long = "an_expert_whose_name_was_chosen_by_somebody_with_a_wide_screen"
    await here.serve(
        key_id="a_key_that_was_named_after_the_whole_department",
        experts={long: upstreams(*[server.url] * 2), "embed": upstreams(server.url)},
    )
    assert await here.ask(long) == 200
    page = await here.look(width=360)
    await expect(page.get_by_role("heading", name=long)).to_be_visible()
    widths = "[document.documentElement.scrollWidth, document.querySelector('.keys').scrollWidth]"
    page_width, table_width = await page.evaluate(widths)
    assert page_width <= 360
    assert table_width <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_keeps_the_last_figures_readable_when_the_gateway_is_gone(
    here: World, scheme: str
) -> None:
    server, spare, gone = await here.server(), await here.server("selftest"), await here.server()
    await gone.stop()
    server.register("vision", spare, preferred="qwen2.5-vl-7b")
    await here.serve(
        nomad_address=server.url,
        experts={"general": upstreams(server.url), "coder": upstreams(gone.url), "vision": {}},
    )
    page = await here.look(scheme=scheme)
    await expect(card(page, "vision")).to_contain_text("degraded")
    ratio, text = await page.evaluate(CONTRAST)
    assert ratio >= READABLE, text
    shown = await page.locator("#figures").inner_text()
    assert "qwen3-8b" in shown
    await here.end()
    since = page.get_by_role("status").first
    await expect(since).to_contain_text("No contact since")
    assert (await since.inner_text()).split()[-1].count(":") == 2
    await expect(page.get_by_text("These are its last figures.")).to_be_visible()
    await expect(card(page, "general")).to_contain_text("qwen3-8b")
    ratio, text = await page.evaluate(CONTRAST)
    assert ratio >= READABLE, text
    await here.serve(experts={"general": upstreams(server.url)})
    await expect(since).to_have_text("general answers")
