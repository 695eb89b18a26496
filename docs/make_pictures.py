"""Makes the README's pictures: opens the running app on the bundled examples in an installed Chromium.

make pictures
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.running_app import CHROMIUM, running_app, running_browser, settle  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
SHOTS = {
    "attention": ("attention", "light", 1480),
    "similarity": ("similarity", "light", 760),
    "residual": ("residual?layer=10", "light", 1440),
    "spectrum": ("spectrum", "light", 1240),
    "attention-dark": ("attention?image=rocket.jpg&layer=6", "dark", 1480),
    "smoothing": ("smoothing", "light", 940),
    "attribution": ("attribution", "light", 1180),
    "attacks": ("attacks", "light", 1330),
    "studio": ("studio", "light", 1500),
    "models": ("models", "light", 1120),
}


def main() -> None:
    if CHROMIUM is None:
        sys.exit("make pictures needs a Chromium or Chrome; none was found.")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with running_app() as app, running_browser() as browser:
        for name, (path, scheme, height) in SHOTS.items():
            page = browser.new_page(viewport={"width": 1440, "height": height}, color_scheme=scheme)
            page.goto(f"{app.address}/{path}")
            settle(page)
            page.wait_for_timeout(2000)
            page.screenshot(path=PICTURES / f"{name}.png")
            page.close()


if __name__ == "__main__":
    main()
