"""`python -m explorer serve`: replicas that compute for apps and commands, on Ray."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

_ABOUT = """\
Serves models to apps and commands that say `--engine ray`, on this machine or the others of a cluster, until Ctrl-C.
Needs `pip install twicing-explorer[serve]`.

Without RAY_ADDRESS a cluster of this machine alone is started, which listens on the loopback and has no dashboard; with
RAY_ADDRESS=HOST:PORT that one is joined. Whoever has the cluster's token can run anything on it: Ray makes one and
keeps it in ~/.ray/auth_token, unless RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH says another."""


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `serve` and what runs it."""
    from explorer.cli.options import declare
    from explorer.serving.remote.settings import Fleet

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _ABOUT
    parser.set_defaults(run=run)
    declare(parser, Fleet)


def run(options: argparse.Namespace) -> int:
    """Serves until it is interrupted or terminated."""
    from explorer.cli.options import given
    from explorer.serving.remote.cluster import served
    from explorer.serving.remote.settings import Fleet

    fleet, ended = Fleet(**given(options, Fleet)), threading.Event()
    with served(fleet) as address:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        print(
            f"Served at {address} by {fleet.count} replica{'s' * (fleet.count != 1)}; "
            "`twicing-explorer app --engine ray` uses them. Ctrl-C ends it.",
            file=sys.stderr,
            flush=True,
        )
        ended.wait()
    return 0
