"""Running `verify`, and doing to a data_dir what it must name."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ingest.journal.file import inspect_file
from ingest.journal.flaw import Flaw
from ingest.journal.inspection import inspect_chain
from ingest.journal.journal import GENESIS, Entry, JournalReader, chained
from service.cli import main
from tests.support.installation import installation


def verify(data_dir: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(main, ["verify", "--data-dir", str(data_dir), *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def report(data_dir: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(verify(data_dir, "--json").stdout)
    return document


def wrong(data_dir: Path) -> dict[str, list[str]]:
    """The texts of what is wrong, by check; checks without flaws are left out."""
    found = report(data_dir)
    checks = ("journal", "audit", "excursions", "completeness")
    return {name: [flaw["what"] for flaw in found[name]["flaws"]] for name in checks if not found[name]["ok"]}


def named(path: Path) -> list[Flaw]:
    """What the journal's own check names."""
    return [*inspect_chain(path).flaws, *inspect_file(path).flaws]


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def flip(path: Path, offset: int, bits: int) -> None:
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)[0]
        os.pwrite(file.fileno(), bytes([byte ^ bits]), offset)


def rows_of(path: Path) -> list[Entry]:
    with closing(JournalReader(path)) as reader:
        return list(reader.entries())


def put(path: Path, entries: list[Entry]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for entry in entries:
            values = (entry.kind, entry.at, entry.heard, entry.readings, entry.body, entry.hash, entry.seq)
            connection.execute("update commits set kind = ?, at = ?, heard = ?, readings = ?, body = ?, hash = ? where seq = ?", values)


def rehashed(entries: list[Entry]) -> list[Entry]:
    """The same entries with the hashes that they should have."""
    before, chain = GENESIS, list[Entry]()
    for e in entries:
        before = chained(before, e.seq, e.kind, e.at, e.heard, e.readings, e.body)
        chain.append(replace(e, hash=before))
    return chain


def stopped(folder: Path) -> Path:
    """The data_dir of a service that was stopped."""
    place = installation(folder)
    place.ledger.settle()
    place.close()
    return place.data_dir


def killed(folder: Path) -> Path:
    """The data_dir of a service that was killed: the newest pages of each file are in its log; the file beneath is that of a checkpoint."""
    place = installation(folder / "site", rounds=1)
    place.journal.checkpoint()
    for second in range(1000, 1020):
        place.read("inc1.temp", 37.0, second)
    place.step()
    copy = folder / "copy"
    shutil.copytree(place.data_dir, copy)
    place.close()
    return copy
