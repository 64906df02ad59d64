"""People of oncall.yaml with their ways: which targets reach them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from alerts.duty.oncall_sections import PersonSection
from alerts.duty.roster import Person, Way
from facility.document import Document, Path, did_you_mean, one_of, shown
from facility.problems import Problem


class PeopleReading:
    """`kinds` are the kinds of channels by id, `everyone` the targets of all channels as they are known."""

    def __init__(self, document: Document, kinds: Mapping[str, str], everyone: Iterable[str]) -> None:
        self.document, self.kinds, self.everyone = document, kinds, tuple(everyone)
        self.problems: list[Problem] = []
        self.own_kinds: set[str] = set()
        """What people call their ways."""

    def people(self, sections: Iterable[PersonSection]) -> dict[str, Person]:
        """Everybody by id."""
        found: dict[str, Person] = {}
        for section in sections:
            if section.id in found:
                self._refuse(section.at("id"), f"{section.id!r} again", "each person's id once")
            ways = (self._way(section.at("reach", number), way) for number, way in enumerate(section.reach))
            known = tuple(way for way in ways if way is not None)
            found[section.id] = Person(section.id, section.name or section.id, section.language, known)
        return found

    def _refuse(self, path: Path, found: str, allowed: str, hint: str = "") -> None:
        self.problems.append(self.document.problem(path, found, allowed, hint))

    def _way(self, path: Path, given: Mapping[str, Any]) -> Way | None:
        address, channel = given.get("email"), given.get("channel")
        if channel is not None and channel not in self.kinds:
            ids = tuple(self.kinds)
            self._refuse(path, shown(channel), f"the id of a channel: {one_of(ids)}", did_you_mean(channel, ids))
            return None
        names = {given["kind"]} if "kind" in given else set()
        self.own_kinds |= names
        priorities = frozenset(given["for"])
        if address is None:
            assert channel is not None
            targets = tuple(target for target in self.everyone if target.partition("/")[0] == channel)
            return Way(targets, frozenset({channel, self.kinds[channel], *names}), priorities)
        if channel is None:
            channel = next((id_ for id_, kind in self.kinds.items() if kind == "email"), None)
        if channel is None or self.kinds[channel] != "email":
            allowed = "the id of a channel, or a channel of kind email that can send it"
            self._refuse(path, "a mail address, but no channel of kind email", allowed)
            return None
        return Way((f"{channel}/{address}",), frozenset({channel, "email", *names}), priorities)
