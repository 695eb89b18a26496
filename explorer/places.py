"""Where what is no module stands: app.py, pages/, assets/, checkpoints/ and .streamlit/."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
SITE = inside if (inside := _PACKAGE / "site").is_dir() else _PACKAGE.parent
"""The folder that holds them: the checkout, or one inside the package where a wheel was installed (setup.py)."""
