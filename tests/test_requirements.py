"""What is needed, what is pinned and what is locked agree, and nothing that is imported is forgotten."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ["requirements", "requirements-dev", "bench/requirements", "docs/sbom/requirements"]


def pins(name: str) -> dict[str, str]:
    """Versions by package of a file of pins and of those it includes."""
    versions: dict[str, str] = {}
    for line in (ROOT / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            versions |= pins(line.removeprefix("-r ").removesuffix(".txt"))
        elif line and not line.startswith("#"):
            package, version = line.partition(" ")[0].split("==")
            versions[canonicalize_name(Requirement(package).name)] = version
    return versions


def locked(path: Path) -> dict[str, list[str]]:
    """Versions by package of a lock; one without a hash is an error."""
    versions: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.M)):
        package, version = re.match(r"(\S+)==(\S+)", entry).groups()  # type: ignore[union-attr]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), package
        versions.setdefault(package, []).append(version)
    return versions


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_holds_every_pin(name: str) -> None:
    inside = locked(ROOT / f"{name}.lock")
    assert {package: inside.get(package) for package in pins(name)} == {
        package: [version] for package, version in pins(name).items()
    }, "make lock"


def test_running_and_testing_have_the_same_versions() -> None:
    assert locked(ROOT / "requirements.lock").items() <= locked(ROOT / "requirements-dev.lock").items()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_index(name: str) -> None:
    assert "://" not in (ROOT / f"{name}.lock").read_text(encoding="utf-8")


def test_the_licences_are_of_what_is_locked() -> None:
    """All of it but what is for other systems alone."""
    text = (ROOT / "docs" / "licenses.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) +\| (\S+) +\| (.+?) +\|$", text, re.M)
    listed = {canonicalize_name(name): [version] for name, version, _ in rows if name != "Name"}
    inside = locked(ROOT / "requirements.lock")
    assert listed.items() <= inside.items(), "make sbom"
    assert set(inside) - set(listed) <= {"colorama", "httpx2-jsfetch"}


def test_every_pin_is_one_that_the_package_accepts() -> None:
    project = PROJECT["project"]
    declared = [
        *project["dependencies"],
        *project["optional-dependencies"]["heic"],  # `make run` reads photographs of phones
        *PROJECT["build-system"]["requires"],
    ]
    needed = {canonicalize_name(each.name): each.specifier for each in map(Requirement, declared)}
    pinned = pins("requirements")
    del pinned["pip"]  # installs the rest
    assert needed.keys() == pinned.keys()
    assert [name for name, version in pinned.items() if version not in needed[name]] == []


def test_what_is_imported_is_declared() -> None:
    project = PROJECT["project"]
    declared = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    names = {canonicalize_name(Requirement(each).name) for each in declared}
    modules = {
        module
        for folder in ("explorer", "pages")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for module in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    foreign = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"explorer"}
    owners = packages_distributions()
    assert {canonicalize_name(name) for module in foreign for name in owners.get(module, [module])} == names


def test_without_a_gpu_nothing_of_cuda_is_installed(tmp_path: Path) -> None:
    """What the Makefile takes out of the lock, by its own words."""
    done = subprocess.run(
        ["make", "--dry-run", "run", "TORCH=cpu", f"VENV={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    commands = [line.strip() for line in done.stdout.replace("\\\n", " ").splitlines()]
    torch = next(line for line in commands if "--index-url" in line)
    assert torch.split()[-2:] == [f"{name}=={pins('requirements')[name]}" for name in ("torch", "torchvision")]
    (strip,) = [line for line in commands if line.startswith("awk ") and line.endswith("cpu.lock")]
    subprocess.run(strip, shell=True, cwd=ROOT, check=True)
    everything, left = locked(ROOT / "requirements.lock"), locked(tmp_path / "cpu.lock")
    assert left.items() <= everything.items()
    gone = everything.keys() - left.keys()
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-toolkit"} <= gone
    assert all(name.startswith(("cuda-", "nvidia-", "torch", "triton")) for name in gone)
    assert commands.index(torch) < commands.index(strip)
    assert any("--require-hashes" in line and str(tmp_path / "cpu.lock") in line for line in commands)
