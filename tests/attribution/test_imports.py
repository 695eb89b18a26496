"""Captum is imported on use."""

import subprocess
import sys


def test_nothing_imports_captum_before_a_map_is_asked_for() -> None:
    modules = "explorer.attribution.faithfulness, explorer.runs.robustness, explorer.disturb.corruptions"
    code = f"import sys, {modules}; print('captum' in sys.modules, 'streamlit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "False"], done.stderr
