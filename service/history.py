"""What judged a point over the years, and who changed it, told by the configurations that the journal keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest.journal.entries import Changed
from service.applied import Journalled
from service.configuration.judging import Judges
from service.configuration.values import differences, judging_values


@dataclass(frozen=True, slots=True)
class Chapter:
    """One change of what judges a point, at int ns UTC, by a journal `entry`; `values` are all of them since, empty for none any more.

    `meaning` is what for it was signed, `digest` that of the signature; both are empty where nobody signed.
    """

    at: int
    entry: int
    config: str
    by: str
    reason: str
    change: str
    values: dict[str, str]
    changes: list[Changed] = field(default_factory=list)
    meaning: str = ""
    digest: str = ""


def history_of(point: str, configurations: Iterable[Journalled]) -> list[Chapter]:
    """The chapters of a point, oldest first: the first that knew it, then each that changed what judges it; raises ConfigurationError."""
    judges, found = Judges(), list[Chapter]()
    for entry, body in configurations:
        values = judging_values(judges.of(body), point)
        before = found[-1].values if found else {}
        if values == before:
            continue
        changes = [
            Changed(changed.what.partition(" ")[2], changed.old, changed.new) for changed in differences({point: before}, {point: values})
        ]
        changes = changes if found else []
        chapter = Chapter(
            entry.at, entry.seq, body.hash, body.by, body.reason, body.change, values, changes, body.meaning, body.digest
        )  # fmt: skip
        found.append(chapter)
    return found


def chapter_at(chapters: list[Chapter], at: int) -> Chapter:
    """The one in force at a moment (int ns UTC); what was before the first is judged by the first."""
    return next((chapter for chapter in reversed(chapters) if chapter.at <= at), chapters[0])
