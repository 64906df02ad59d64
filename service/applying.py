"""A configuration put in force: by a running service between two steps, by its start, or in the data_dir of one that is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alerts.people.register import FILE, Register
from alerts.record.signing import digest_of, signed
from dashboards.monitor import APPLIED, MOVED_ON, REFUSED, SHOWN, UNCHANGED, UNSIGNED, ApplyAnswered, ApplyAsked
from facility.problems import ConfigurationError
from facility.sources.source import subscriptions
from facility.sources.sparkplug import SparkplugSource
from ingest.admission.prepared import Prepared
from ingest.journal.entries import CONFIGURATION, Changed, ConfigurationBody, encode
from ingest.journal.files import there_is
from ingest.journal.journal import Journal
from service.applied import Journalled, at_restart, changes_of, has_users, is_signed, journalled
from service.clock import Clock
from service.configuration.configuration import Configuration
from service.configuration.judging import Judges
from service.configuration.values import changes_between
from service.console.shown import Shown
from service.lock import DataDirLock
from service.stored.archive import JOURNAL, ArchiveUnavailable

SEMANTICS = 1
"""The number of docs/rules.md that this version judges by."""
ON_START = "applied on start"


@dataclass
class Next:
    """A configuration that is to take force: what everything that follows it needs, ready beforehand.

    `took` is set when it is known to be in the journal and admission follows it, `adopted` when everything else does.
    """

    configuration: Configuration
    number_of: Mapping[str, int]
    shown: Shown
    admitted: Prepared | None = None
    entry: Mapping[str, Any] = field(default_factory=dict)
    took: bool = False
    adopted: threading.Event = field(default_factory=threading.Event)
    at: int = 0


def register(history: list[Journalled], configuration: Configuration) -> tuple[dict[str, int], dict[str, int]]:
    """The number of every point in the journal, and of those among them that are new with a configuration."""
    number_of = {point: number for _, body in history for point, number in body.points.items()}
    new = [point.id for point in configuration.facility.points if point.id not in number_of]
    added = {point: len(number_of) + i for i, point in enumerate(new)}
    return number_of | added, added


def body_of(
    configuration: Configuration, added: dict[str, int], changes: list[Changed], by: str = "", reason: str = ON_START, change: str = ""
) -> ConfigurationBody:
    """What the journal keeps of it."""
    return ConfigurationBody(configuration.judging_hash, SEMANTICS, added, configuration.as_entry(), by, reason, change, changes)


def listens_otherwise(old: Configuration, new: Configuration) -> bool:
    """Whether the session at the broker has to begin anew: for other topics, or because births have to be read again."""
    if subscriptions(old.sources) != subscriptions(new.sources):
        return True
    if not any(isinstance(source, SparkplugSource) for source in (*old.sources, *new.sources)):
        return False

    def heard(configuration: Configuration) -> dict[str, str]:
        settings = configuration.settings
        others = {configuration.main, settings.oncall, settings.limits, *settings.rules}
        return {name: text for name, text in configuration.files.items() if name not in others}

    return heard(old) != heard(new)


class Applying:
    """What a running service does when it is asked to put its files in force; one at a time.

    `load` reads them; `now` is the configuration in force; `history` gives all there were; `prepared` makes ready what could go wrong;
    `take_force` has it journalled and followed, and returns when it is. `people`: whether there are people, who could sign.
    """

    def __init__(
        self,
        load: Callable[[], Configuration],
        now: Callable[[], Configuration],
        history: Callable[[], list[Journalled]],
        judges: Judges,
        prepared: Callable[[Configuration, Mapping[str, int]], Next],
        take_force: Callable[[Next, ConfigurationBody], None],
        people: Callable[[], bool],
    ) -> None:
        self._load, self._now, self._history, self._judges = load, now, history, judges
        self._prepared, self._take_force, self._people = prepared, take_force, people
        self._lock = threading.Lock()

    def __call__(self, asked: ApplyAsked) -> ApplyAnswered:
        """Nothing is changed unless the whole configuration can be used; raises JournalUnavailable, TimeoutError, StepsEnded."""
        with self._lock:
            old = self._now()
            try:
                new = self._load()
            except ConfigurationError as error:
                return ApplyAnswered(REFUSED, problems=tuple(map(str, error.problems)))
            entry = new.as_entry()
            digest = digest_of(entry)
            if asked.expect and asked.expect != digest:
                return ApplyAnswered(MOVED_ON, digest)
            if entry == old.as_entry():
                return ApplyAnswered(UNCHANGED, digest, new.judging_hash)
            if keys := at_restart(old, new):
                return ApplyAnswered(REFUSED, digest, problems=(refusal(keys),))
            changes = changes_between(old.as_entry(), old.judge, entry, new.judge)
            told = tuple((changed.what, changed.old, changed.new) for changed in changes)
            signature = self._people() and is_signed(old.as_entry())
            if asked.dry_run or (signature and not asked.meaning):
                return ApplyAnswered(SHOWN if asked.dry_run else UNSIGNED, digest, new.judging_hash, told, signature=signature)
            number_of, added = register(self._history(), new)
            body = signed(body_of(new, added, changes, asked.by, asked.reason, asked.change), asked.meaning, asked.signed_at)
            self._judges.know(entry, new.judge)
            following = self._prepared(new, number_of)
            self._take_force(following, body)
            return ApplyAnswered(APPLIED, digest, new.judging_hash, told, at=following.at, signature=signature, signed=body.digest)


def refusal(keys: list[str]) -> str:
    """Why a running service does not take it."""
    what = f"{', '.join(keys)} {'is' if len(keys) == 1 else 'are'} changed, which a running service cannot follow"
    return f"{what}: stop it, run `renrum apply`, start it (with `apply: on_start` a restart alone does it). Nothing was applied."


def apply_stopped(data_dir: Path, configuration: Configuration, clock: Clock, asked: ApplyAsked) -> ApplyAnswered:
    """Journal a configuration in the data_dir of a stopped service: its next start judges by it, from now on.

    Raises DataDirInUse, ArchiveUnavailable when no configuration was in force yet, JournalUnavailable, ConfigurationError,
    PeopleUnavailable.
    """
    if not there_is(data_dir / JOURNAL):
        raise ArchiveUnavailable(f"{data_dir}: no configuration was in force yet. The first start puts in force what is there.")
    entry = configuration.as_entry()
    digest = digest_of(entry)
    with ExitStack() as opened:
        opened.enter_context(DataDirLock(data_dir, clock))
        journal = opened.enter_context(closing(Journal(data_dir / JOURNAL)))
        history = journalled(opened.enter_context(closing(journal.reader())))
        if not history:
            raise ArchiveUnavailable(f"{data_dir}: no configuration was in force yet. The first start puts in force what is there.")
        kept = history[-1][1].entry
        if asked.expect and asked.expect != digest:
            return ApplyAnswered(MOVED_ON, digest)
        if kept == entry:
            return ApplyAnswered(UNCHANGED, digest, configuration.judging_hash)
        changes = changes_of(kept, configuration)
        told = tuple((changed.what, changed.old, changed.new) for changed in changes)
        signature = is_signed(kept) and has_users(kept) and there_are_people(data_dir)
        if asked.dry_run or (signature and not asked.meaning):
            answer = SHOWN if asked.dry_run else UNSIGNED
            return ApplyAnswered(answer, digest, configuration.judging_hash, told, signature=signature)
        body = body_of(configuration, register(history, configuration)[1], changes, asked.by, asked.reason, asked.change)
        body = signed(body, asked.meaning, asked.signed_at)
        applied = journal.append(CONFIGURATION, encode(body), clock.now_ns())
    return ApplyAnswered(APPLIED, digest, configuration.judging_hash, told, at=applied.at, signature=signature, signed=body.digest)


def there_are_people(data_dir: Path) -> bool:
    """Whether anybody could sign in; raises PeopleUnavailable where that cannot be found out."""
    if not (data_dir / FILE).exists():
        return False
    with closing(Register(data_dir / FILE)) as people:
        return bool(people.users())
