"""What may import what, what is imported late, and what must not occur in the code."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APP = ROOT / "app.py"
HEAVY = ("torch", "streamlit", "captum", "matplotlib")


def sources() -> Iterator[Path]:
    for folder in ("explorer", "pages"):
        yield from sorted((ROOT / folder).rglob("*.py"))
    if APP.exists():
        yield APP


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import."
            module = node.module or ""
            # `from explorer import ui` names the module in its aliases.
            names.update(f"{module}.{alias.name}" for alias in node.names) if module == "explorer" else names.add(
                module
            )
    return names


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_the_app_imports_only_streamlit_and_the_user_interface() -> None:
    foreign = {
        module
        for module in imported_modules(APP)
        if module.partition(".")[0] not in sys.stdlib_module_names
        and not is_within(module, "streamlit")
        and not is_within(module, "explorer.ui")
    }
    assert not foreign


def test_the_layers_of_the_package_hold() -> None:
    done = python("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contract_on_training_names_every_other_room() -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configured["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each.get("forbidden_modules") == ["explorer.training"]]
    entries = (ROOT / "explorer").iterdir()
    rooms = {entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").exists()}
    allowed = {"__init__", "training", "cli", "runs"}
    assert set(contract["source_modules"]) == {f"explorer.{room}" for room in rooms - allowed}


def test_no_markup_of_ours_is_let_through_unescaped() -> None:
    guilty = [path.name for path in sources() if "unsafe_allow_" in path.read_text(encoding="utf-8")]
    assert not guilty


def test_errors_are_shown_as_the_plain_text_they_are() -> None:
    """They quote what strangers call their files and models."""
    guilty = [path.name for path in sources() if re.search(r"\.error\((str\()?\w+\)", path.read_text(encoding="utf-8"))]
    assert not guilty


@pytest.mark.parametrize("command", ["figure", "attribute", "corruptions", "robustness", "again", "compare"])
def test_commands_do_without_the_compiler(command: str) -> None:
    code = f"import sys; from explorer.cli import main\ntry: main(['{command}'])\nexcept SystemExit: pass\n"
    done = python("-c", code + "print('timm' in sys.modules, 'torch._dynamo' in sys.modules)")
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.parametrize("module", ["explorer", "explorer.cli"])
def test_imports_are_cheap(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


VAGUE = {"told", "found", "one", "made", "shown", "what"}


def names_of(path: Path) -> Iterator[tuple[str, int]]:
    """Everything that a module gives a name to."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.alias):
            yield node.asname or node.name, node.lineno


def test_what_has_a_name_is_called_by_what_it_holds() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}:{line}" for path in sources() for name, line in names_of(path) if name in VAGUE
    ]
    assert not guilty


def test_no_two_public_records_share_a_name() -> None:
    """Classes, and types that were given a name."""
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "explorer").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [node.name] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            for name in names:
                if name[0].isupper() and not name.isupper():
                    places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert len(places) > 150, "the records were not found"
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
