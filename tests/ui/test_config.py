"""The hardened defaults: what the server listens to, accepts and tells."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HARDENED = {
    "server.address": "127.0.0.1",
    "server.maxUploadSize": 20,
    "server.fileWatcherType": "none",
    "server.enableXsrfProtection": True,
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.showEmailPrompt": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "viewer",
    "browser.gatherUsageStats": False,
}


@pytest.fixture(scope="module")
def config() -> dict[str, dict[str, object]]:
    return tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("option", HARDENED)
def test_a_hardened_default(config: dict[str, dict[str, object]], option: str) -> None:
    section, name = option.split(".")
    value = config[section][name]
    assert value == HARDENED[option]
    assert type(value) is type(HARDENED[option])


def test_only_this_machines_names_are_allowed_hosts(config: dict[str, dict[str, object]]) -> None:
    """Whoever points a name of theirs at 127.0.0.1 is refused (DNS rebinding)."""
    assert set(config["server"]["allowedHosts"]) == {"localhost", "127.0.0.1"}  # type: ignore[call-overload]


def test_the_cache_of_data_is_bounded(config: dict[str, dict[str, object]]) -> None:
    assert config["server"]["maxCacheDataSize"]


def test_streamlit_knows_every_option(config: dict[str, dict[str, object]]) -> None:
    """A misspelt option is ignored with a warning, and its protection with it."""
    from streamlit import config as options

    known = set(options._config_options_template)
    for section in ("server", "client", "browser"):
        assert {f"{section}.{name}" for name in config[section]} <= known


def test_nothing_is_rendered_as_raw_html() -> None:
    """`unsafe_allow_html` and its kin execute what is in them; `st.html` without JavaScript does not."""
    sources = [ROOT / "app.py", *(ROOT / "pages").rglob("*.py"), *(ROOT / "explorer").rglob("*.py")]
    assert len(sources) > 20
    assert [path.name for path in sources if "unsafe_allow" in path.read_text(encoding="utf-8")] == []
