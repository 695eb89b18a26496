"""What answers a key at once, in the app with the pair that opens: the start page's pictures, the viewer's wipe."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from playwright.sync_api import Locator, Page

from bench.common import Row
from tests.running_app import CHROMIUM, PAINTED, PATIENCE, STARTED, running_app, running_browser, settle

GOAL = 33.0
"""Milliseconds from the key to the painted frame."""
_WARM, _COUNTED = 4, 20
_WATCH = """(root) => {{
    const look = () => {look};
    const before = look();
    window.answered = new Promise((done) => root.addEventListener("keydown", ({{ timeStamp }}) => {{
        const wait = () => requestAnimationFrame(() => {{
            const channel = new MessageChannel();
            channel.port1.onmessage = () => {{
                const now = performance.now();
                if (look() !== before) done(now - timeStamp);
                else wait();
            }};
            channel.port2.postMessage(0);
        }});
        wait();
    }}, {{ once: true, capture: true }}));
}}"""
"""From the key's own time to the end of the first frame that looks otherwise."""


@dataclass(frozen=True)
class Answer:
    """What is pressed in turn, and an expression of `root` that is another once it is answered."""

    name: str
    keys: tuple[str, ...]
    look: str
    focused: Callable[[Page], Locator] = lambda page: page.locator(PAINTED)


START = (
    Answer(
        "scrubber from V to (2A − A²)V",
        ("ArrowLeft", "ArrowRight"),
        "[...root.querySelectorAll('.scrub canvas')].map((each) => each.style.opacity).join()",
        lambda page: page.get_by_role("slider", name="From V"),
    ),
    Answer(
        "divider between the models",
        ("ArrowLeft", "ArrowRight"),
        "root.querySelector('.wipe').style.getPropertyValue('--at')",
        lambda page: page.get_by_role("slider", name="Divider"),
    ),
    Answer(
        "Surprise me",
        ("Enter",),
        "root.querySelector('.looks').textContent",
        lambda page: page.get_by_role("button", name="Surprise me"),
    ),
)
VIEWER = (
    Answer("wipe", ("w",), "root.querySelector('.pair').className"),
    Answer("blink", ("1", "2"), "[...root.querySelectorAll('.map figcaption')].map((each) => each.textContent).join()"),
    Answer("original", ("o",), "root.classList.contains('original')"),
)


def rows() -> Iterator[Row]:
    """Medians of 20 presses of each; none where there is no Chromium."""
    if CHROMIUM is None:
        return
    with running_browser() as browser, running_app() as app:
        for title, path, ready, answers in (
            ("start page", "", STARTED, START),
            ("attention page", "attention", PAINTED, VIEWER),
        ):
            page = browser.new_page(viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
            page.goto(f"{app.address}/{path}")
            page.wait_for_selector(ready, timeout=PATIENCE)
            settle(page)
            page.wait_for_load_state("networkidle")  # layers that come ahead have come
            sent = _sent(page)
            for answer in answers:
                sent.clear()
                took = _took(page, page.locator(ready), answer)
                note = f"from the key to the painted frame; median of {_COUNTED}; messages to the server: {len(sent)}"
                yield Row(f"{title}: {answer.name}", round(took, 1), "ms", GOAL, note=note)
            page.close()


def _sent(page: Page) -> list[object]:
    """What the page asks of the server from now on."""
    sent: list[object] = []
    session = page.context.new_cdp_session(page)
    session.on("Network.webSocketFrameSent", lambda frame: sent.append(frame))
    session.send("Network.enable")
    page.on("request", lambda request: None if request.url.startswith(("blob:", "data:")) else sent.append(request))
    return sent


def _took(page: Page, root: Locator, answer: Answer) -> float:
    """The median in milliseconds; a key that changes nothing is not answered, and ends this with an error."""
    answer.focused(page).focus()
    times = []
    for number in range(_WARM + _COUNTED):
        key = answer.keys[number % len(answer.keys)]
        root.evaluate(_WATCH.format(look=answer.look))
        page.keyboard.down(key)
        times.append(float(page.evaluate("() => window.answered")))
        page.keyboard.up(key)
        page.wait_for_timeout(100)
    return statistics.median(times[_WARM:])
