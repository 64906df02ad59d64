"""`renrum init`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from service.cli.options import Refusal


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Write into a folder that is not empty; files of the same names are replaced.")
def init(folder: Path, force: bool) -> None:
    """Write a commented, working example configuration into DIR.

    \b
    Example:
      renrum init site
      renrum check --config site/renrum.yaml
    """
    if folder.exists() and any(folder.iterdir()) and not force:
        raise click.UsageError(f"{folder} is not empty; choose another folder, or --force to replace what is there.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in example_files():
            (folder / file[0]).write_bytes(file[1])
    except OSError as error:
        raise Refusal(f"{folder} cannot be written: {error.strerror}") from None
    for name, _ in example_files():
        click.echo(f"wrote {folder / name}")
    click.echo(f"Next: renrum check --config {folder / 'renrum.yaml'}")


def example_files() -> list[tuple[str, bytes]]:
    """Name and content of each file of the example configuration."""
    example = files("service") / "example"
    found = [(file.name, file.read_bytes()) for file in example.iterdir() if file.is_file() and not file.name.startswith(("_", "."))]
    return sorted(entry for entry in found if not entry[0].endswith((".py", ".pyc")))
