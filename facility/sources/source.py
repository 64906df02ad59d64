"""What every kind of source has in common: its section in sources.yaml, and what it is once read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from facility.document import Document, Path
from facility.files import Files
from facility.problems import Problem
from facility.sections import Id, Section
from facility.site import Facility
from facility.sources.filters import TopicFilter


class SourceSection(Section):
    """What every source gives; a kind adds its own keys and the literal `kind`."""

    id: Id
    """Names the source in messages and lists."""


class Source(Protocol):
    """A source once read: `filters` are the topics that it speaks on, `points` the ids of the points that the file says it feeds.

    `lossy` says, for people, why its readings can be lost or taken twice, empty when they cannot. `own_topics` are subscribed for what is
    said of ourselves.
    """

    @property
    def id(self) -> str: ...

    @property
    def filters(self) -> tuple[TopicFilter, ...]: ...

    @property
    def points(self) -> frozenset[str]: ...

    @property
    def lossy(self) -> str: ...

    @property
    def own_topics(self) -> tuple[str, ...]: ...


@dataclass(slots=True)
class Reading:
    """What a kind needs to read its section: the files and the document it stands in, the facility; and where it says what is wrong."""

    files: Files
    name: str
    document: Document
    facility: Facility
    partial: bool = False
    """Whether something wrong was left out of the section: then nothing is said of what it lacks."""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def refuse(self, path: Path, found: str, allowed: str, hint: str = "") -> None:
        self.problems.append(self.document.problem(path, found, allowed, hint))

    def warn(self, path: Path, found: str, allowed: str, hint: str = "") -> None:
        self.warnings.append(self.document.problem(path, found, allowed, hint))


def subscriptions(sources: Iterable[Source]) -> tuple[str, ...]:
    """The MQTT filters of all sources, each once, in their order."""
    sources = tuple(sources)
    filters = [filter.subscription for source in sources for filter in source.filters]
    return tuple(dict.fromkeys([*filters, *(topic for source in sources for topic in source.own_topics)]))
