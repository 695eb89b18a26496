"""A wheel of the explorer, built and installed here, works in any folder without the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from websockets.exceptions import InvalidStatus

from explorer.models.sources import BUNDLED_PAIR, PAIR_VARIABLE
from explorer.version import VERSION
from tests.running_app import Running, running_app
from tests.visitor import Visitor

ROOT = Path(__file__).parents[1]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
CONTRARY = """\
[server]
address = "0.0.0.0"
allowedHosts = ["foreign.example"]
enableXsrfProtection = false
enableCORS = false
enableStaticServing = true
maxUploadSize = 2000
[client]
showErrorDetails = "full"
[browser]
gatherUsageStats = true
"""
"""What somebody's own Streamlit apps may be set to, in the folder where they start ours, or at home."""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, a folder elsewhere, and the variables of a shell there."""

    bin: Path
    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        program, *rest = command
        return subprocess.run(
            [str(self.bin / program), *rest],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir")
    subprocess.run([*PIP, "wheel", "--quiet", *offline, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Borrows the packages of the environment the tests run in, but not its link to the checkout.

    Python follows the links (`.pth`) of an environment's own folder alone, not those of a folder that a link names.
    """
    home = tmp_path_factory.mktemp("home")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "env")], check=True)
    paths = sysconfig.get_paths("venv", {"base": str(home / "env"), "platbase": str(home / "env")})
    Path(paths["purelib"], "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    python = Path(paths["scripts"], "python")
    install = ("install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--force-reinstall", str(wheel))
    subprocess.run([*PIP, "--python", str(python), *install], check=True)
    folder = home / "elsewhere"
    for place in (folder, home):
        (place / ".streamlit").mkdir(parents=True)
        (place / ".streamlit" / "config.toml").write_text(CONTRARY, encoding="utf-8")
    (folder / "random.py").write_text("raise RuntimeError('somebody else wrote this')\n", encoding="utf-8")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "STREAMLIT")) and name != PAIR_VARIABLE
    }
    return Installed(python.parent, folder, {**kept, "HOME": str(home)})


@pytest.fixture(scope="module")
def app(installed: Installed) -> Iterator[Running]:
    command = (str(installed.bin / "twicing-explorer"), "app")
    with running_app(command=command, folder=installed.folder, environment=installed.environment) as running:
        yield running


def test_the_wheel_holds_package_and_app_and_nothing_else(wheel: Path) -> None:
    code = [path.relative_to(ROOT) for path in (ROOT / "explorer").rglob("*") if path.suffix in {".py", ".js"}]
    site = [ROOT / "app.py", ROOT / ".streamlit" / "config.toml"]
    for folder in ("pages", "assets", "checkpoints"):
        site += [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    expected = {str(path) for path in code} | {f"explorer/site/{path.relative_to(ROOT)}" for path in site}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected


def test_nothing_of_it_is_the_checkout(installed: Installed) -> None:
    code = "import explorer, sys; print(explorer.__file__); print(*sys.path, sep='\\n')"
    module, *path = installed.run("python", "-P", "-c", code).stdout.splitlines()
    assert Path(module).is_relative_to(installed.bin.parent)
    assert str(ROOT) not in path


def test_its_command_says_its_version(installed: Installed) -> None:
    done = installed.run("twicing-explorer", "--version")
    assert (done.stdout, done.stderr) == (f"Twicing Explorer {VERSION}\n", "")
    assert "usage: twicing-explorer" in installed.run("twicing-explorer", "--help").stdout


def test_a_page_opens_on_the_bundled_pair(app: Running) -> None:
    with Visitor(app.address) as visitor:
        provenance = visitor.run().viewed["provenance"]
    assert [Path(model["source"]).name for model in provenance["models"]] == [
        f"{BUNDLED_PAIR}-{variant}.safetensors" for variant in ("standard", "twicing")
    ]


def test_the_server_is_as_hard_as_in_the_checkout(app: Running) -> None:
    """What lies in the folder where it is started, and at home, would open it to everybody."""
    with pytest.raises(InvalidStatus, match="403"), Visitor(app.address, host="foreign.example"):
        pass
    with Visitor(app.address) as visitor:
        visitor.run()
        place = f"/_stcore/upload_file/{visitor.session}/anything"
        assert visitor.put(place, "a.png", b"x", proof=False).status == 403


def test_every_setting_is_the_explorers_own(installed: Installed) -> None:
    code = (
        "import json\n"
        "from explorer.places import SITE\n"
        "from streamlit import config\n"
        "from streamlit.web import bootstrap\n"
        "config._main_script_path = str(SITE / 'app.py')\n"
        "bootstrap.load_config_options({})\n"
        "print(json.dumps({name: option.value for name, option in config.get_config_options().items()}))\n"
    )
    done = installed.run("python", "-P", "-c", code)
    settings = json.loads(done.stdout)
    own = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    for section in ("server", "client", "browser"):
        for name, value in own[section].items():
            assert settings[f"{section}.{name}"] == value, name
    contrary = tomllib.loads(CONTRARY)
    assert all(contrary[section].keys() <= own[section].keys() for section in contrary)


def test_a_figure_is_made(installed: Installed) -> None:
    done = installed.run(
        "twicing-explorer", "figure", "heatmaps", "--images", "example:chelsea.png", "--out", "figure.png"
    )
    assert done.returncode == 0, done.stderr
    with Image.open(installed.folder / "figure.png") as picture:
        assert min(picture.size) > 100


def test_python_finds_it_too(installed: Installed) -> None:
    done = installed.run("python", "-P", "-m", "explorer", "app", "--pair", "nothing")
    assert done.returncode == 2
    assert done.stderr.endswith("nothing-standard.safetensors is not there.\n")
