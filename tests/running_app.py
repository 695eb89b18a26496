"""The app in a server of its own and a browser to look at it, for tests, pictures and benchmarks."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
FROM_THE_CHECKOUT = (sys.executable, "-m", "streamlit", "run", "app.py")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
"""A page whose script has ended."""
PAINTED = ".viewer[data-painted]"
"""The attention viewer, once it has drawn; its `data-painted` is the identity of what it was sent."""
STARTED = ".start[data-painted]"
"""The start page, once it has drawn."""
FIRST_PICTURE = (
    "() => [...document.querySelectorAll('*')]"
    ".some((e) => e.shadowRoot?.querySelector('.viewer[data-painted], .start[data-painted]'))"
)
"""True in the browser once both models' maps are drawn, on the start page or in the viewer."""
PATIENCE = 90_000
_TAIL = 3000


class DidNotStartError(Exception):
    """The server ended or never answered; says how it went and what it wrote last."""


@dataclass(frozen=True)
class Running:
    """A server that answers: where, its process, and when (`time.perf_counter`) it was started."""

    address: str
    process: subprocess.Popen[bytes]
    started: float


@contextmanager
def running_app(
    *options: str,
    timeout: float = 60.0,
    command: Sequence[str] = FROM_THE_CHECKOUT,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Starts `streamlit run app.py`, or another `command` with its options, on a free port; stops it for sure.

    Raises `DidNotStartError` when the server ends, or does not answer within `timeout` seconds.
    """
    port = free_port()
    given = [*command, f"--server.port={port}", "--server.headless=true", *options]
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(given, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            address = f"http://127.0.0.1:{port}"
            while not _answers(f"{address}/_stcore/health"):
                late = time.perf_counter() - started > timeout
                if late or process.poll() is not None:
                    how = f"did not answer within {timeout:g} s" if late else f"ended with {process.returncode}"
                    errors.seek(0)
                    tail = errors.read().decode(errors="replace")[-_TAIL:]
                    raise DidNotStartError(f"The server {how}. It wrote: {tail or 'nothing'}")
                time.sleep(0.02)
            yield Running(address, process, started)
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes], patience: float = 10.0) -> None:
    """Asks the process to end; kills it when it does not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True


@contextmanager
def running_browser() -> Iterator[Browser]:
    """The installed Chromium; raises `FileNotFoundError` when there is none."""
    if CHROMIUM is None:
        raise FileNotFoundError("No chromium, chromium-browser or google-chrome was found.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def follow(page: Page, section: str, name: str) -> None:
    """Opens another page of the app by the navigation."""
    page.get_by_test_id("stTopNavSection").filter(has_text=section).click()
    page.get_by_test_id("stTopNavDropdownLink").filter(has_text=name).click()


def settle(page: Page) -> None:
    """Waits until the page has its heading and its script has ended."""
    page.wait_for_selector("h1", timeout=PATIENCE)
    page.wait_for_timeout(300)
    page.wait_for_selector(IDLE, timeout=PATIENCE)
