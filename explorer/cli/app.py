"""`python -m explorer app`: the explorer in a browser, served by Streamlit in place of this process."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from explorer.cli.engine import add_engine
from explorer.places import PAIR_VARIABLE, SITE, VARIANTS, named_pair, pair_file
from explorer.serving import names

_ABOUT = """\
Serves the explorer to this machine alone and opens it in a browser; Ctrl-C ends it. Further options are Streamlit's:
  --server.port 8600        another port; without, 8501 or the next that is free
  --server.headless true    open no browser
  --server.address 0.0.0.0 --server.allowedHosts 192.168.1.20
                        to a room, by that name; visitors can then load and unload no models, unless
                        EXPLORER_MODELS_LOCKED=0
`python -m streamlit run --help` lists them all. What is said neither here nor in the environment (STREAMLIT_SERVER_PORT
and the like) is as in the explorer's own config.toml, before any of yours."""


def add_app(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `app` and what runs it; what it does not know goes to Streamlit."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.usage = f"{parser.prog} [-h] [--pair PREFIX] [--engine NAME] [STREAMLIT'S OPTIONS]"
    parser.description = _ABOUT
    parser.set_defaults(run=run)
    parser.add_argument(
        "--pair",
        metavar="PREFIX",
        help=f"open on PREFIX-standard.safetensors and PREFIX-twicing.safetensors; else on what {PAIR_VARIABLE} names, "
        "else on the bundled pair",
    )
    add_engine(parser)


def run(options: argparse.Namespace) -> int:
    """Becomes `streamlit run app.py` and does not return, unless a pair that is named is not there."""
    environment = dict(os.environ)
    if prefix := Path(os.path.abspath(options.pair)) if options.pair else named_pair():
        environment[PAIR_VARIABLE] = str(prefix)
        for path in (pair_file(prefix, variant) for variant in VARIANTS):
            if not path.is_file():
                named = "--pair" if options.pair else PAIR_VARIABLE
                expected = f"{named} was expected to be what the two files of a pair begin with"
                print(f"explorer: {expected}; {path} is not there.", file=sys.stderr)
                return 2
    if options.engine:
        environment[names.VARIABLE] = options.engine
    # -P: a random.py in the folder where somebody happens to be is no module of ours.
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(SITE / "app.py"), *options.passed_on]
    os.execve(command[0], command, environment)
