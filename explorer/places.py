"""Where what is no module stands: app.py, pages/, assets/, checkpoints/ and .streamlit/, and a pair that is named."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).parent
SITE = inside if (inside := _PACKAGE / "site").is_dir() else _PACKAGE.parent
"""The folder that holds them: the checkout, or one inside the package where a wheel was installed (setup.py)."""

VARIANTS = ("standard", "twicing")
PAIR_VARIABLE = "EXPLORER_PAIR"
"""Names another pair to open on by what its files begin with: `/srv/mine` is `/srv/mine-standard.safetensors` and
`/srv/mine-twicing.safetensors`."""


def named_pair() -> Path | None:
    """What the files of the pair begin with that the environment's `EXPLORER_PAIR` names, if it names one."""
    prefix = os.environ.get(PAIR_VARIABLE)
    return Path(os.path.abspath(prefix)) if prefix else None


def pair_file(prefix: Path, variant: str) -> Path:
    """The `standard` or `twicing` file of the pair whose files begin so."""
    return prefix.parent / f"{prefix.name}-{variant}.safetensors"
