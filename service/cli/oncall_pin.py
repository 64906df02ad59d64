"""`renrum oncall pin`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from alerts.people.passwords import Passwords
from facility.secret import Secret
from service.cli.options import Refusal

LENGTH_MIN = 6


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def pin(file: Path) -> None:
    """Ask for a PIN, twice, and write its hash into FILE, which the person's `pin_file` in oncall.yaml names.

    Whoever replies to the mail of a page with the PIN as the first word acknowledges the alarm. The PIN itself is kept nowhere.

    \b
    Example:
      renrum oncall pin secrets/anna-pin
    """
    chosen = click.prompt("PIN", hide_input=True, confirmation_prompt=True)
    if len(chosen) < LENGTH_MIN or not chosen.isalnum():
        raise Refusal(f"The PIN has to be one word of {LENGTH_MIN} letters and digits or more: mail is read by many machines on its way.")
    text = Passwords().hash(Secret(chosen)) + "\n"
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w", encoding="utf-8") as sink:
            os.fchmod(handle, 0o600)
            sink.write(text)
    except OSError as error:
        raise Refusal(f"{file} cannot be written: {error.strerror}.") from None
    click.echo(f"{file} is written. Give it to the service's account, name it as `pin_file` of the person, then `renrum apply`.")
