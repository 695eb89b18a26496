"""A class that comes in at once, to a server that has just started: nobody is shown an error."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.running_app import running_app
from tests.visitor import Visitor

PAGES = (
    *("", "similarity", "residual", "spectrum", "attribution"),
    *("corruptions", "attacks", "nonlocal-means", "studio", "models"),
)
SESSIONS = 20


def test_ten_pages_in_twenty_sessions_at_once() -> None:
    together = Barrier(SESSIONS)

    def visit(number: int) -> str:
        page = PAGES[number % len(PAGES)]
        try:
            with Visitor(app.address, page=page) as visitor:
                together.wait(60)
                visitor.run()
        except Exception as error:
            return f"{page}: {error}"
        return ""

    with running_app() as app, ThreadPoolExecutor(SESSIONS) as pool:
        errors = list(filter(None, pool.map(visit, range(SESSIONS))))
    assert errors == []
