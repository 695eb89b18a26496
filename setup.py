"""What pyproject.toml cannot say: in a wheel, what stands beside the package lies inside it, as `explorer/site`."""

import tempfile

from setuptools import find_packages, setup

SITE = "explorer.site"
BUILD = tempfile.TemporaryDirectory()  # `build/` would be left behind, and what was deleted since be in the next wheel

setup(
    packages=[*find_packages(include=["explorer", "explorer.*"]), SITE],
    package_dir={SITE: "."},
    package_data={
        SITE: ["pages/**/*.py", "assets/**/*", "checkpoints/**/*", ".streamlit/config.toml"],
        "explorer": ["**/*.js", "**/*.css", "**/*.html"],
    },
    include_package_data=False,
    script_name="setup.py",  # or it would be taken for a module of that package
    options={"build": {"build_base": BUILD.name}},
)
