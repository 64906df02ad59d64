"""The files that judge, from wherever they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facility.document import Path as KeyPath
from facility.files import FilePath, Files, Unreadable
from facility.limits import SHIPPED, shipped_text
from facility.problems import ConfigurationError, Problem
from service.configuration.judging import ENTRY_FORMAT, Judging, read_judging
from service.settings.settings import read_settings


@dataclass(frozen=True)
class JudgingFiles:
    """Names and texts of the files that judge; an empty name is left out."""

    files: Files
    facility: str = ""
    rules: tuple[str, ...] = ()
    limits: str = ""
    shipped: Mapping[str, str] = field(default_factory=lambda: {name: shipped_text(name) for name in SHIPPED})

    @classmethod
    def configured(cls, path: FilePath, environment: Mapping[str, str]) -> JudgingFiles:
        """Those that a renrum.yaml names; raises ConfigurationError with what is wrong in it, but not with the on-call file."""
        files, main = Files.around(path)
        try:
            read = read_settings(files, main, environment)
        except Unreadable as error:
            hint = "`renrum init DIR` writes an example."
            raise ConfigurationError([Problem(str(path), 0, "", str(error), "a renrum.yaml", hint)]) from None
        if read.problems:
            raise ConfigurationError(read.problems)
        return cls(files, read.settings.facility, tuple(read.settings.rules), read.settings.limits)

    @classmethod
    def named(cls, facility: Path, rules: Sequence[Path], limits: Path | None) -> JudgingFiles:
        """Those of these paths, wherever they lie."""
        return cls(Files("."), str(facility), tuple(map(str, rules)), "" if limits is None else str(limits))

    @classmethod
    def journalled(cls, entry: Mapping[str, Any]) -> JudgingFiles:
        """Those that the journal kept; raises ConfigurationError when this version does not read that form."""
        if entry.get("format") != ENTRY_FORMAT:
            found = f"format {entry.get('format')!r} of a configuration in the journal"
            raise ConfigurationError([Problem("the journal", 0, "", found, f"format {ENTRY_FORMAT}: use the version that wrote it")])
        return cls(Files(texts=entry["files"]), entry["facility"], tuple(entry["rules"]), entry["limits"], entry["shipped"])

    def judging(self) -> Judging:
        """What they say; raises ConfigurationError with every problem of every file."""

        def unreadable(path: KeyPath, error: Unreadable) -> Problem:
            names = {"facility": self.facility, "limits": self.limits}
            name = self.rules[int(path[1])] if len(path) > 1 else names.get(str(path[0]), str(path[0]))
            return Problem(self.files.shown(name), 0, "", str(error), f"a {path[0]} file that can be read")

        judging = read_judging(self.files, self.facility, self.rules, self.limits, self.shipped, unreadable)
        if judging.problems:
            raise ConfigurationError(dict.fromkeys(judging.problems))
        return judging
