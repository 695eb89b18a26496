"""Makes the README's pictures: opens the running app on the bundled examples in an installed Chromium.

make pictures
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SHOTS = {
    "attention": ("", "light", 1240),
    "similarity": ("similarity", "light", 760),
    "residual": ("residual", "light", 1180),
    "spectrum": ("spectrum", "light", 1240),
    "attention-dark": ("", "dark", 1240),
}


def main() -> None:
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        sys.exit("make pictures needs a Chromium or Chrome; none was found.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}", "--server.headless=true"],
        cwd=ROOT,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health")
        PICTURES.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
            for name, (path, scheme, height) in SHOTS.items():
                page = browser.new_page(viewport={"width": 1440, "height": height}, color_scheme=scheme)
                page.goto(f"http://127.0.0.1:{port}/{path}")
                _settle(page)
                page.screenshot(path=PICTURES / f"{name}.png")
                page.close()
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _wait(address: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit("The app did not start within a minute.")


def _settle(page: Page) -> None:
    page.wait_for_selector("h1", timeout=90_000)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=90_000)
    page.wait_for_timeout(2000)


if __name__ == "__main__":
    main()
