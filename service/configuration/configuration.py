"""All files of a configuration, read and checked together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from alerts.duty.oncall import OnCall, read_oncall, read_roster
from alerts.duty.reading import Known
from alerts.duty.roster import Roster
from facility.document import Path
from facility.files import AS_THE_SERVICE, FilePath, Files, Forbidden, Unreadable
from facility.limits import SHIPPED, LimitTable, shipped_text
from facility.own import NEWEST, PLACE, without_own
from facility.problems import ConfigurationError, Problem
from facility.site import Facility
from facility.sources.source import Source, subscriptions
from facility.sources.source_file import SourcesRead, read_sources
from rules.coverage import coverage_of
from rules.promptness import late_notices
from rules.rule import Rule
from rules.rule_checks import MATCHES_NOTHING, Unspecified
from service.configuration.judging import ENTRY_FORMAT, Judge, Judging, judging_from_entry, judging_hash, read_judging
from service.settings.settings import Settings, SettingsRead, read_settings

__all__ = ["Configuration", "judging_from_entry", "load_configuration"]


@dataclass(frozen=True)
class Configuration:
    """A checked configuration.

    `tables` are the limit tables that rules may name; `files` the texts as read, by name, in which no secret stands; `shipped` those of the
    shipped limit tables; `judging_hash` the sha256, in hex, of what judges. `warnings` and `unspecified` are what `check` shows beside.
    """

    settings: Settings
    facility: Facility
    rules: tuple[Rule, ...]
    tables: dict[str, LimitTable]
    oncall: OnCall
    main: str
    files: dict[str, str]
    shipped: dict[str, str]
    judging_hash: str
    warnings: tuple[Problem, ...] = ()
    unspecified: tuple[Unspecified, ...] = ()
    sources: tuple[Source, ...] = ()

    @property
    def judge(self) -> Judge:
        """What judges."""
        return self.facility, self.rules, self.tables

    def as_entry(self) -> dict[str, Any]:
        """What the journal keeps, JSON-able: from it alone `judging_from_entry` gives back what judged."""
        entry = {
            "format": ENTRY_FORMAT,
            "hash": self.judging_hash,
            "environment": self.settings.environment,
            "main": self.main,
            "facility": self.settings.facility,
            "rules": list(self.settings.rules),
            "limits": self.settings.limits,
            "channels": sorted(self.oncall.everyone),
            "files": dict(self.files),
            "shipped": dict(self.shipped),
        }
        if PLACE in self.facility.places:
            entry["own"] = NEWEST
        if not self.oncall.roster.plain:
            entry["oncall"] = self.settings.oncall
        if self.settings.sources:
            entry |= {"sources": self.settings.sources, "subscriptions": list(subscriptions(self.sources))}
        return entry


def load_configuration(path: FilePath, environment: Mapping[str, str], kept: Mapping[str, Any] | None = None) -> Configuration:
    """Read renrum.yaml and all that it names; raises ConfigurationError with every problem of every file.

    `environment` are the variables of the process: secrets may be in them, as RENRUM_…. With a `kept` journal entry every text is the one
    that the journal kept; only secrets and certificates, which it does not keep, come from the folder of `path`.
    """
    files, main = Files.around(path)
    if kept is not None:
        files, main = Files(files.folder, kept["files"]), str(kept["main"])
    try:
        read = read_settings(files, main, environment)
    except Unreadable as error:
        hint = AS_THE_SERVICE if isinstance(error, Forbidden) else "`renrum init DIR` writes an example."
        raise ConfigurationError([Problem(str(path), 0, "", str(error), "a renrum.yaml", hint)]) from None
    settings = read.settings
    shipped = {name: shipped_text(name) for name in SHIPPED} if kept is None else dict(kept["shipped"])

    def unreadable(path: Path, error: Unreadable) -> Problem:
        return read.document.problem(path, str(error), "a file that can be read")

    judging = read_judging(files, settings.facility, settings.rules, settings.limits, shipped, unreadable)
    oncall, problems, warnings = _oncall(files, read, environment, judging)
    mapped = _sources(files, read, without_own(judging.facility))
    holes = _holes(read, judging) if settings.coverage == "strict" and not judging.problems else []
    slow = late_notices(judging.written, judging.facility, settings.evaluate_every_ns)
    if problems := [*read.problems, *problems, *judging.problems, *mapped.problems, *holes, *slow]:
        raise ConfigurationError(dict.fromkeys(problems))
    if not settings.mqtt.client_id:
        settings = replace(settings, mqtt=replace(settings.mqtt, client_id=f"renrum-{judging.facility.site.id}"))
    hash = judging_hash(judging.facility, judging.rules, judging.tables)
    if kept is not None and hash != kept["hash"]:
        hint = "Use the version of Renrum that wrote it."
        raise ConfigurationError([Problem(main, 0, "hash", hash, f"what was in force: {kept['hash']}", hint)])
    return Configuration(
        settings=settings,
        facility=judging.facility,
        rules=judging.rules,
        tables=judging.tables,
        oncall=oncall,
        main=main,
        files=dict(files.texts),
        shipped=shipped,
        judging_hash=hash,
        warnings=(*read.warnings, *warnings, *judging.warnings, *mapped.warnings),
        unspecified=judging.unspecified,
        sources=mapped.sources,
    )


def _sources(files: Files, read: SettingsRead, facility: Facility) -> SourcesRead:
    if not read.settings.sources:
        return SourcesRead()
    try:
        return read_sources(files, read.settings.sources, facility)
    except Unreadable as error:
        return SourcesRead(problems=(read.document.problem(("sources",), str(error), "a file that can be read"),))


def sources_from_entry(entry: Mapping[str, Any], facility: Facility) -> tuple[Source, ...]:
    """The sources of a configuration from its journal entry alone; raises ConfigurationError when this version does not read them."""
    if not entry.get("sources"):
        return ()
    found = read_sources(Files(texts=entry["files"]), entry["sources"], facility)
    if found.problems:
        raise ConfigurationError(found.problems)
    return found.sources


def _holes(read: SettingsRead, judging: Judging) -> list[Problem]:
    """`coverage: strict`: what nobody looks for, and rules that match nothing, as problems."""
    found = [one for one in coverage_of(judging.facility, judging.rules, judging.tables) if one.holes]
    allowed = "rules for it, or `unmonitored: REASON` at the point"
    hint = "`renrum check --coverage` with `coverage: shown` lists which rules look after each point."
    holes = [read.document.problem(("coverage",), f"{one.point} without {' or '.join(one.holes)}", allowed, hint) for one in found]
    return [*holes, *(warning for warning in judging.warnings if warning.found == MATCHES_NOTHING)]


def roster_from_entry(entry: Mapping[str, Any], facility: Facility) -> Roster:
    """Who is told by a configuration, from its journal entry alone; one that chooses nobody has no key for it."""
    if "oncall" not in entry:
        return Roster(tuple(entry.get("channels", ())))
    return read_roster(Files(texts=entry["files"]), entry["oncall"], entry["channels"], facility.site.timezone)


def _oncall(
    files: Files, read: SettingsRead, environment: Mapping[str, str], judging: Judging
) -> tuple[OnCall, list[Problem], list[Problem]]:
    if not read.settings.oncall:
        return OnCall(), [], []
    facility = judging.facility
    known: Known | None = None
    if not judging.problems:
        known = {
            "rule": [rule.id for rule in judging.rules],
            "point": [point.id for point in facility.points],
            "room": [place.id for place in facility.places if place.parent is None],
            "zone": [place.id for place in facility.places if place.parent is not None],
            "system": [system.id for system in facility.systems],
            "tag": sorted({tag for point in facility.points for tag in point.tags}),
        }
    try:
        oncall, problems, warnings = read_oncall(files, read.settings.oncall, environment, facility.site.timezone, known)
    except Unreadable as error:
        return OnCall(), [read.document.problem(("oncall",), str(error), "a file that can be read")], []
    return oncall, problems, warnings
