"""The layout: lists that must agree, sizes, maps that must be true, and back doors that no import contract sees."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
LINES_OF_CODE_MAX = 350
NOT_PACKAGES = {"tests", "benchmarks", "deploy", "docs", "examples", "scripts"}


@cache
def committed() -> tuple[Path, ...]:
    """Files that are committed or would be by `git add`, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return tuple(sorted(Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()))


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def folders() -> set[str]:
    return {path.parts[0] for path in committed() if len(path.parts) > 1 and not path.parts[0].startswith(".")}


def packages() -> set[str]:
    return set(project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_the_wheel_holds_every_folder_with_code() -> None:
    assert packages() == folders() - NOT_PACKAGES


def test_every_folder_with_code_is_a_package() -> None:
    code = {path.parent for path in python_files() if path.parts[0] in packages()}
    assert sorted(str(folder) for folder in code if not (ROOT / folder / "__init__.py").exists()) == []


def test_types_are_checked_everywhere() -> None:
    assert set(project()["tool"]["mypy"]["files"]) == packages() | (folders() & {"tests", "benchmarks", "scripts"})


def test_doctests_are_run_everywhere() -> None:
    assert set(project()["tool"]["pytest"]["ini_options"]["testpaths"]) == packages() | {"tests"}


def test_every_package_has_its_layer() -> None:
    linter = project()["tool"]["importlinter"]
    layers = next(contract["layers"] for contract in linter["contracts"] if contract["type"] == "layers")
    assert set(linter["root_packages"]) == packages()
    assert sorted(re.findall(r"\w+", " ".join(layers))) == sorted(packages())


def test_simulators_and_rules_import_facility_only() -> None:
    contracts = [contract for contract in project()["tool"]["importlinter"]["contracts"] if contract["type"] == "forbidden"]
    layers_above = {"rules": {"simulators", "dashboards", "alerts", "historian", "service"}, "simulators": {"dashboards", "service"}}
    for source, above in layers_above.items():
        forbidden = {name for contract in contracts if contract["source_modules"] == [source] for name in contract["forbidden_modules"]}
        assert packages() - {source} - above - forbidden == {"facility"}, source


@pytest.mark.parametrize("document", ["README.md", "docs/developer.md"])
def test_the_map_of_folders_is_true(document: str) -> None:
    rows = re.findall(r"^\| *`([\w./-]+)/` *\|", (ROOT / document).read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(folders())


def test_every_dependency_is_explained() -> None:
    table = project()["project"]
    wanted = [*table["dependencies"], *table["optional-dependencies"]["dev"], *project()["build-system"]["requires"]]
    names = {re.split(r"[<>=]", requirement)[0] for requirement in wanted}
    rows = re.findall(r"^\| *`([\w.-]+)` *\|", (ROOT / "docs/developer.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(names)


def test_requirements_are_hashed_and_name_no_address() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text("utf-8")
        assert "://" not in text
        assert not re.search(r"^--", text, re.MULTILINE)
        entries = re.findall(r"^\w.*?(?=^\w|\Z)", text, re.MULTILINE | re.DOTALL)
        assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_development_adds_to_what_runs() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\w\S*==\S+", (ROOT / name).read_text("utf-8"), re.MULTILINE))

    assert pins("requirements.txt") <= pins("requirements-dev.txt")


def python_files() -> list[Path]:
    return [path for path in committed() if path.suffix == ".py"]


def test_no_file_is_too_long() -> None:
    def lines_of_code(path: Path) -> int:
        stripped = (line.strip() for line in (ROOT / path).read_text("utf-8").splitlines())
        return sum(1 for line in stripped if line and not line.startswith("#"))

    assert {str(path): lines for path in python_files() if (lines := lines_of_code(path)) > LINES_OF_CODE_MAX} == {}


def test_nothing_names_the_workshop() -> None:
    words = [word.encode() for word in ("/wo" + "rk/", "../sha" + "red")]
    found = [f"{path}: {word.decode()}" for path in committed() for word in words if word in (ROOT / path).read_bytes()]
    assert found == []


def back_doors(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Uses of disk, chance or the outside in parsed code that need no import."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="open" | "input" | "print" | "exec" | "eval" | "__import__" as name)):
                yield node.lineno, name
            case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr="random" | "fromfile" | "memmap" | "load" | "save" as name):
                yield node.lineno, f"numpy.{name}"
            case ast.Attribute(attr="tofile" | "read_text" | "read_bytes" | "write_text" | "write_bytes" as name):
                yield node.lineno, name
            case ast.ImportFrom(module=str(module)) if module.startswith("numpy.random"):
                yield node.lineno, module
            case ast.ImportFrom(module="numpy", names=names) if any(alias.name == "random" for alias in names):
                yield node.lineno, "numpy.random"
            case ast.Import(names=names) if any(alias.name.startswith("numpy.random") for alias in names):
                yield node.lineno, "numpy.random"


def test_rules_have_no_back_door() -> None:
    rules = [path for path in python_files() if path.parts[0] == "rules"]
    found = [f"{path}:{line} {name}" for path in rules for line, name in back_doors(ast.parse((ROOT / path).read_text("utf-8")))]
    assert rules
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "open('x')",
        "np.random.default_rng(1)",
        "import numpy.random",
        "from numpy.random import default_rng",
        "from numpy import random",
        "path.read_text()",
    ],
)
def test_a_back_door_is_seen(code: str) -> None:
    assert list(back_doors(ast.parse(code)))
