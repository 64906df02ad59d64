"""Commands of continuity on folders of a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ingest.journal.copy import CopyEnd, read_copy
from ingest.journal.journal import Entry
from service.cli import main


def command(*arguments: object) -> Result:
    """A command run in this process; what it did not expect is raised."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def manifest_of(backup: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((backup / "manifest.json").read_text())
    return document


def copied(backup: Path) -> list[Entry]:
    """The entries of a backup, which must be whole."""
    end = CopyEnd()
    entries = list(read_copy(backup, end))
    assert end.beyond == ""
    return entries
