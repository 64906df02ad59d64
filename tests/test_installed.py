"""What an installation must have, in an editable checkout and in a wheel alike."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from service.cli import main

pytestmark = pytest.mark.wheel

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_module_can_be_imported(name: str) -> None:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        importlib.import_module(module.name)


def test_all_packages_come_from_one_place() -> None:
    places = {str(Path(str(importlib.import_module(name).__file__)).parent.parent) for name in PACKAGES}
    assert len(places) == 1


def test_the_version_is_the_projects() -> None:
    assert importlib.metadata.version("renrum") == PROJECT["project"]["version"]


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that call it."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, f"{path} {name}")
    else:
        yield path, command


@pytest.mark.parametrize("name", main.list_commands(click.Context(main)))
def test_every_command_shows_an_example(name: str) -> None:
    top = main.get_command(click.Context(main), name)
    assert top is not None
    for path, command in commands(top, f"renrum {name}"):
        text = command.get_help(click.Context(command, info_name=path))
        after_usage = text.split("\n\n", 1)[1]
        assert re.search(rf"^ *(\$ )?(\w+=\S+ )*{path}\b", after_usage, re.MULTILINE), f"no example of `{path}` in its help"
