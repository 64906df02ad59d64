"""What is in force by the journal, and what the files say beside it: which configuration a service starts with."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alerts.record.store import StateStore, StateUnavailable
from alerts.resumption import FOLDER, Checkpoint, newest
from facility.files import Files, Unreadable
from facility.problems import ConfigurationError, so_many
from ingest.journal.entries import CONFIGURATION, Changed, ConfigurationBody, decode
from ingest.journal.files import there_is
from ingest.journal.flaw import Flaws
from ingest.journal.journal import Entry, JournalReader, JournalUnavailable
from service.configuration.configuration import Configuration, load_configuration
from service.configuration.judging import judging_from_entry
from service.configuration.values import changes_between, document
from service.settings.sections import REQUIRED
from service.stored.archive import JOURNAL, STATE

SIGNED = "signed"
HOW = "`renrum apply --reason TEXT` puts them in force"
AT_RESTART = ("environment", "mqtt", "http", "historian", "grafana", "evaluate_every")
"""Keys of renrum.yaml that a running service cannot change; the data_dir and the site's id are others."""

Journalled = tuple[Entry, ConfigurationBody]


def journalled(journal: JournalReader, known: tuple[int, ...] = (), cursor: int = 0) -> list[Journalled]:
    """Every configuration that took force, oldest first: those `known` up to entry `cursor`, and those after it."""
    found: dict[int, Journalled] = {}
    for entries in (*(journal.entries(seq - 1, seq) for seq in known), journal.entries(cursor, kinds=(CONFIGURATION,))):
        for entry in entries:
            body = decode(entry)
            assert isinstance(body, ConfigurationBody)
            found[entry.seq] = entry, body
    return list(found.values())


def in_force(data_dir: Path) -> list[Journalled]:
    """The configurations of a data_dir, without a look through all of its journal where state.db or a checkpoint knows them.

    Empty where it has none.

    Raises JournalUnavailable.
    """
    if not there_is(data_dir / JOURNAL):
        return []
    with closing(JournalReader(data_dir / JOURNAL)) as journal:
        known, cursor = _known(data_dir / STATE)
        if not known and (checkpoint := _newest(data_dir, journal)) is not None:
            known, cursor = _known(checkpoint.path)
        try:
            return journalled(journal, known, cursor)
        except (AssertionError, JournalUnavailable):  # state.db is of another journal
            return journalled(journal)


def _newest(data_dir: Path, journal: JournalReader) -> Checkpoint | None:
    try:
        return newest(data_dir / FOLDER, journal, journal.issued(), Flaws())
    except (sqlite3.Error, OSError):
        return None


def _known(state: Path) -> tuple[tuple[int, ...], int]:
    if not state.is_file():
        return (), 0
    try:
        with closing(StateStore(state, readonly=True)) as store:
            cursor = int(store.get("cursor", 0))  # before the others: what comes between is looked at twice
            known = tuple(json.loads(store.get("configurations", "[]")))
            return (known, cursor) if known else ((), 0)
    except (StateUnavailable, sqlite3.Error, ValueError):
        return (), 0


def is_signed(entry: Mapping[str, Any]) -> bool:
    """Whether a configuration as the journal keeps it says that only `renrum apply` may follow it."""
    return document(entry, str(entry["main"])).get("apply") == SIGNED


def has_users(entry: Mapping[str, Any]) -> bool:
    """Whether people have to sign in by a configuration as the journal keeps it."""
    http = document(entry, str(entry["main"])).get("http")
    return isinstance(http, dict) and http.get("users") == REQUIRED


class NotInForce(Exception):
    """A service was to start with a configuration that nobody applied, where only `renrum apply` may change what is in force."""


def at_restart(old: Configuration, new: Configuration) -> list[str]:
    """What differs between two configurations that a running service cannot change, as keys."""
    before, after = (document(configuration.as_entry(), configuration.main) for configuration in (old, new))
    found = [key for key in AT_RESTART if before.get(key) != after.get(key)]
    found += ["data_dir"] if old.settings.data_dir.resolve() != new.settings.data_dir.resolve() else []
    return found + (["site.id of the facility"] if old.facility.site.id != new.facility.site.id else [])


def changed_files(entry: Mapping[str, Any], folder: Path) -> list[str]:
    """The files of a journalled configuration whose text in `folder` is another one now."""
    found, files = [], Files(folder)
    for name, text in entry["files"].items():
        try:
            differs = files.read(name) != text
        except Unreadable:
            differs = True
        if differs:
            found.append(name)
    return found


@dataclass(frozen=True)
class Starting:
    """What a service starts with, and what it does not start with although the files say it, in words; empty for nothing."""

    configuration: Configuration
    waiting: str = ""


def starting(path: Path, environment: Mapping[str, str], data_dir: Path) -> Starting:
    """The configuration that a start puts, or keeps, in force: the files', but where `apply: signed` is in force the one last applied.

    `data_dir` is the one that the file names. Raises ConfigurationError, JournalUnavailable.
    """
    history = in_force(data_dir)
    if not history or not is_signed(history[-1][1].entry):
        return Starting(load_configuration(path, environment))
    kept = history[-1][1].entry
    configuration = load_configuration(path, environment, kept)
    configuration = replace(configuration, settings=replace(configuration.settings, data_dir=data_dir))
    return Starting(configuration, waiting(path, environment, kept))


def waiting(path: Path, environment: Mapping[str, str], kept: Mapping[str, Any]) -> str:
    """What the files say that is not in force, in a sentence; empty when they say the same."""
    names = changed_files(kept, path.parent)
    if not names:
        return ""
    changed = f"{', '.join(names)} {'differs' if len(names) == 1 else 'differ'} from what is in force"
    try:
        found = load_configuration(path, environment)
    except ConfigurationError as error:
        return f"{changed}, and the files cannot be used: {so_many(len(error.problems), 'problem')}; `renrum check` names them"
    count = len(changes_of(kept, found))
    return f"{changed} ({so_many(count, 'value')}); {HOW}"


def changes_of(kept: Mapping[str, Any], configuration: Configuration) -> list[Changed]:
    """What is another value in a configuration than in the one that the journal kept."""
    return changes_between(kept, judging_from_entry(kept), configuration.as_entry(), configuration.judge)
